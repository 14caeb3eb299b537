"""What is polled at a change of partitions is put back: a fetch may be answered just then."""

from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from schemas.topics import MESSAGES_DELIVERY
from services.chassis.delivery import Consumer, Outcome
from services.chassis.settings import Settings
from services.chassis.stage import Stage

OURS, GONE = TopicPartition(MESSAGES_DELIVERY.name, 1), TopicPartition(MESSAGES_DELIVERY.name, 2)


@dataclass(frozen=True)
class Polled:
    offset: int


@dataclass
class Kafka:
    """The calls of aiokafka's consumer that putting back needs."""

    sought: list[tuple[TopicPartition, int]] = field(default_factory=list)

    def assignment(self) -> set[TopicPartition]:
        return {OURS}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought.append((tp, offset))


class Silent:
    async def publish(self, _: Any) -> None:
        raise AssertionError


async def test_a_batch_that_is_answered_during_a_change_is_put_back_where_its_partition_is_ours() -> None:
    async def handle(_: Any) -> list[Outcome]:
        raise AssertionError

    kafka: Any = Kafka()
    stage = Stage(Consumer(MESSAGES_DELIVERY, "test-put-back", handle), Settings(), Silent())
    stage.assignment.changing = True
    polled: Any = {OURS: [Polled(7), Polled(8)], GONE: [Polled(3)]}
    await stage._process_or_abandon(kafka, polled)  # noqa: SLF001  (what polling hands over)
    assert kafka.sought == [(OURS, 7)]
