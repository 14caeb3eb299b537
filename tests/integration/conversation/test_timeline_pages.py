"""Timelines in pages: complete and steady, whatever their shape."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.conversation.store import Store
from services.conversation.timeline_store import ORDER, page
from tests.crash import Log
from tests.unit.conversation.builders import START

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "pages")
    await Store(found, Log()).prepare()
    yield found
    await found.client.close()


def item(number: int, at: datetime, home: str = "ada") -> dict[str, Any]:
    return {"_id": f"{home}-{number:04}", "home": home, "at": at, "seq": number}


async def read(
    database: Database, homes: Sequence[str], latest: datetime | None, limit: int, between: Any = None
) -> list[str]:
    """Return the ids on all pages; call `between` after each."""
    shown: list[str] = []
    cursor = None
    while True:
        rows, cursor = await page(database["timeline"], homes, latest, limit, cursor)
        assert len(rows) == limit or cursor is None
        shown += [row["_id"] for row in rows]
        if cursor is None:
            return shown
        if between is not None:
            await between()


def newest_first(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["_id"] for row in sorted(rows, key=lambda row: [row[name] for name in ORDER], reverse=True)]


SHAPES = {
    "dense": [START + SECOND * number for number in range(120)],
    "sparse": [START + 40 * DAY * number for number in range(40)],
    "an hour apart": [START + timedelta(hours=1) * number for number in range(30)],
    "of one moment": [START] * 60,
    "a burst long ago": [START - 2000 * DAY + SECOND * number for number in range(60)] + [START],
    "older than time": [datetime.min.replace(tzinfo=START.tzinfo) + DAY, START],
    "few": [START, START + SECOND],
    "none": [],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("known", [True, False])
async def test_pages_hold_every_item_once_in_order(database: Database, shape: str, *, known: bool) -> None:
    moments = SHAPES[shape]
    rows = [item(number, at) for number, at in enumerate(moments)]
    Random(shape).shuffle(rows)  # noqa: S311  (an order, the same in every run)
    if rows:
        await database["timeline"].insert_many([*rows, item(1, START, "somebody else")])
    latest = max(moments, default=None) if known else None
    for limit in (1, 7, 200):
        assert await read(database, ["ada"], latest, limit) == newest_first(rows)


async def test_pages_of_several_homes_are_one_timeline(database: Database) -> None:
    rows = [
        item(number, START + SECOND * (number // 3), home)
        for home in ("ada", "ben", "cy")
        for number in range(30)
    ]
    await database["timeline"].insert_many(rows)
    assert await read(database, ["ada", "ben", "cy"], START, 7) == newest_first(rows)
    assert await read(database, ["ben"], START, 7) == newest_first(
        [row for row in rows if row["home"] == "ben"]
    )


async def test_new_and_late_items_move_no_page(database: Database) -> None:
    """What comes while somebody leafs: nothing seen is repeated, nothing that was there is missed."""
    rows = [item(number, START + SECOND * number) for number in range(60)]
    await database["timeline"].insert_many(rows)
    count = 1000

    async def more() -> None:
        nonlocal count
        count += 2
        newer = START + SECOND * count
        await database["timeline"].insert_many([item(count, newer), item(count + 1, START + SECOND * 55)])

    shown = await read(database, ["ada"], START + SECOND * 59, 10, more)
    assert shown == newest_first(rows)


async def test_a_late_item_appears_on_a_page_that_was_not_yet_read(database: Database) -> None:
    rows = [item(number, START + SECOND * number) for number in range(30)]
    await database["timeline"].insert_many(rows)
    first, cursor = await page(database["timeline"], ["ada"], START, 10, None)
    late = item(99, START + SECOND * 5)
    await database["timeline"].insert_one(late)
    rest: list[str] = []
    while cursor:
        found, cursor = await page(database["timeline"], ["ada"], START, 10, cursor)
        rest += [row["_id"] for row in found]
    assert [row["_id"] for row in first] + rest == newest_first([*rows, late])


async def test_each_read_of_a_page_is_served_by_the_index(database: Database) -> None:
    await database["timeline"].insert_many([item(number, START + SECOND * number) for number in range(5)])
    for condition in ({"at": {"$gte": START}}, {"at": START, "seq": {"$lt": 3}}):
        plan = await database["timeline"].find({"home": "ada", **condition}).explain()
        assert "by_home" in str(plan["queryPlanner"]["winningPlan"])
