"""Timers, and effects that were left over: done by the replica that owns the Customer's partition."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from services.chassis.clock import Clock
from services.chassis.stage import Stage
from services.conversation import metrics
from services.conversation.handlers import Threads
from services.conversation.rules_file import RulesFile
from services.conversation.settings import ConversationSettings
from services.conversation.store import Store

MOST_DUE = 20_000
"""Customers named by one look for due timers."""
AT_ONCE = 2
"""Batches under way at a time: while the database writes one, the next is decided."""
_FRESH = timedelta(seconds=1)
_SETTLED = timedelta(minutes=10)


def fire_timers(
    threads: Threads, store: Store, stage: Callable[[], Stage], settings: ConversationSettings
) -> Callable[[], Awaitable[None]]:
    """Return a round that fires what is due.

    A timer waits until its partition has been consumed past the due time: a message that came before
    it is applied before it. Ownership only avoids double work; the version check makes it exact.
    """

    async def round_() -> None:
        now = threads.clock()
        bounds = {
            partition: min(now, caught_up)
            for partition in stage().assignment.owned
            if (caught_up := stage().assignment.caught_up_to(partition)) is not None
        }
        await fire(threads, store, level(bounds, now), settings.timer_batch)

    return round_


async def fire(threads: Threads, store: Store, bounds: Mapping[int, datetime], batch: int) -> None:
    """Fire what is due in each partition by its bound: all that is found at once, `batch` at a time.

    What another replica has fired meanwhile is not due any more when it is loaded, or lost when it is saved.
    """

    async def some(due: Mapping[str, datetime]) -> int:
        loaded = await store.load(list(due))
        return await threads.tick(
            [item for name, item in loaded.items() if item.due_at is not None and item.due_at <= due[name]]
        )

    while True:
        due = list((await store.due(bounds, MOST_DUE)).items())
        parts = [dict(due[start : start + batch]) for start in range(0, len(due), batch)]
        changed = 0
        for turn in range(0, len(parts), AT_ONCE):
            changed += sum(await _all([some(part) for part in parts[turn : turn + AT_ONCE]]))
        metrics.TIMERS.inc(changed)
        if len(due) < MOST_DUE or not changed:
            return


async def _all(work: Sequence[Awaitable[int]]) -> list[int]:
    """Do it at the same time; one that fails raises when all have ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, int)]


def count_current(store: Store) -> Callable[[], Awaitable[None]]:
    """Return a round that counts the Conversations that are not closed."""

    async def round_() -> None:
        for status, count in (await store.current()).items():
            metrics.CURRENT.labels(status).set(count)

    return round_


def follow_rules(rules: RulesFile, store: Store, clock: Clock) -> Callable[[], Awaitable[None]]:
    """Return a round that takes over changed rules, and lets the clock look at what they make due.

    Other replicas may still go by the old rules for a while: the clock looks once more after it.
    """
    looks: list[datetime] = []
    known = False

    async def round_() -> None:
        nonlocal known
        changed = await rules.look()
        now = clock()
        if changed or not known:
            looks[:] = [now, now + _SETTLED] if await store.new_rules(rules.rules.aging, now) else looks
            known = True
        while looks and looks[0] <= now:
            await store.wake(now)
            del looks[0]

    return round_


def level(bounds: Mapping[int, datetime], now: datetime) -> dict[int, datetime]:
    """Return the bounds, those of about now all as early as the earliest of them.

    One moment takes one query; a partition that lags keeps its own, and holds up no other.
    """
    fresh = [bound for bound in bounds.values() if now - bound < _FRESH]
    return {partition: min(fresh) if bound in fresh else bound for partition, bound in bounds.items()}


def sweep_outboxes(
    store: Store, stage: Callable[[], Stage], settings: ConversationSettings, clock: Clock
) -> Callable[[], Awaitable[None]]:
    """Return a round that carries out effects which a crash or an absent broker left behind."""

    async def round_() -> None:
        await store.outbox.observe()
        before = clock() - timedelta(seconds=settings.outbox_age_seconds)
        left = await store.left(sorted(stage().assignment.owned), before, limit=200)
        await store.drain(left)

    return round_
