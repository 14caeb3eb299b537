"""The dead-letter topic in Kafka, and the topics the letters came from, for the operator's command."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from pydantic import ValidationError

from schemas import ids
from schemas.deadletters import DeadLetter, DeadLetterResolved, DeadLetterResolvedData
from schemas.envelope import rfc3339
from schemas.topics import DEADLETTERS, TOPICS
from services.chassis.clock import Clock, utc_now
from services.chassis.deadletters.ledger import Entry, Ledger, Place
from services.chassis.deadletters.letter import (
    Original,
    Record,
    copied_original,
    original_of,
    retry_headers,
)
from services.chassis.settings import Settings

_TOPICS = {topic.name: topic for topic in TOPICS}
_STALLED_SECONDS = 30.0
_LARGEST_REQUEST = 1_100_000
"""Bytes; the broker decides what it takes."""


class Unreachable(Exception):  # noqa: N818  (a state of Kafka, raised)
    """Kafka is away, or lacks the topic. The text says which."""


class Gone(Exception):  # noqa: N818  (a state of the log, raised)
    """The letter cannot be retried. The text says why."""


@dataclass(frozen=True)
class DeadLetterLog:
    """Reads letters, publishes their records again, and settles them."""

    kafka: AIOKafkaConsumer
    producer: AIOKafkaProducer
    clock: Clock = utc_now

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: Settings) -> AsyncIterator[Self]:
        """Give a log while the block runs. Raises Unreachable, whatever of Kafka's fails in the block too."""
        servers = settings.kafka_bootstrap_servers
        try:
            async with AsyncExitStack() as clients:
                kafka, producer = _clients(servers)
                for client in (kafka, producer):
                    clients.push_async_callback(client.stop)  # one whose start fails is not closed by itself
                await kafka.start()
                await producer.start()
                if DEADLETTERS.name not in await kafka.topics():
                    raise Unreachable(f"Kafka at {servers} has no topic {DEADLETTERS.name}")
                yield cls(kafka, producer)
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unreachable(f"Kafka at {servers} does not answer: {type(error).__name__}") from error

    # --- reading --------------------------------------------------------------------------------

    async def ledger(self) -> Ledger:
        """Return all letters, as the topic tells up to its present end."""
        ledger = Ledger()
        async for record in self._all(DEADLETTERS.name, DEADLETTERS.partitions):
            try:
                letter = DEADLETTERS.adapter.validate_json(record.value or b"")
            except ValidationError:
                ledger.unreadable += 1
            else:
                ledger.add(Place(record.partition, record.offset), letter)
        return ledger

    async def letter(self, entry: Entry) -> tuple[DeadLetter, bytes | None]:
        """Return a letter with its record, and its Kafka key. Raises Gone when Kafka deleted it meanwhile."""
        record = await self._at(DEADLETTERS.name, entry.place.partition, entry.place.offset)
        if record is None:
            raise Gone("the dead letter is older than what the topic keeps")
        letter: DeadLetter = DEADLETTERS.adapter.validate_json(record.value)
        return letter, record.key

    async def original(self, letter: DeadLetter) -> Original:
        """Return the record: from the letter, or, where it was too large to copy, from its topic.

        Raises Gone.
        """
        copy = copied_original(letter)
        if copy is not None:
            return copy
        data = letter.data
        record = await self._at(data.topic, data.partition, data.offset) if data.topic in _TOPICS else None
        where = f"{data.topic}, partition {data.partition}, offset {data.offset}"
        if record is None:
            raise Gone(f"the record itself is not kept any more ({where})")
        size = len(record.value) if record.value is not None else None
        if (record.timestamp, size) != (data.timestamp_ms, data.value_bytes):
            raise Gone(f"another record stands where this one stood ({where})")
        return original_of(record)

    async def _all(self, topic: str, partitions: int) -> AsyncIterator[Record]:
        wanted = [TopicPartition(topic, number) for number in range(partitions)]
        self.kafka.assign(wanted)
        ends = await self.kafka.end_offsets(wanted)
        firsts = await self.kafka.beginning_offsets(wanted)
        left = {tp: end for tp, end in ends.items() if end > firsts[tp]}
        for tp in left:
            self.kafka.seek(tp, firsts[tp])
        while left:
            for tp, records in (await self._polled(list(left))).items():
                for record in records:
                    if record.offset < left[tp]:
                        yield record
            left = {tp: end for tp, end in left.items() if await self.kafka.position(tp) < end}

    async def _at(self, topic: str, partition: int, offset: int) -> Record | None:
        tp = TopicPartition(topic, partition)
        self.kafka.assign([tp])
        firsts, ends = await self.kafka.beginning_offsets([tp]), await self.kafka.end_offsets([tp])
        if not firsts[tp] <= offset < ends[tp]:
            return None
        self.kafka.seek(tp, offset)
        record: Record = (await self._polled([tp], at_most=1))[tp][0]
        return record if record.offset == offset else None

    async def _polled(
        self, partitions: Sequence[TopicPartition], at_most: int | None = None
    ) -> dict[TopicPartition, list[Record]]:
        async with asyncio.timeout(_STALLED_SECONDS):
            while True:
                found: dict[TopicPartition, list[Record]] = await self.kafka.getmany(
                    *partitions, timeout_ms=500, max_records=at_most
                )
                if found:
                    return found

    # --- settling -------------------------------------------------------------------------------

    async def retry(self, entry: Entry) -> None:
        """Publish the record again, for its group alone, then settle the letter. Raises Gone.

        Whoever dies in between leaves the letter open; the record comes twice then, which its consumer is
        used to.
        """
        letter, key = await self.letter(entry)
        await self._publish(letter, await self.original(letter))
        await self._settle(entry, key, "retried")

    async def drop(self, entry: Entry) -> None:
        """Settle the letter without its record being handled. Raises Gone."""
        _, key = await self.letter(entry)
        await self._settle(entry, key, "dropped")

    async def _publish(self, letter: DeadLetter, original: Original) -> None:
        topic = _TOPICS.get(letter.data.topic)
        if topic is None:
            raise Gone(f"the topic {letter.data.topic} is not in use any more")
        # under its own key an old record would outlive newer ones in a compacted topic
        key = str(letter.id).encode() if topic.compact else original.key
        if key is None and original.value is None:
            raise Gone("the record has neither key nor value")
        try:
            await self.producer.send_and_wait(
                topic.name,
                original.value,
                key=key,
                partition=letter.data.partition,
                headers=retry_headers(letter, original),
            )
        except MessageSizeTooLargeError as error:
            raise Gone("with the headers of a retry the record is too large for Kafka") from error

    async def _settle(self, entry: Entry, key: bytes | None, how: Literal["retried", "dropped"]) -> None:
        now = self.clock()
        record = DeadLetterResolved(
            id=ids.derive("deadletter.resolved", entry.id, how, rfc3339(now)),
            occurred_at=now,
            correlation=entry.id,
            causation=entry.id,
            data=DeadLetterResolvedData(
                deadletter_id=entry.id, group=entry.data.group, topic=entry.data.topic, how=how
            ),
        )
        options: dict[str, Any] = {"key": key, "partition": entry.place.partition}
        await self.producer.send_and_wait(DEADLETTERS.name, record.json_bytes(), **options)


def _clients(servers: str) -> tuple[AIOKafkaConsumer, AIOKafkaProducer]:
    kafka = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, max_request_size=_LARGEST_REQUEST
    )
    return kafka, producer
