"""Timers on the MongoDB protocol: each fires once, whoever looks and whoever dies."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from schemas.topics import ROUTING_COMMANDS
from services.chassis.broker import partition_of
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.loops import fire
from services.conversation.store import Store
from tests import crash
from tests.unit.conversation.builders import INBOXES, at, message

CUSTOMERS = 30
LATER = at(40)
"""When the router has not answered for more than half a minute: each request is due to be made again."""


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    await Store(found, crash.Log()).prepare()
    items = [message(f"t{number}", customer=f"c{number}") for number in range(CUSTOMERS)]
    await Threads(Store(found, crash.Log()), INBOXES, next_due).apply(
        ATTACH, [Delivery("t", 0, number, item) for number, item in enumerate(items)]
    )
    yield found
    await found.client.close()


class Replica:
    """A replica's clock and its own way to the database."""

    def __init__(self, database: Any, log: crash.Log, now: datetime = LATER) -> None:
        self.store = Store(database, log, lambda: now)
        self.threads = Threads(self.store, INBOXES, next_due, lambda: now)
        self.bounds = dict.fromkeys(range(12), now)

    async def fire(self, batch: int = 7) -> None:
        await fire(self.threads, self.store, self.bounds, batch)


async def tries(database: Database) -> Counter[int]:
    return Counter(
        [row["state"]["current"]["routing"]["tries"] async for row in database["threads"].find({})]
    )


def asked(log: crash.Log) -> Counter[str]:
    """Return how many requests were made for each Customer, each counted once by its id."""
    records = [json.loads(each.value) for each in log.records if each.topic == ROUTING_COMMANDS.name]
    unique = {record["id"]: record["customer_id"] for record in records}
    return Counter(unique.values())


async def test_what_is_due_at_once_fires_once(database: Database) -> None:
    log = crash.Log()
    replica = Replica(database, log)
    await replica.fire()
    await replica.fire()
    assert await tries(database) == {1: CUSTOMERS}
    assert set(asked(log).values()) == {1}
    assert len(asked(log)) == CUSTOMERS


async def test_replicas_that_look_at_the_same_time_fire_each_timer_once(database: Database) -> None:
    logs = [crash.Log() for _ in range(3)]
    await asyncio.gather(*(Replica(database, log).fire(batch) for batch, log in enumerate(logs, start=4)))
    assert await tries(database) == {1: CUSTOMERS}
    together = crash.Log()
    together.records = [record for log in logs for record in log.records]
    assert len(asked(together)) == CUSTOMERS
    assert set(asked(together).values()) == {1}


async def test_a_crash_at_any_step_fires_none_twice_and_forgets_none(database: Database) -> None:
    log, crashes, step = crash.Log(), 0, 0
    while True:
        step += 3
        fuse = crash.Fuse(step)
        log.fuse = fuse
        try:
            await Replica(crash.Database(database, fuse), log).fire()
        except crash.Crash:
            crashes += 1
        else:
            break
    log.fuse = crash.Fuse(None)
    store = Store(database, log)
    await store.drain(await store.left(list(range(12)), at(100), 100))
    assert crashes > 2
    assert await tries(database) == {1: CUSTOMERS}
    assert set(asked(log).values()) == {1}
    assert len(asked(log)) == CUSTOMERS
    assert await database["threads"].count_documents({"outbox.0": {"$exists": True}}) == 0


async def test_a_partition_that_lags_holds_back_its_own_timers_alone(database: Database) -> None:
    lagging = partition_of("c0")
    replica = Replica(database, crash.Log())
    replica.bounds[lagging] = at(20)
    await replica.fire()
    held = sum(partition_of(f"c{number}") == lagging for number in range(CUSTOMERS))
    assert await tries(database) == {0: held, 1: CUSTOMERS - held}
