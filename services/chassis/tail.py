"""Reading all partitions of some topics without a group: every replica sees every record."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from schemas.topics import TOPICS, Topic
from services.chassis.broker import Subscription
from services.chassis.deadletters.letter import Record, meant_for
from services.chassis.delivery import Delivery
from services.chassis.faults import DEPENDENCY_ERRORS
from services.chassis.logging import log
from services.chassis.progress import Progress
from services.chassis.sealing import Seals, Unopened
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
    seals: Seals | None = None
    positions: dict[Position, int] = field(default_factory=dict)
    """The next offset of each partition; complete once `started` is set."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    connected: bool = False
    progress: Progress = field(default_factory=Progress)
    _stopping: bool = False

    async def run(self) -> None:
        """Follow until `stop`."""
        while not self._stopping:
            self.progress.came_round()
            subscription = Subscription(self.settings, self.name, self.topics, group=None)
            try:
                await self._follow(await subscription.start())
            except DEPENDENCY_ERRORS as error:
                log.warning("tail_disconnected", tail=self.name, error=type(error).__name__)
            finally:
                self.connected = False
                await subscription.stop()
            self.progress.came_round()
            await asyncio.sleep(0 if self._stopping else 0.5)

    async def stop(self) -> None:
        """End `run` after the present poll."""
        self._stopping = True

    async def _follow(self, kafka: AIOKafkaConsumer) -> None:
        await self._place(kafka)
        self.started.set()
        self.connected = True
        watcher = asyncio.create_task(self.progress.watch(kafka, lambda: False))
        try:
            while not self._stopping:
                polled = await kafka.getmany(timeout_ms=250, max_records=2000)
                self.progress.came_round()
                for tp, records in polled.items():
                    for record, value in zip(records, await self._opened(records), strict=True):
                        self._take(tp, record, value)
        finally:
            watcher.cancel()

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

    async def _opened(self, records: Sequence[Record]) -> Sequence[bytes | Unopened]:
        values = [record.value or b"" for record in records]
        if self.seals is None:
            return values
        return await self.seals.open(
            [(record.topic, value) for record, value in zip(records, values, strict=True)]
        )

    def _take(self, tp: TopicPartition, record: Record, value: bytes | Unopened) -> None:
        offset = record.offset
        if meant_for(record, None) and value is not Unopened.ERASED:
            try:
                message = _BY_NAME[tp.topic].adapter.validate_json(
                    b"" if isinstance(value, Unopened) else value
                )
            except (ValidationError, ValueError):
                log.warning("tail_undecodable", topic=tp.topic, partition=tp.partition, offset=offset)
            else:
                self._show(Delivery(tp.topic, tp.partition, offset, message))
        self.positions[tp.topic, tp.partition] = offset + 1

    def _show(self, delivery: Delivery) -> None:
        try:
            self.receive(delivery)
        except Exception as error:  # noqa: BLE001  (one record must not end the feed of all)
            log.error("tail_failed", topic=delivery.topic, error=type(error).__name__, exc_info=error)
