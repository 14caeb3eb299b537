"""Which partitions a consumer has, how far each is handled, and what is put back at a change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.chassis import metrics
from services.chassis.deadletters.letter import Record
from services.chassis.delivery import Partitions


@dataclass
class Assignment:
    """The partitions of one consumer. `generation` counts their changes."""

    group: str
    topic: str
    owned: Partitions = frozenset()
    changing: bool = False
    """From the loss of the old partitions until the new ones are taken over."""
    generation: int = 0
    _caught_up: dict[int, datetime] = field(default_factory=dict)

    def release(self) -> None:
        """Own nothing. Another replica tells the lag from now on; ours would be counted as well."""
        for partition in self.owned:
            metrics.LAG.remove(self.group, self.topic, partition)
        self.owned = frozenset()
        self._caught_up.clear()

    def take(self, partitions: Partitions) -> None:
        """Own these, and no others."""
        self.owned = partitions
        self.generation += 1
        self.changing = False

    def caught_up_to(self, partition: int) -> datetime | None:
        """Return the moment up to which all of the partition has been handled, None if not owned."""
        return self._caught_up.get(partition) if partition in self.owned else None

    def note_progress(self, kafka: AIOKafkaConsumer) -> None:
        """All that was polled has been handled here: position against the end of the log says how far."""
        for tp in kafka.assignment():
            state = kafka._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001  (position() would wait)
            highwater, polled_at = kafka.highwater(tp), kafka.last_poll_timestamp(tp)
            if state is None or not state.has_valid_position or highwater is None:
                continue
            behind = max(highwater - state.position, 0)
            self.note_lag({tp: behind})
            if behind == 0 and polled_at:
                self._caught_up[tp.partition] = datetime.fromtimestamp(polled_at / 1000, UTC)

    def note_lag(self, behind: Mapping[TopicPartition, int]) -> None:
        """Measure how many records behind the log's end each partition is."""
        for tp, records in behind.items():
            if tp.partition in self.owned:
                metrics.LAG.labels(self.group, self.topic, tp.partition).set(records)


def put_back(kafka: AIOKafkaConsumer, polled: Mapping[TopicPartition, Sequence[Record]]) -> None:
    """Let records that were polled and not handled come again, where their partitions are still ours.

    aiokafka fetches for a new assignment before its listener has heard of it, so a batch that is given up
    at a rebalance may be the first of the new assignment, whose position is behind it already.
    """
    for tp in polled.keys() & kafka.assignment():
        kafka.seek(tp, polled[tp][0].offset)
