"""What goes in and what comes out: messages of invented people, and a look at the records that follow."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas import ids
from schemas.common import Channel, Identifier, IdentifierKind
from schemas.inbound import InboundData, InboundPersonal, MessageReceived

_TEXT = "Hello, my parcel {number} has not arrived. Can you look where it is, please?"
STALL_SECONDS = 120.0
"""Nothing more has come for so long: it never will."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record of `messages.inbound`, ready to be sent."""

    id: str
    key: bytes
    value: bytes


def phone(customer: int) -> str:
    """Return the invented number of a Customer (0 to 9,999,999)."""
    return f"+1555{customer:07d}"


def message(customer: int, number: int, at: datetime | None = None) -> Message:
    """Return the Customer's message of this number, as ingest makes it of an SMS; ids follow from both."""
    moment = at or datetime.now(UTC)
    sender = Identifier(kind=IdentifierKind.PHONE, value=phone(customer), verified=True)
    provider_id = f"SM{customer:016x}{number:016x}"
    name = ids.message_id("twilio-sms", "demo", sender.value, provider_id)
    record = MessageReceived(
        id=name,
        occurred_at=moment,
        correlation=name,
        data=InboundData(
            provider="twilio-sms",
            account="demo",
            channel=Channel.SMS,
            inbox="support",
            sent_at=moment,
            received_at=moment,
        ),
        personal=InboundPersonal(
            sender=sender,
            identifiers=(sender,),
            text=_TEXT.format(number=number),
            provider_message_id=provider_id,
        ),
    )
    return Message(str(name), sender.value.encode(), record.json_bytes())


@dataclass
class Sender:
    """Produces with ingest's settings: idempotent, acks=all, a linger of 2 ms."""

    producer: AIOKafkaProducer

    async def send(self, topic: str, messages: Iterable[Message]) -> None:
        """Send all at once and wait for their acknowledgement."""
        futures = [await self.producer.send(topic, each.value, key=each.key) for each in messages]
        await asyncio.gather(*futures)


@asynccontextmanager
async def sending(kafka: str) -> AsyncIterator[Sender]:
    """Give a sender."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all", linger_ms=2)
    await producer.start()
    try:
        yield Sender(producer)
    finally:
        await producer.stop()


@dataclass
class Watch:
    """Counts the records of a topic by type, and when each message's came."""

    count: dict[str, int] = field(default_factory=dict)
    at: dict[tuple[str, str], float] = field(default_factory=dict)
    """`monotonic()` by type and correlation."""
    last: dict[str, float] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, value: bytes, now: float) -> None:
        """Take in a record."""
        record = orjson.loads(value)
        kind = record["type"]
        self.count[kind] = self.count.get(kind, 0) + 1
        self.at[kind, record["correlation"]] = now
        self.last[kind] = now
        self._news.set()

    def seen(self, kind: str) -> int:
        """Return how many of the type have come."""
        return self.count.get(kind, 0)

    async def until(self, kind: str, count: int) -> float:
        """Wait for `count` records of the type; return when the last came. Raises TimeoutError."""
        while self.seen(kind) < count:
            self._news.clear()
            async with asyncio.timeout(STALL_SECONDS):
                await self._news.wait()
        return self.last[kind]

    async def arrival(self, kind: str, correlation: str, seconds: float) -> float:
        """Wait for the record of this type that belongs to a message; return when it came."""
        async with asyncio.timeout(seconds):
            while (kind, correlation) not in self.at:
                self._news.clear()
                await self._news.wait()
        return self.at[kind, correlation]


@asynccontextmanager
async def watching(kafka: str, topic: str, partitions: int) -> AsyncIterator[Watch]:
    """Watch a topic from its present end while the block runs."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, fetch_max_wait_ms=250)
    await consumer.start()
    watch = Watch()
    reading: asyncio.Task[None] | None = None
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        for place, end in (await consumer.end_offsets(places)).items():
            consumer.seek(place, end)
        reading = asyncio.create_task(_read(consumer, watch))
        yield watch
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, watch: Watch) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            now = monotonic()
            for record in records:
                watch.see(record.value, now)
