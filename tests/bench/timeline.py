"""A page of a Customer's timeline, however long the timeline is."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from services.chassis.auth import Principal, Role
from services.chassis.delivery import Delivery
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database, Document, connect
from services.chassis.pages import make_cursor
from services.conversation.access import Access
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.store import Store
from services.conversation.timeline_store import page
from services.conversation.views import timeline_view
from tests.bench.figures import Figure, Pair, at_most, compared
from tests.bench.messages import identified
from tests.bench.processes import Cost, servers
from tests.bench.raw import Unheard
from tests.bench.rounds import by_turns
from tests.bench.setup import Setup

BOUND = 1.2
ITEMS = 10
"""Of the short timeline, and of a page."""
LEAD = Principal("lea", frozenset({Role.LEAD}))
INBOXES = {"support": Inbox(name="support")}
_BLOCK = 2_000
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SPACES = {"a minute": timedelta(minutes=1), "an hour": timedelta(hours=1)}


async def run(setup: Setup) -> list[Figure]:
    """Return the time of a page of a long timeline, its first and one amid it, against a short one's."""
    long = setup.sized(smoke=200, small=100_000, full=100_000)
    rounds = setup.sized(smoke=1, small=7, full=15)
    repeats = setup.sized(smoke=2, small=40, full=100)
    database = connect(setup.settings, "timeline")
    store = Store(database, Unheard(), lambda: NOW)
    await store.prepare()
    figures = []
    for space, pause in SPACES.items():
        await _seed(store, database, f"long {space}", long, pause)
        await _seed(store, database, f"short {space}", ITEMS, pause)
        pages, few = _shown(store, f"long {space}"), _shown(store, f"short {space}")
        amid = await _cursor(database, f"long {space}", NOW - pause * (long // 2))
        for name, cursor in (("the first page", None), ("a page amid", amid)):
            pairs = await by_turns(
                rounds,
                subject=_timed(partial(pages, cursor), repeats),
                control=_timed(partial(few, None), repeats),
            )
            figures += _figures(f"timeline of {long:,} items, {space} apart, {name}", pairs)
    await database.client.close()
    return figures


async def _seed(store: Store, database: Database, customer: str, items: int, pause: timedelta) -> None:
    """Write the thread as the system does, and so many copies of its message, the latest of now."""
    await Threads(store, INBOXES, next_due, lambda: NOW).apply(
        ATTACH, [Delivery("t", 0, 0, identified(customer, 0, NOW))]
    )
    model = await database["timeline"].find_one({"home": customer, "kind": "message"}, {"words": 0})
    await database["timeline"].delete_many({"home": customer})
    if model is None:
        raise LookupError(customer)
    for start in range(0, items, _BLOCK):
        rows = [_copy(model, customer, n, pause) for n in range(start, min(start + _BLOCK, items))]
        await database["timeline"].insert_many(rows, ordered=False)


def _copy(model: Document, customer: str, number: int, pause: timedelta) -> Document:
    at = NOW - pause * number
    return {**model, "_id": f"{customer}-{number}", "seq": -number, "at": at, "received_at": at}


def _shown(store: Store, customer: str) -> Callable[[str | None], Awaitable[int]]:
    """Return what the route does for a page, after the token and before the answer."""
    access = Access(store)

    async def show(cursor: str | None) -> int:
        homes = await access.customer(LEAD, customer)
        latest = await store.latest(customer)
        rows, _ = await page(store.timeline, homes, latest, ITEMS, cursor)
        return len([timeline_view(row) for row in rows])

    return show


async def _cursor(database: Database, customer: str, at: datetime) -> str:
    """Return the cursor of the page that begins at about `at`."""
    _, cursor = await page(database["timeline"], [customer], at, 1, make_cursor([at, 0, ""]))
    if cursor is None:
        raise LookupError(customer)
    return cursor


def _timed(show: Callable[[], Awaitable[int]], repeats: int) -> Callable[[], Awaitable[tuple[float, float]]]:
    """Return a measure: milliseconds a page by the clock, and of processor time here and in the server."""

    async def measure() -> tuple[float, float]:
        server = Cost(servers())
        clock, own = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            if await show() != ITEMS:
                raise ValueError("a page is not full")
        seconds, own = time.perf_counter() - clock, time.process_time() - own
        return 1000 * seconds / repeats, 1000 * (own + sum(server.lap().values())) / repeats

    return measure


def _figures(name: str, pairs: Sequence[tuple[Any, Any]]) -> list[Figure]:
    control = f"that of a Customer with {ITEMS} items"
    by_clock = [Pair(subject[0], beside[0]) for subject, beside in pairs]
    used = [Pair(subject[1], max(beside[1], 0.001)) for subject, beside in pairs]
    return [
        compared(name, "ms/page", by_clock, control=control, target=at_most(BOUND)),
        compared(f"… {name}, processor time", "ms/page", used, control=control),
    ]
