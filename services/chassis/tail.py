"""Reading all partitions of some topics without a group: every replica sees every record."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.topics import TOPICS, Topic
from services.chassis.broker import Subscription
from services.chassis.delivery import STUCK_SECONDS, Delivery
from services.chassis.logging import log
from services.chassis.settings import Settings

_BY_NAME = {topic.name: topic for topic in TOPICS}
Position = tuple[str, int]
"""Topic name and partition."""


@dataclass
class Tail:
    """Follows `topics` from their end; goes on where it was after a lost connection."""

    settings: Settings
    name: str
    topics: Sequence[Topic]
    receive: Callable[[Delivery], None]
    positions: dict[Position, int] = field(default_factory=dict)
    """The next offset of each partition; complete once `started` is set."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False
    _moved_at: float | None = None
    """When the loop last came round; None before it runs."""

    @property
    def alive(self) -> bool:
        """False when the loop hangs."""
        return self._moved_at is None or time.monotonic() - self._moved_at < 2 * STUCK_SECONDS

    async def run(self) -> None:
        """Follow until `stop`."""
        while not self._stopping:
            self._moved_at = time.monotonic()
            subscription = Subscription(self.settings, self.name, self.topics, group=None)
            try:
                await self._follow(await subscription.start())
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("tail_disconnected", tail=self.name, error=type(error).__name__)
            finally:
                await subscription.stop()
            self._moved_at = time.monotonic()
            await asyncio.sleep(0 if self._stopping else 0.5)

    async def stop(self) -> None:
        """End `run` after the present poll."""
        self._stopping = True

    async def _follow(self, kafka: AIOKafkaConsumer) -> None:
        await self._place(kafka)
        self.started.set()
        while not self._stopping:
            polled = await kafka.getmany(timeout_ms=250, max_records=2000)
            self._moved_at = time.monotonic()
            for tp, records in polled.items():
                for record in records:
                    self._take(tp, record.offset, record.value)

    async def _place(self, kafka: AIOKafkaConsumer) -> None:
        wanted = [
            TopicPartition(topic.name, number) for topic in self.topics for number in range(topic.partitions)
        ]
        async with asyncio.timeout(10):
            while not kafka.assignment() >= set(wanted):  # noqa: ASYNC110  (aiokafka tells nobody)
                await asyncio.sleep(0.02)
        for tp in wanted:
            known = self.positions.get((tp.topic, tp.partition))
            if known is not None:
                kafka.seek(tp, known)
        ends = await kafka.end_offsets(wanted)
        for tp in wanted:
            if (tp.topic, tp.partition) not in self.positions:
                kafka.seek(tp, ends[tp])
                self.positions[tp.topic, tp.partition] = ends[tp]

    def _take(self, tp: TopicPartition, offset: int, value: bytes | None) -> None:
        try:
            message = _BY_NAME[tp.topic].adapter.validate_json(value or b"")
        except (ValidationError, ValueError):
            log.warning("tail_undecodable", topic=tp.topic, partition=tp.partition, offset=offset)
        else:
            self.receive(Delivery(tp.topic, tp.partition, offset, message))
        self.positions[tp.topic, tp.partition] = offset + 1
