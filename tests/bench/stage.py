"""A consumer whose handler does nothing, against aiokafka's `getmany` with the same decoder."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.topics import MESSAGES_IDENTIFIED
from services.chassis.broker import KafkaPublisher
from services.chassis.delivery import HANDLED, Consumer, Delivery, Outcome
from services.chassis.stage import Stage
from services.chassis.topics import create_topics
from tests.bench.figures import Figure, Pair, at_least, compared
from tests.bench.messages import identified
from tests.bench.profiles import profiled
from tests.bench.rounds import by_turns
from tests.bench.setup import Setup

CUSTOMERS = 1_000
MAX_RECORDS = 500
DEADLINE_SECONDS = 120.0


async def run(setup: Setup) -> list[Figure]:
    """Return the records a second of the stage, all of a topic's partitions to one process."""
    number = setup.sized(smoke=2_000, small=60_000, full=200_000)
    await create_topics(setup.settings, [MESSAGES_IDENTIFIED])
    await fill(setup.kafka, number)
    pairs = await by_turns(
        setup.sized(smoke=1, small=3, full=5),
        subject=lambda: through_stage(setup, number),
        control=lambda: through_getmany(setup, number),
    )
    async with profiled(setup.profiles, "stage"):
        await through_stage(setup, number)
    async with profiled(setup.profiles, "stage-control"):
        await through_getmany(setup, number)
    return [
        compared(
            "consumer stage, a store that does nothing",
            "records/s",
            [Pair(*pair) for pair in pairs],
            control="aiokafka getmany and the same decoder",
            target=at_least(0.5),
        )
    ]


async def fill(kafka: str, number: int) -> None:
    """Write `number` identified messages, spread over the partitions by their Customer."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks=1, linger_ms=20, max_batch_size=200_000)
    await producer.start()
    try:
        at = datetime.now(UTC)
        for count in range(number):
            record = identified(f"customer-{count % CUSTOMERS}", count, at)
            await producer.send(MESSAGES_IDENTIFIED.name, record.json_bytes(), record.customer_id.encode())
        await producer.flush()
    finally:
        await producer.stop()


@dataclass
class Meter:
    """Counts records; the clock runs from the first batch, when the group has been joined, to the last."""

    expected: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: int = 0
    _before: int = 0
    _started: float = 0.0
    _ended: float = 0.0

    def count(self, records: int) -> None:
        """Note a handled batch."""
        self._ended = time.perf_counter()
        if not self._seen:
            self._started, self._before = self._ended, records
        self._seen += records
        if self._seen >= self.expected:
            self.done.set()

    @property
    def rate(self) -> float:
        """Records a second."""
        return (self._seen - self._before) / (self._ended - self._started)


async def through_stage(setup: Setup, number: int) -> float:
    """Return records a second through `Stage`, with a commit after each batch."""
    meter = Meter(number)

    async def handle(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        meter.count(len(batch))
        return [HANDLED] * len(batch)

    consumer = Consumer(MESSAGES_IDENTIFIED, f"stage-{uuid4().hex}", handle, max_records=MAX_RECORDS)
    stage = Stage(consumer, setup.settings, KafkaPublisher(setup.settings, "bench"))
    task = asyncio.create_task(stage.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await meter.done.wait()
    finally:
        await stage.stop()
        await task
    return meter.rate


async def through_getmany(setup: Setup, number: int) -> float:
    """Return records a second through aiokafka alone: no commits, no fates, no metrics."""
    meter, decode = Meter(number), MESSAGES_IDENTIFIED.adapter.validate_json
    async with _consumer(setup) as consumer, asyncio.timeout(DEADLINE_SECONDS):
        while not meter.done.is_set():
            polled = await consumer.getmany(timeout_ms=250, max_records=MAX_RECORDS)
            decoded = [decode(record.value) for records in polled.values() for record in records]
            if decoded:
                meter.count(len(decoded))
    return meter.rate


@asynccontextmanager
async def _consumer(setup: Setup) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        MESSAGES_IDENTIFIED.name,
        bootstrap_servers=setup.kafka,
        group_id=f"control-{uuid4().hex}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=250,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
