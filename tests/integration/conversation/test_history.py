"""Conversations as they were, on the MongoDB protocol."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from schemas import ids
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.conversation.domain import lifecycle, replies
from services.conversation.domain.draft import Draft
from services.conversation.domain.rules import ATTACH, ROUTE
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.history_store import as_it_was
from services.conversation.store import Store
from services.conversation.views import conversation_view
from tests.crash import Log
from tests.unit.conversation.builders import CUSTOMER, INBOXES, START, at, grant, message


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    yield found
    await found.client.close()


class Life:
    """Changes one thread, a second apart, and notes what the API showed after each."""

    def __init__(self, database: Database) -> None:
        self.seconds = 0.0
        self.store = Store(database, Log(), lambda: at(self.seconds))
        self.threads = Threads(self.store, INBOXES, next_due, lambda: at(self.seconds))
        self.shown: list[tuple[float, dict[str, Any]]] = []

    async def note(self) -> None:
        thread = (await self.store.load([CUSTOMER]))[CUSTOMER].thread
        assert thread.current is not None
        found = await self.store.conversation(thread.current.id)
        assert found is not None
        self.shown.append((self.seconds, conversation_view(found)))
        self.seconds += 1

    async def hears(self, key: object, **options: Any) -> None:
        item = message(key, seconds=self.seconds, **options)
        await self.threads.apply(ATTACH, [Delivery("t", 0, 0, item)])
        await self.note()

    async def does(self, change: Callable[[Draft], None]) -> None:
        await self.threads.command(CUSTOMER, ids.derive("c", self.seconds), change)
        await self.note()

    async def granted(self) -> None:
        thread = (await self.store.load([CUSTOMER]))[CUSTOMER].thread
        await self.threads.apply(ROUTE, [Delivery("t", 0, 0, grant(thread, n=int(self.seconds)))])
        await self.note()


async def test_at_any_moment_a_conversation_is_what_the_api_showed_then(database: Database) -> None:
    life = Life(database)
    await life.store.prepare()
    await life.hears(1)
    await life.granted()
    await life.hears(2)
    await life.hears("mail", channel=message("x").data.channel.EMAIL)
    await life.does(lambda draft: lifecycle.set_topics(draft, ("returns", "returns/damaged")))
    await life.does(lambda draft: lifecycle.set_priority(draft, 7))
    await life.does(lifecycle.unassign)
    await life.granted()
    await life.does(lifecycle.no_reply_needed)
    await life.hears(3)
    await life.does(lambda draft: lifecycle.transfer_to_inbox(draft, INBOXES["vip"], by="lea"))
    await life.does(lambda draft: lifecycle.close(draft, confirmed=True))
    about = (await life.store.load([CUSTOMER]))[CUSTOMER].thread.current
    assert about is not None
    await life.does(
        lambda draft: replies.note(draft, note_id=ids.derive("n"), author="ana", text="kept", about=about)
    )
    await life.does(lambda draft: lifecycle.reopen(draft, agent="ana"))
    assert len({str(view) for _, view in life.shown}) > 10
    for seconds, view in life.shown:
        for later in (0, 0.4, 0.999):
            assert await as_it_was(life.store.history, about.id, at(seconds + later)) == view, seconds
    assert await as_it_was(life.store.history, about.id, at(1e6)) == life.shown[-1][1]
    assert await as_it_was(life.store.history, about.id, START - timedelta(milliseconds=1)) is None
    assert await as_it_was(life.store.history, "another", at(5)) is None


async def test_what_a_batch_did_in_one_save_is_there_step_by_step(database: Database) -> None:
    life = Life(database)
    await life.store.prepare()
    batch = [message(number, seconds=number) for number in range(5)]
    await life.threads.apply(ATTACH, [Delivery("t", 0, n, item) for n, item in enumerate(batch)])
    thread = (await life.store.load([CUSTOMER]))[CUSTOMER].thread
    assert thread.version == 1
    assert thread.current is not None
    for number in range(5):
        found = await as_it_was(life.store.history, thread.current.id, at(number + 0.5))
        assert found is not None
        assert found["updated_at"] == f"2026-01-05T09:00:0{number}.000Z"
    kept = [row async for row in life.store.history.find({}, sort=[("n", 1)])]
    assert ["view" in row for row in kept] == [True, False, False, False, False]
