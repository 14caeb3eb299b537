"""Pages of a list: every item once, though many share their time and more arrive."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.chassis.mongo import Collection, connect
from services.chassis.pages import page
from services.chassis.problems import Problem
from services.chassis.settings import Settings

ORDER = ("at", "seq", "_id")
NOON = datetime(2026, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)


@pytest.fixture
async def rows(embedded_mongo: str, database_name: str) -> AsyncIterator[Collection]:
    database = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "pages")
    yield database["rows"]
    await database.client.close()


def row(number: int) -> dict[str, Any]:
    return {"_id": f"r{number:02}", "home": "c", "at": NOON.replace(second=number // 6), "seq": number // 3}


async def all_pages(rows: Collection, limit: int, between: Any = None) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        shown = await page(rows, {"home": "c"}, ORDER, limit, cursor, lambda item: item)
        found += [item["_id"] for item in shown["items"]]
        cursor = shown["next_cursor"]
        if cursor is None:
            return found
        if between:
            await rows.insert_one(between())


async def test_each_item_is_shown_once_in_order(rows: Collection) -> None:
    await rows.insert_many([row(number) for number in range(20)])
    expected = [f"r{number:02}" for number in reversed(range(20))]
    for limit in (1, 2, 3, 7, 20, 200):
        assert await all_pages(rows, limit) == expected


async def test_new_items_do_not_shift_the_pages(rows: Collection) -> None:
    await rows.insert_many([row(number) for number in range(20)])
    numbers = iter(range(40, 99))
    shown = await all_pages(rows, 3, lambda: row(next(numbers)))
    assert shown == [f"r{number:02}" for number in reversed(range(20))]


@pytest.mark.parametrize("cursor", ["x", "", "bnVsbA", "WzEsMl0", "W3t9LDEsMl0", "WzFlOTksMSwiYSJd"])
async def test_a_strange_cursor_is_named(rows: Collection, cursor: str) -> None:
    with pytest.raises(Problem) as refusal:
        await page(rows, {}, ORDER, 10, cursor, lambda item: item)
    assert (refusal.value.status, "cursor" in str(refusal.value.body["detail"])) == (422, True)
