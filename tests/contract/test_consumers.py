"""Every golden message, replayed through every consumer of its topic, has exactly the expected effects.

The expectations lie in `expected/<service>/<topic>/`. Where a change of theirs is meant, run with
PARLEY_WRITE_EXPECTED=1 and review the difference.
"""

import json
import os
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.envelope import rfc3339
from schemas.topics import TOPICS
from services.chassis.broker import Outgoing
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from tests.contract import examples
from tests.contract.benches import SERVICES, Bench
from tests.contract.situations import BEFORE
from tests.crash import Log

EXPECTED = Path(__file__).parent / "expected"
CASES = [(service, name) for topic in TOPICS for service in topic.consumers for name in examples.names(topic)]


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "contract")
    yield found
    await found.client.close()


class Replay:
    """One service, fed with examples."""

    def __init__(self, service: str, database: Database) -> None:
        self.log = Log()
        self.bench: Bench = SERVICES[service](database, self.log)
        self.database = database
        self.offset = 0

    async def begin(self, steps: tuple[str, ...]) -> None:
        for prepare in self.bench.prepare:
            await prepare()
        for step in steps:
            if step in self.bench.commands:
                await self.bench.commands[step]()
            else:
                assert await self.feed(step) == "handled", step
                self.offset += 1
        self.log.records.clear()
        if self.bench.shown:
            await self.bench.shown()

    async def feed(self, name: str) -> str:
        """Deliver an example at the present offset."""
        topic = examples.topic_of(name)
        delivery = Delivery(topic, 0, self.offset, examples.record(name))
        (outcome,) = await self.bench.handlers[topic]([delivery])
        return outcome if isinstance(outcome, str) else f"refused: {outcome}"

    async def effects(self) -> dict[str, Any]:
        return {
            "published": [
                _published(record) for record in self.log.records if record.topic not in self.bench.hidden
            ],
            **(
                {"shown": [json.loads(item) for item in await self.bench.shown()]} if self.bench.shown else {}
            ),
            "documents": await self._documents(),
        }

    async def _documents(self) -> dict[str, list[Any]]:
        names = sorted(set(await self.database.list_collection_names()) - self.bench.hidden)
        found = {}
        for name in names:
            rows = [row async for row in self.database[name].find({}, sort=[("_id", 1)])]
            found[name] = [self._visible(row) for row in rows]
        return {name: rows for name, rows in found.items() if rows}

    def _visible(self, row: dict[str, Any]) -> Any:
        kept = {field: value for field, value in row.items() if field not in self.bench.hidden}
        return json.loads(json.dumps(kept, default=_plain))


def _published(record: Outgoing) -> dict[str, Any]:
    return {"topic": record.topic, "key": record.key, "value": json.loads(record.value)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    assert isinstance(value, bytes)
    return value.decode()


@pytest.mark.parametrize(("service", "name"), CASES)
async def test_an_example_has_exactly_the_expected_effects(
    service: str, name: str, database: Database
) -> None:
    replay = Replay(service, database)
    await replay.begin(BEFORE.get((service, name), ()))
    effects = {"outcome": await replay.feed(name), **await replay.effects()}
    kept = EXPECTED / service / f"{name}.json"
    if os.environ.get("PARLEY_WRITE_EXPECTED"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(effects, indent=2, ensure_ascii=False) + "\n")
    assert effects == json.loads(kept.read_text())


@pytest.mark.parametrize(("service", "name"), CASES)
async def test_an_example_that_is_delivered_again_has_no_further_effect(
    service: str, name: str, database: Database
) -> None:
    replay = Replay(service, database)
    await replay.begin(BEFORE.get((service, name), ()))
    await replay.feed(name)
    first = await replay.effects()
    await replay.feed(name)
    second = await replay.effects()
    assert {record["value"]["id"] for record in second["published"]} == {
        record["value"]["id"] for record in first["published"]
    }
    assert second["documents"] == first["documents"]


def test_every_expectation_and_situation_is_of_a_case() -> None:
    kept = {
        (
            path.relative_to(EXPECTED).parts[0],
            str(path.relative_to(EXPECTED / path.relative_to(EXPECTED).parts[0]))[:-5],
        )
        for path in EXPECTED.rglob("*.json")
    }
    assert kept == set(CASES)
    assert set(BEFORE) <= set(CASES)


def test_what_identity_makes_of_the_inbound_examples_are_the_identified_ones() -> None:
    for path in (EXPECTED / "identity" / "messages.inbound").iterdir():
        published = json.loads(path.read_text())["published"]
        (identified,) = [one["value"] for one in published if one["topic"] == "messages.identified"]
        name = path.name.replace("received", "identified").removesuffix(".json")
        assert identified == json.loads(examples.text(f"messages.identified/{name}"))
