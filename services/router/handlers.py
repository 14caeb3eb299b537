"""Owning pools: commands in, journal entry, read models, decisions out.

For every batch of a pool: step in memory, append one entry, write the read models, publish, mark the
entry published. The entry is the moment of truth. What fails before it is forgotten together with the
memory; what fails after it is done again, from memory or, after a crash, by whoever loads the pool.
Ids follow from pool and number, so doing it again doubles nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any, Protocol

from schemas.routing import AgentCommandData
from services.chassis.broker import Publisher, partition_of
from services.chassis.clock import Clock
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery, Outcome
from services.chassis.logging import log
from services.router.domain.engine import Input, NewPolicy, Step, TakeOver, Tick, step
from services.router.domain.policy import Policy
from services.router.domain.pool import Pool
from services.router.journal import Entry, Given, History, PoolTaken, encode
from services.router.owned import Changes, Owned, dump, outgoing, rebuild, record, wants_snapshot

_LONGEST_SILENCE = timedelta(seconds=5)
"""Nobody is lost for heartbeats we could not hear: after such a gap all start with full grace."""
_STAND_BACK = timedelta(seconds=3)
"""How long a timer leaves a pool alone that somebody else has taken."""


class Store(Protocol):
    """Where pools live. Every write may be repeated."""

    async def pools(self) -> Sequence[str]:
        """Return the names of all pools that have a journal."""

    async def history(self, pool: str) -> History:
        """Return the newest snapshot, and all entries after it."""

    async def answered(self, commands: Sequence[str]) -> frozenset[str]:
        """Return those of these commands, by id, that have an outcome."""

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

    def stepped(self, pool: Pool, steps: Sequence[Step], seconds: float) -> None:
        """Count a batch that was journaled."""

    def watched(self, pool: Pool, now: datetime) -> None:
        """Measure queues and capacity of an owned pool."""

    def lost(self, pool: str, *, conflict: bool) -> None:
        """Forget a pool that is not owned any more."""

    def diverged(self, pool: str) -> None:
        """Count an entry whose replay decided otherwise than was recorded."""


class Router:
    """Runs the pools whose partitions this replica owns."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        observer: Observer,
        policy_of: Callable[[str], Policy],
        clock: Clock,
        owner: str,
        snapshot_every: int = 200,
    ) -> None:
        self._store, self._publisher, self._observer = store, publisher, observer
        self._policy_of, self._clock, self._owner = policy_of, clock, owner
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
        answered = await self._answered(owned, batch)
        known, fresh = [], []
        for each in batch:
            command = str(each.message.id)
            known.append(owned.applied.knows(each.partition, each.offset, command) or command in answered)
            if not known[-1]:
                fresh.append(each)
                if _is_of_agent(each):
                    answered.add(command)
        if fresh:
            given = tuple(Given(encode(each.message), each.partition, each.offset) for each in fresh)
            await self._advance(owned, [each.message for each in fresh], given, self._clock())
        await self._flush(owned)
        return known

    async def _answered(self, owned: Owned, batch: Sequence[Delivery]) -> set[str]:
        """Return those of the Agents' commands that were handled before, perhaps at another offset.

        Who got no answer publishes the command anew: it has its outcome already, and no second effect.
        """
        commands = [str(each.message.id) for each in batch if _is_of_agent(each)]
        if not commands:
            return set()
        unshown = set(owned.changes.replies) if owned.changes else set()
        return unshown | await self._store.answered(commands)

    # --- time -----------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Let time pass in every owned pool that has something due, and finish what was left.

        A pool that fails holds up no other; the first failure is raised in the end.
        """
        if not self._sought:
            await self.assigned(self._partitions)
        failures: list[Exception] = []
        for name in sorted(self._mine):
            moment = self.caught_up(partition_of(name))
            if moment is None:
                continue
            try:
                async with self._locks[name]:
                    await self._tick_pool(name, moment)
            except Exception as error:  # noqa: BLE001  (raised when all have had their turn)
                failures.append(error)
        if failures:
            raise failures[0]

    async def _tick_pool(self, name: str, moment: datetime) -> None:
        owned = self._pools.get(name)
        if owned is None:
            if self._clock() < self._stand_back.get(name, moment):
                return
            owned = await self._acquire(name)
        await self._flush(owned)
        silent = owned.ticked_at is not None and moment - owned.ticked_at > _LONGEST_SILENCE
        policy = self._policy_of(name)
        inputs: list[Input] = [TakeOver(policy)] if silent else []
        if policy != owned.pool.state.policy and not silent:
            inputs.append(NewPolicy(policy))
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
            names = await self._store.pools()
        except Exception as error:  # noqa: BLE001  (a rebalance must go on; the next tick tries again)
            log.warning("take_over_failed", error=type(error).__name__)
            return
        wanted = [name for name in names if partition_of(name) in partitions and name not in self._pools]
        self._sought = all([await self._taken_over(name) for name in wanted])

    async def _taken_over(self, name: str) -> bool:
        try:
            async with self._locks[name]:
                await self._flush(self._pools.get(name) or await self._acquire(name))
        except Exception as error:  # noqa: BLE001  (as above; and other pools go on)
            log.warning("take_over_failed", pool=name, error=type(error).__name__)
            return False
        return True

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
        owned = rebuild(name, await self._store.history(name), self._observer.diverged)
        given = TakeOver(self._policy_of(name))
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
            entry = Entry(owned.name, owned.n + 1, self._owner, at, given, outgoing(steps))
            await self._store.append(entry)
        except BaseException as error:
            self._drop(owned.name, conflict=isinstance(error, PoolTaken))
            raise
        record(owned, entry, inputs, steps)
        owned.pending.append(entry)
        self._observer.stepped(owned.pool, steps, seconds)

    async def _flush(self, owned: Owned) -> None:
        """Show and publish what is journaled, then mark it."""
        if owned.changes is None:
            return
        await self._store.show(owned.changes)
        await self._publisher.publish([each for entry in owned.pending for each in entry.outgoing])
        await self._store.mark_published(owned.name, [entry.n for entry in owned.pending])
        owned.pending, owned.changes = [], None
        if wants_snapshot(owned, self._snapshot_every):
            await self._store.keep_snapshot(owned.name, owned.n, dump(owned))
            owned.snapshot_n, owned.unsaved = owned.n, 0


def _is_of_agent(delivery: Delivery) -> bool:
    return isinstance(delivery.message.data, AgentCommandData)


def _milliseconds(moment: datetime) -> datetime:
    """Cut to what the journal keeps, so that a replay steps at the same moments."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
