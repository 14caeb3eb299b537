"""Owning pools: commands in, journal entry, read models, decisions out.

For every batch of a pool: step in memory, append one entry, write the read models, publish, mark the
entry published. The entry is the moment of truth. What fails before it is forgotten together with the
memory; what fails after it is done again, from memory or, after a crash, by whoever loads the pool.
Ids follow from pool and number, so doing it again doubles nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, Protocol

from schemas.envelope import Envelope
from schemas.routing import AgentChanged
from schemas.topics import AGENTS_EVENTS, ROUTING_DECISIONS
from services.chassis.broker import Outgoing, Publisher, partition_of
from services.chassis.clock import Clock
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery, Outcome
from services.chassis.logging import log
from services.router.domain import snapshot
from services.router.domain.engine import Input, Step, TakeOver, Tick, step
from services.router.domain.offers import Reply
from services.router.domain.policy import Policy
from services.router.domain.pool import Pool, Touched
from services.router.domain.state import PoolState
from services.router.journal import Applied, Entry, Given, History, PoolTaken, decode, encode

_LONGEST_SILENCE = timedelta(seconds=5)
"""Nobody is lost for heartbeats we could not hear: after such a gap all start with full grace."""
_STAND_BACK = timedelta(seconds=3)
"""How long a timer leaves a pool alone that somebody else has taken."""


@dataclass
class Changes:
    """What the read models must show: the pool as it is, and what was answered since."""

    pool: Pool
    n: int
    touched: Touched = field(default_factory=Touched)
    replies: dict[str, Reply] = field(default_factory=dict)
    """By command id."""


class Store(Protocol):
    """Where pools live. Every write may be repeated."""

    async def pools(self) -> Sequence[str]:
        """Return the names of all pools that have a journal."""

    async def history(self, pool: str) -> History:
        """Return the newest snapshot, and all entries after it."""

    async def append(self, entry: Entry) -> None:
        """Write the pool's next entry. Raises PoolTaken when its number is already used."""

    async def show(self, changes: Changes) -> None:
        """Update the read models, never over a newer state; replies last."""

    async def mark_published(self, pool: str, numbers: Sequence[int]) -> None:
        """Note that these entries of the pool are published."""

    async def keep_snapshot(self, pool: str, n: int, document: dict[str, Any]) -> None:
        """Keep the pool as it is after entry `n`."""


class Observer(Protocol):
    """Who counts."""

    def stepped(self, pool: str, steps: Sequence[Step], seconds: float) -> None:
        """Count a batch that was journaled."""

    def watched(self, pool: Pool, now: datetime) -> None:
        """Measure queues and capacity of an owned pool."""

    def lost(self, pool: str, *, conflict: bool) -> None:
        """Forget a pool that is not owned any more."""

    def diverged(self, pool: str) -> None:
        """Count an entry whose replay decided otherwise than was recorded."""


@dataclass
class Owned:
    """A pool in memory."""

    name: str
    pool: Pool
    applied: Applied
    n: int = 0
    snapshot_n: int = 0
    pending: list[Entry] = field(default_factory=list)
    """Journaled, but perhaps not yet shown and published."""
    changes: Changes | None = None
    ticked_at: datetime | None = None


class Router:
    """Runs the pools whose partitions this replica owns."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        observer: Observer,
        policy: Policy,
        clock: Clock,
        owner: str,
        snapshot_every: int = 200,
    ) -> None:
        self._store, self._publisher, self._observer = store, publisher, observer
        self._policy, self._clock, self._owner = policy, clock, owner
        self._snapshot_every = snapshot_every
        self._pools: dict[str, Owned] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._partitions: frozenset[int] = frozenset()
        self._mine: set[str] = set()
        self._stand_back: dict[str, datetime] = {}
        self._sought = True
        self.caught_up: Callable[[int], datetime | None] = lambda _: None
        """Up to when all of a partition is handled (set by `app`); timers do not run ahead of it."""

    # --- commands -------------------------------------------------------------------------------

    async def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Handle commands of any pools, in order within each; see BatchHandler."""
        outcomes: list[Outcome] = [HANDLED] * len(batch)
        by_pool: dict[str, list[int]] = defaultdict(list)
        for index, delivery in enumerate(batch):
            by_pool[delivery.message.data.pool].append(index)
        for name, indexes in by_pool.items():
            async with self._locks[name]:
                known = await self._handle_pool(name, [batch[index] for index in indexes])
            for index, is_known in zip(indexes, known, strict=True):
                outcomes[index] = DUPLICATE if is_known else HANDLED
        return outcomes

    async def _handle_pool(self, name: str, batch: Sequence[Delivery]) -> list[bool]:
        owned = self._pools.get(name) or await self._acquire(name)
        known, fresh = [], []
        for each in batch:
            known.append(owned.applied.knows(each.partition, each.offset, str(each.message.id)))
            if not known[-1]:
                fresh.append(each)
        if fresh:
            given = tuple(Given(encode(each.message), each.partition, each.offset) for each in fresh)
            await self._advance(owned, [each.message for each in fresh], given, self._clock())
        await self._flush(owned)
        return known

    # --- time -----------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Let time pass in every owned pool that has something due, and finish what was left."""
        if not self._sought:
            await self.assigned(self._partitions)
        for name in sorted(self._mine):
            moment = self.caught_up(partition_of(name))
            if moment is not None:
                async with self._locks[name]:
                    await self._tick_pool(name, moment)

    async def _tick_pool(self, name: str, moment: datetime) -> None:
        owned = self._pools.get(name)
        if owned is None:
            if self._clock() < self._stand_back.get(name, moment):
                return
            owned = await self._acquire(name)
        await self._flush(owned)
        silent = owned.ticked_at is not None and moment - owned.ticked_at > _LONGEST_SILENCE
        inputs: list[Input] = [TakeOver(self._policy)] if silent else []
        if owned.pool.has_due(moment):
            inputs.append(Tick())
        owned.ticked_at = moment
        if inputs:
            await self._advance(owned, inputs, tuple(Given(encode(each)) for each in inputs), moment)
            await self._flush(owned)
        self._observer.watched(owned.pool, moment)

    # --- ownership ------------------------------------------------------------------------------

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Take over all pools of `partitions`. What fails is tried again by `tick`, and by commands."""
        self._partitions, self._sought = partitions, False
        try:
            for name in await self._store.pools():
                if partition_of(name) in partitions and name not in self._pools:
                    async with self._locks[name]:
                        await self._flush(self._pools.get(name) or await self._acquire(name))
        except Exception as error:  # noqa: BLE001  (a rebalance must go on; the next tick tries again)
            log.warning("take_over_failed", error=type(error).__name__)
        else:
            self._sought = True

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Forget the pools of partitions that go to others."""
        self._partitions -= partitions
        for name in [each for each in self._mine if partition_of(each) in partitions]:
            async with self._locks[name]:
                self._mine.discard(name)
                self._drop(name, conflict=False)

    async def _acquire(self, name: str) -> Owned:
        """Load the pool and append an entry: from then on the former owner's next entry fails."""
        self._mine.add(name)
        owned = rebuild(name, await self._store.history(name), self._observer)
        given = TakeOver(self._policy)
        await self._advance(owned, [given], (Given(encode(given)),), self._clock())
        self._pools[name] = owned
        log.info("pool_taken_over", pool=name, n=owned.n, unpublished=len(owned.pending))
        return owned

    def _drop(self, name: str, *, conflict: bool) -> None:
        if conflict:
            self._stand_back[name] = self._clock() + _STAND_BACK
        if self._pools.pop(name, None) is not None:
            self._observer.lost(name, conflict=conflict)

    # --- one entry ------------------------------------------------------------------------------

    async def _advance(
        self, owned: Owned, inputs: Sequence[Input], given: tuple[Given, ...], now: datetime
    ) -> None:
        """Step and append; on any failure the memory, then ahead of the journal, is dropped."""
        started = perf_counter()
        try:
            steps = [step(owned.pool, each, _milliseconds(now)) for each in inputs]
            seconds = perf_counter() - started
            at = owned.pool.state.at or now
            entry = Entry(owned.name, owned.n + 1, self._owner, at, given, _outgoing(steps))
            await self._store.append(entry)
        except BaseException as error:
            self._drop(owned.name, conflict=isinstance(error, PoolTaken))
            raise
        _record(owned, entry, inputs, steps)
        owned.pending.append(entry)
        self._observer.stepped(owned.name, steps, seconds)

    async def _flush(self, owned: Owned) -> None:
        """Show and publish what is journaled, then mark it."""
        if owned.changes is None:
            return
        await self._store.show(owned.changes)
        await self._publisher.publish([record for entry in owned.pending for record in entry.outgoing])
        await self._store.mark_published(owned.name, [entry.n for entry in owned.pending])
        owned.pending, owned.changes = [], None
        if owned.n - owned.snapshot_n >= self._snapshot_every:
            await self._store.keep_snapshot(owned.name, owned.n, dump(owned))
            owned.snapshot_n = owned.n


def dump(owned: Owned) -> dict[str, Any]:
    """Return the pool and what it has handled as a plain document."""
    return {"pool": snapshot.dump(owned.pool), "applied": owned.applied.dump(), "n": owned.n}


def rebuild(name: str, history: History, observer: Observer) -> Owned:
    """Return the pool as the journal has it; unpublished entries are pending again."""
    owned = Owned(name, Pool(PoolState(name)), Applied())
    if history.snapshot is not None:
        owned.pool = snapshot.load(history.snapshot["pool"])
        owned.applied = Applied.load(history.snapshot["applied"])
        owned.n = owned.snapshot_n = history.snapshot["n"]
    for entry in history.entries:
        inputs = [decode(each.value) for each in entry.given]
        steps = [step(owned.pool, each, entry.at) for each in inputs]
        if _outgoing(steps) != entry.outgoing:
            observer.diverged(name)
            log.error("replay_diverged", pool=name, n=entry.n)
        before = owned.changes
        _record(owned, entry, inputs, steps)
        if entry.published:
            owned.changes = before
        else:
            owned.pending.append(entry)
    if owned.changes:
        owned.changes.n = owned.n
    return owned


def _record(owned: Owned, entry: Entry, inputs: Sequence[Input], steps: Sequence[Step]) -> None:
    owned.n = entry.n
    changes = owned.changes or Changes(owned.pool, entry.n)
    changes.n, owned.changes = entry.n, changes
    for each, given, done in zip(entry.given, inputs, steps, strict=True):
        changes.touched.join(done.touched)
        if isinstance(given, Envelope):
            if done.reply:
                changes.replies.setdefault(str(given.id), done.reply)
            if each.partition is not None and each.offset is not None:
                owned.applied.add(each.partition, each.offset, str(given.id))


def _outgoing(steps: Sequence[Step]) -> tuple[Outgoing, ...]:
    return tuple(_published(decision) for done in steps for decision in done.decisions)


def _published(decision: Envelope) -> Outgoing:
    if isinstance(decision, AgentChanged):
        return Outgoing(AGENTS_EVENTS.name, decision.data.agent, decision.json_bytes())
    return Outgoing(ROUTING_DECISIONS.name, decision.customer_id or "", decision.json_bytes())


def _milliseconds(moment: datetime) -> datetime:
    """Cut to what the journal keeps, so that a replay steps at the same moments."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
