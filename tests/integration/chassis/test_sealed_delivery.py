"""A consumer of a sealed topic: it gets what was written, nothing of the erased, and waits for a lost key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from deploy.local.servers import kafka_server
from schemas import ids
from schemas.topics import MESSAGES_OUTBOUND
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.delivery import HANDLED, Consumer, Delivery, Outcome
from services.chassis.keys import COLLECTION, CustomerKeys
from services.chassis.metrics import OUTCOMES
from services.chassis.mongo import Database, connect
from services.chassis.sealing import Seals
from services.chassis.settings import Settings
from services.chassis.stage import Stage
from services.chassis.topics import create_topics
from tests.contract import examples
from tests.system.waiting import until

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DATABASE = f"t_{uuid4().hex[:12]}"
"""All tests read one topic from its beginning, and so need the keys of all."""


@pytest.fixture(scope="module")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a server of the module's own: what is sealed here nobody else can open."""
    with kafka_server(tmp_path_factory.mktemp("sealed") / "data") as bootstrap:
        yield bootstrap


@pytest.fixture
def settings(embedded_kafka: str, embedded_mongo: str) -> Settings:
    asyncio.run(create_topics(Settings(kafka_bootstrap_servers=embedded_kafka)))
    return Settings(kafka_bootstrap_servers=embedded_kafka, mongo_url=embedded_mongo, mongo_database=DATABASE)


@pytest.fixture
async def shared(settings: Settings) -> AsyncIterator[Database]:
    found = connect(settings, "files")
    yield found
    await found.client.close()


def seals(shared: Database) -> Seals:
    """Return those of a process of its own, which remembers no key."""
    return Seals(CustomerKeys(shared, "a secret of at least 32 bytes, invented", cache_seconds=0))


def told(home: str, text: str) -> Outgoing:
    record = examples.record("messages.outbound/message.send")
    personal = record.personal.model_copy(update={"text": text})
    own = {"id": ids.derive("send", home, text), "customer_id": home, "home": home, "personal": personal}
    return Outgoing(MESSAGES_OUTBOUND.name, home, record.model_copy(update=own).json_bytes())


class Reader:
    """Remembers what it reads of its own Customers."""

    def __init__(self, mark: str) -> None:
        self.mark, self.texts = mark, list[str]()

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        own = [each.message for each in batch if each.message.home.startswith(self.mark)]
        self.texts += [message.personal.text for message in own]
        return [HANDLED] * len(batch)


@asynccontextmanager
async def running(settings: Settings, shared: Database, reader: Reader, group: str) -> AsyncIterator[Stage]:
    publisher = KafkaPublisher(settings, "test")
    stage = Stage(Consumer(MESSAGES_OUTBOUND, group, reader), settings, publisher, seals=seals(shared))
    task = asyncio.create_task(stage.run())
    try:
        yield stage
    finally:
        await stage.stop()
        await task
        await publisher.stop()


def erased_of(group: str) -> float:
    counter = OUTCOMES.labels(group, MESSAGES_OUTBOUND.name, "erased")
    return float(counter._value.get())  # noqa: SLF001  (the client has no other way)


async def test_a_consumer_reads_sealed_and_plain_ones_and_passes_over_what_is_of_the_erased(
    settings: Settings, shared: Database
) -> None:
    mark = uuid4().hex
    sealing, plain = KafkaPublisher(settings, "test", seals(shared)), KafkaPublisher(settings, "test")
    await sealing.publish([told(f"{mark}-1", "sealed"), told(f"{mark}-2", "of the erased")])
    await plain.publish([told(f"{mark}-1", "plain"), told(f"{mark}-2", "plain of the erased")])
    await seals(shared).keys.destroy([f"{mark}-2"], NOW)
    await sealing.publish([told(f"{mark}-2", "too late"), told(f"{mark}-1", "last")])
    reader = Reader(mark)
    async with running(settings, shared, reader, mark):
        await until(_held(reader), lambda texts: "last" in texts)
        await until(_erased(mark), lambda count: count == 2)
    assert reader.texts == ["sealed", "plain", "last"]
    await sealing.stop()
    await plain.stop()


async def test_a_lost_key_holds_up_its_partition_until_it_is_back(
    settings: Settings, shared: Database
) -> None:
    mark = uuid4().hex
    sealing = KafkaPublisher(settings, "test", seals(shared))
    await sealing.publish([told(f"{mark}-1", "sealed")])
    await sealing.stop()
    row = await shared[COLLECTION].find_one_and_delete({"_id": f"{mark}-1"})
    assert row is not None
    reader = Reader(mark)
    async with running(settings, shared, reader, mark) as stage:

        async def retried() -> bool:
            return stage.retrying_since is not None

        await until(retried)
        assert reader.texts == []
        await shared[COLLECTION].insert_one(row)
        await until(_held(reader))
    assert reader.texts == ["sealed"]


def _held(reader: Reader) -> Callable[[], Awaitable[list[str]]]:
    async def look() -> list[str]:
        return reader.texts

    return look


def _erased(group: str) -> Callable[[], Awaitable[float]]:
    async def look() -> float:
        return erased_of(group)

    return look
