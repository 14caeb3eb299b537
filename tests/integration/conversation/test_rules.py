"""Rules on the MongoDB protocol: crashes, a file that changes, and the past read for a dry run."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import CONVERSATIONS_EVENTS, ROUTING_COMMANDS
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.ruling.definition import NONE, Rules
from services.conversation.domain.timers import next_due
from services.conversation.dry_run import dry_run
from services.conversation.handlers import Threads
from services.conversation.loops import fire, follow_rules
from services.conversation.past import Past
from services.conversation.rules_file import RulesFile
from services.conversation.store import Store
from tests import crash
from tests.unit.conversation.builders import INBOXES, at, message
from tests.unit.conversation.ruled import rules

LABELS = rules(
    "[{name: all, when: opened, then: {topic: a/b, priority: 2, inbox: fallback, note: n, reply: r}},"
    " {name: each, when: message, every: true, then: {note: again}}]"
)
OLD = "rules: [{name: old, when: age, after: SECONDSs, then: {topic: old}}]"


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    await Store(found, crash.Log()).prepare()
    yield found
    await found.client.close()


def threads(database: Any, log: crash.Log, given: Rules, seconds: float = 5) -> Threads:
    return Threads(
        Store(database, log, lambda: at(seconds)), INBOXES, next_due, lambda: at(seconds), lambda: given
    )


def batch(customer: str) -> list[Delivery]:
    items = [message(f"{customer}-{n}", seconds=n, customer=customer) for n in range(3)]
    return [Delivery("messages.identified", 0, n, item) for n, item in enumerate([*items, items[0]])]


async def check(database: Database, customer: str, log: crash.Log) -> None:
    kinds = [row["kind"] async for row in database["timeline"].find({"home": customer})]
    assert {kind: kinds.count(kind) for kind in ("message", "note", "topic")} == {
        "message": 4,
        "note": 4,
        "topic": 1,
    }
    events = {
        event["id"]: event
        for record in log.records
        if record.topic == CONVERSATIONS_EVENTS.name
        for event in (json.loads(record.value),)
    }
    fired = sorted(event["data"]["rule"] for event in events.values() if event["type"] == "rule.fired")
    assert fired == ["all", "each", "each", "each"]
    asked = {
        json.loads(record.value)["id"]: json.loads(record.value)
        for record in log.records
        if record.topic == ROUTING_COMMANDS.name
    }
    requests = [each["data"] for each in asked.values() if each["type"] == "routing.request"]
    assert [(each["inbox"], each["priority"]) for each in requests] == [("fallback", 2)]
    found = await database["conversations"].find_one({"customer_id": customer})
    assert found is not None
    assert found["topics"] == ["a", "a/b"]


async def test_a_crash_at_any_step_leaves_what_rules_do_done_once(database: Database) -> None:
    crashes = 0
    for step in range(1, 80):
        customer, fuse = f"c{step}", crash.Fuse(step)
        log = crash.Log(fuse)
        try:
            await threads(crash.Database(database, fuse), log, LABELS).apply(ATTACH, batch(customer))
        except crash.Crash:
            crashes += 1
        else:
            break
        fuse.at = None
        await threads(database, log, LABELS).apply(ATTACH, batch(customer))
        await check(database, customer, log)
    assert crashes > 10


async def test_changed_rules_of_age_hold_for_conversations_that_are_there(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: []")
    known, store = RulesFile(file, INBOXES), Store(database, crash.Log(), lambda: at(5))
    await threads(database, crash.Log(), NONE).apply(ATTACH, batch("there"))
    now = at(100)
    look = follow_rules(known, store, lambda: now)

    async def due() -> Any:
        thread = await database["threads"].find_one({"_id": "there"})
        assert thread is not None
        return thread.get("next_due")

    resend = await due()
    await look()
    assert await due() == resend
    file.write_text(OLD.replace("SECONDS", "50"))
    await look()
    assert await due() <= now
    every = dict.fromkeys(range(12), now)
    work = threads(database, crash.Log(), known.rules, 100)
    await fire(work, store, every, 10)
    found = await database["conversations"].find_one({"customer_id": "there"})
    assert found is not None
    assert found["topics"] == ["old"]
    file.write_text(OLD.replace("SECONDS", "86400"))
    now = at(101)
    await look()
    work = threads(database, crash.Log(), known.rules, 101)
    await fire(work, store, dict.fromkeys(range(12), now), 10)
    assert await due() > now, "looked at, and due when the rules say"
    # another replica, still by the old rules, has saved the thread meanwhile
    await database["threads"].update_one({"_id": "there"}, {"$set": {"next_due": at(99_999)}})
    now = at(101) + timedelta(minutes=9)
    await look()
    assert await due() == at(99_999)
    now = at(101) + timedelta(minutes=10)
    await look()
    assert await due() == now


async def test_a_dry_run_reads_the_past(database: Database) -> None:
    for customer in ("one", "two"):
        await threads(database, crash.Log(), NONE).apply(ATTACH, batch(customer))
    past = Past(database["conversations"], database["timeline"])
    before = [each async for each in database["threads"].find({})]
    answer = await dry_run(past, LABELS, at(-10), at(10), 10, 60)
    assert [(each["name"], each["fired"], each["conversations"]) for each in answer["rules"]] == [
        ("all", 2, 2),
        ("each", 6, 2),
    ]
    assert answer["conversations"] == 2
    assert (await dry_run(past, LABELS, at(-10), at(10), 1, 60))["cut"] == ["limit"]
    assert (await dry_run(past, LABELS, at(10), at(20), 1, 60))["conversations"] == 0
    assert [each async for each in database["threads"].find({})] == before
