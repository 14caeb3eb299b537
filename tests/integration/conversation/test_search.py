"""Search on the MongoDB protocol."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services.chassis.delivery import Delivery
from services.chassis.mongo import connect
from services.chassis.settings import Settings
from services.conversation import search_store
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.domain.words import asked
from services.conversation.handlers import Threads
from services.conversation.search_store import Place, Query, batches
from services.conversation.store import Store
from tests.crash import Log
from tests.unit.conversation.builders import INBOXES, at, message


@pytest.fixture
async def store(embedded_mongo: str, database_name: str) -> AsyncIterator[Store]:
    database = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "search")
    made = Store(database, Log())
    await made.prepare()
    yield made
    await database.client.close()


async def write(store: Store, texts: Sequence[str], *, customer: str = "ada", first: int = 0) -> None:
    items = [
        message(f"{customer}{first + number}", text, seconds=first + number, customer=customer)
        for number, text in enumerate(texts)
    ]
    await Threads(store, INBOXES, next_due).apply(
        ATTACH, [Delivery("t", 0, number, item) for number, item in enumerate(items)]
    )


async def found(store: Store, query: str, place: Place | None = None, **options: Any) -> list[str]:
    rows = [
        row async for batch in batches(store.timeline, Query(asked(query), **options), place) for row in batch
    ]
    return [row["text"] for row in rows if "home" in row]


async def test_the_newest_comes_first_and_all_words_must_be_there(store: Store) -> None:
    await write(store, ["The café was closed", "Is the CAFE open?", "cafeteria", "nothing"])
    assert await found(store, "cafe") == ["cafeteria", "Is the CAFE open?", "The café was closed"]
    assert await found(store, "cafe open") == ["Is the CAFE open?"]
    assert await found(store, "cafe zzz") == []
    assert await found(store, "zzz") == []


async def test_a_search_keeps_to_homes_channels_and_times(store: Store) -> None:
    await write(store, ["parcel one", "parcel two"], customer="ada")
    await write(store, ["parcel three"], customer="ben", first=10)
    await write(store, ["parcel four"], customer="cy", first=20)
    assert await found(store, "parcel", homes=["ada"]) == ["parcel two", "parcel one"]
    assert await found(store, "parcel", homes=["ada", "ben"]) == ["parcel three", "parcel two", "parcel one"]
    assert await found(store, "parcel", channel="email") == []
    assert await found(store, "parcel", channel="sms", since=at(1), before=at(20)) == [
        "parcel three",
        "parcel two",
    ]


async def test_pages_are_steady_over_items_of_one_moment_and_newer_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_store, "BATCH", 3)
    texts = [f"parcel {number}" for number in range(8)]
    await write(store, texts)
    await store.timeline.update_many(
        {"kind": "message", "text": {"$in": texts[1:6]}}, {"$set": {"at": at(3)}}
    )
    whole = await found(store, "parcel")
    assert sorted(whole) == texts
    rows = [row async for batch in batches(store.timeline, Query(asked("parcel")), None) for row in batch]
    await write(store, ["parcel of today"], customer="ben", first=100)
    for number, row in enumerate(rows):
        assert await found(store, "parcel", (row["at"], row["_id"])) == whole[number + 1 :]


async def test_a_query_of_whole_words_and_one_of_a_beginning_are_served_by_the_index(store: Store) -> None:
    await write(store, ["parcel one", "parcel two"])
    plan = await store.timeline.find(Query(asked("parcel one")).document()).explain()
    assert "by_words" in str(plan["queryPlanner"]["winningPlan"])
