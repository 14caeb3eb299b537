"""The thread store on the MongoDB protocol: a crash at every step of a batch, then recovery."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from schemas.topics import CONVERSATIONS_EVENTS, ROUTING_COMMANDS
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.conversation.domain import lifecycle
from services.conversation.domain.rules import ATTACH, ROUTE
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.store import Store
from tests import crash
from tests.unit.conversation.builders import INBOXES, at, grant, message

MOST_STEPS = 60


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    await Store(found, crash.Log()).prepare()
    yield found
    await found.client.close()


def threads(database: Any, log: crash.Log) -> Threads:
    return Threads(Store(database, log, lambda: at(5)), INBOXES, next_due, lambda: at(5))


def deliveries(items: Sequence[Any]) -> list[Delivery]:
    return [Delivery("messages.identified", 0, number, item) for number, item in enumerate(items)]


def batch_of(customer: str) -> list[Delivery]:
    """Six messages of one Customer, one of them twice, around a Conversation's whole beginning."""
    keys = [f"{customer}-{number}" for number in range(5)]
    items = [message(key, seconds=number, customer=customer) for number, key in enumerate(keys)]
    return deliveries([*items[:3], items[1], *items[3:]])


def events(log: crash.Log, topic: str) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in log.records if record.topic == topic]


def first_seen(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({record["id"]: record for record in reversed(records)}.values())[::-1]


async def check(database: Database, customer: str, log: crash.Log) -> None:
    rows = [row async for row in database["timeline"].find({"home": customer, "kind": "message"})]
    assert len(rows) == 5
    stored = await database["conversations"].count_documents({"customer_id": customer})
    assert stored == 1
    thread = await database["threads"].find_one({"_id": customer})
    assert thread is not None
    assert thread["outbox"] == []
    unique = first_seen(events(log, CONVERSATIONS_EVENTS.name))
    assert [event["seq"] for event in unique] == list(range(1, thread["seq"] + 1))
    added = [event["personal"] for event in unique if event["type"] == "message.added"]
    assert len(added) == 5
    requests = first_seen(events(log, ROUTING_COMMANDS.name))
    assert [(item["type"], item["data"]["epoch"]) for item in requests] == [("routing.request", 1)]


async def test_a_batch_without_a_crash_has_each_message_once(database: Database) -> None:
    log = crash.Log()
    outcomes = await threads(database, log).apply(ATTACH, batch_of("calm"))
    assert outcomes == [HANDLED, HANDLED, HANDLED, DUPLICATE, HANDLED, HANDLED]
    await check(database, "calm", log)


async def test_a_crash_at_any_step_loses_and_doubles_nothing(database: Database) -> None:
    crashes = 0
    for step in range(1, MOST_STEPS):
        customer, fuse = f"c{step}", crash.Fuse(step)
        log = crash.Log(fuse)
        try:
            await threads(crash.Database(database, fuse), log).apply(ATTACH, batch_of(customer))
        except crash.Crash:
            crashes += 1
        else:
            break
        fuse.at = None
        await threads(database, log).apply(ATTACH, batch_of(customer))
        await check(database, customer, log)
    assert crashes == fuse.steps > 10


async def test_a_crash_before_publishing_is_healed_by_the_sweeper(database: Database) -> None:
    fuse = crash.Fuse(1)
    log = crash.Log(fuse)
    with pytest.raises(crash.Crash):
        await threads(database, log).apply(ATTACH, batch_of("swept"))
    fuse.at = None
    store = Store(database, log, lambda: at(60))
    await store.drain(await store.left(list(range(12)), at(50), 10))
    await check(database, "swept", log)


async def test_commands_to_one_thread_take_turns(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    work, lost = threads(database, crash.Log()), []
    await work.apply(ATTACH, batch_of("busy"))
    save = Store.save

    async def counted(*args: Any) -> frozenset[str]:
        refused = await save(*args)
        lost.extend(refused)
        return refused

    monkeypatch.setattr(Store, "save", counted)
    await asyncio.gather(
        *(
            work.command("busy", uuid4(), lambda draft, number=number: lifecycle.set_priority(draft, number))
            for number in range(1, 31)
        )
    )
    assert lost == []
    thread = await database["threads"].find_one({"_id": "busy"})
    assert thread is not None
    assert thread["outbox"] == []


async def test_many_writers_of_one_thread_lose_nothing(database: Database) -> None:
    log = crash.Log()
    work = threads(database, log)
    items = [message(f"race-{number}", seconds=number, customer="race") for number in range(20)]
    await asyncio.gather(*(work.apply(ATTACH, deliveries([item])) for item in items))
    assert await database["timeline"].count_documents({"home": "race", "kind": "message"}) == 20
    assert await database["conversations"].count_documents({"customer_id": "race"}) == 1
    unique = first_seen(events(log, CONVERSATIONS_EVENTS.name))
    assert sorted(event["seq"] for event in unique) == list(range(1, len(unique) + 1))


async def test_decisions_are_applied_once_and_in_order(database: Database) -> None:
    log = crash.Log()
    work = threads(database, log)
    await work.apply(ATTACH, deliveries([message("d", customer="decided")]))
    thread = (await work.store.load(["decided"]))["decided"].thread
    batch = deliveries([grant(thread, "ana", n=3), grant(thread, "ana", n=3)])
    assert await work.apply(ROUTE, batch) == [HANDLED, DUPLICATE]
    current = (await work.store.load(["decided"]))["decided"].thread.current
    assert current is not None
    assert (current.status, current.agent) == ("open", "ana")


async def test_a_message_to_an_unknown_inbox_is_refused_and_the_others_are_kept(database: Database) -> None:
    good, bad = message("g", customer="mixed"), message("b", customer="mixed", inbox="nowhere")
    outcomes = await threads(database, crash.Log()).apply(ATTACH, deliveries([bad, good]))
    assert (str(outcomes[0]), outcomes[1]) == ("UnknownInboxError", HANDLED)
    assert await database["timeline"].count_documents({"home": "mixed", "kind": "message"}) == 1
