"""Reading whole topics from their beginning, up to the end they have now; and further, when asked again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.envelope import Envelope
from schemas.topics import TOPICS, Topic
from services.chassis.sealing import Seals, Unopened
from services.chassis.settings import Settings

_BY_NAME = {topic.name: topic for topic in TOPICS}
_STALLED_SECONDS = 30.0
BATCH = 500


class LogUnreachable(Exception):  # noqa: N818  (a state of Kafka, raised)
    """Kafka is away, stands still, or lacks a topic. The text says which."""


@dataclass
class Replay:
    """The records of some topics, those of a partition in the order of the log."""

    kafka: AIOKafkaConsumer
    partitions: Sequence[TopicPartition]
    seals: Seals
    read: int = 0
    """Records so far."""
    unreadable: list[str] = field(default_factory=list)
    """`topic:partition:offset` of records that do not keep to their contract."""
    erased: int = 0
    """Records of whom nobody may know any more; they are passed over."""

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings, topics: Sequence[Topic], seals: Seals) -> AsyncIterator[Self]:
        """Give a replay while the block runs. Raises LogUnreachable."""
        servers = settings.kafka_bootstrap_servers
        kafka = AIOKafkaConsumer(
            bootstrap_servers=servers.split(","), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        try:
            await kafka.start()
            there = await kafka.topics()
            missing = [topic.name for topic in topics if topic.name not in there]
            if missing:
                raise LogUnreachable(f"Kafka at {servers} has no topic {', '.join(missing)}")
            wanted = [TopicPartition(topic.name, n) for topic in topics for n in range(topic.partitions)]
            kafka.assign(wanted)
            for tp, first in (await kafka.beginning_offsets(wanted)).items():
                kafka.seek(tp, first)
            yield cls(kafka, wanted, seals)
        except (KafkaError, OSError) as error:
            raise LogUnreachable(f"Kafka at {servers} does not answer: {type(error).__name__}") from error
        finally:
            await kafka.stop()

    async def batches(self) -> AsyncIterator[list[Envelope]]:
        """Give all records from where the last call ended to the present end of the log."""
        ends = await self.kafka.end_offsets(self.partitions)
        while left := [tp for tp, end in ends.items() if await self.kafka.position(tp) < end]:
            try:
                async with asyncio.timeout(_STALLED_SECONDS):
                    polled = await self._polled(left)
            except TimeoutError as error:
                raise LogUnreachable(f"no record came for {_STALLED_SECONDS:g} seconds") from error
            values = await self.seals.open([(record.topic, record.value or b"") for record in polled])
            decoded = map(self._decoded, polled, values)
            yield [message for message in decoded if message is not None]

    async def _polled(self, partitions: Sequence[TopicPartition]) -> list[Any]:
        while True:
            found = await self.kafka.getmany(*partitions, timeout_ms=500, max_records=BATCH)
            if found:
                return [record for records in found.values() for record in records]

    def _decoded(self, record: Any, value: bytes | Unopened) -> Envelope | None:  # noqa: ANN401  (aiokafka's own type)
        self.read += 1
        if value is Unopened.ERASED:
            self.erased += 1
            return None
        try:
            readable = b"" if isinstance(value, Unopened) else value
            message: Envelope = _BY_NAME[record.topic].adapter.validate_json(readable)
        except (ValidationError, ValueError):
            self.unreadable.append(f"{record.topic}:{record.partition}:{record.offset}")
            return None
        return message
