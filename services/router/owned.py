"""A pool in memory: what its journal made of it, and what has yet to be shown and published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.envelope import Envelope
from schemas.routing import AgentChanged
from schemas.topics import AGENTS_EVENTS, ROUTING_DECISIONS
from services.chassis.broker import Outgoing
from services.chassis.logging import log
from services.router.domain import snapshot
from services.router.domain.engine import Input, Step, step
from services.router.domain.offers import Reply
from services.router.domain.pool import Pool, Touched
from services.router.domain.state import PoolState
from services.router.journal import Applied, Entry, History, decode

_CHANGED = 0.25
"""Inputs between two snapshots for each Conversation the pool holds."""


@dataclass
class Changes:
    """What the read models must show: the pool as it is, and what was answered since."""

    pool: Pool
    n: int
    touched: Touched = field(default_factory=Touched)
    replies: dict[str, Reply] = field(default_factory=dict)
    """By command id."""


@dataclass
class Owned:
    """A pool in memory."""

    name: str
    pool: Pool
    applied: Applied
    n: int = 0
    snapshot_n: int = 0
    unsaved: int = 0
    """Inputs since the snapshot."""
    pending: list[Entry] = field(default_factory=list)
    """Journaled, but perhaps not yet shown and published."""
    changes: Changes | None = None
    ticked_at: datetime | None = None


def dump(owned: Owned) -> dict[str, Any]:
    """Return the pool and what it has handled as a plain document."""
    return {"pool": snapshot.dump(owned.pool), "applied": owned.applied.dump(), "n": owned.n}


def wants_snapshot(owned: Owned, every: int) -> bool:
    """Return whether it is time: after `every` entries, and inputs in proportion to the pool.

    Writing a snapshot takes as long as the pool is large. Spread over as many inputs, its cost for each
    does not grow with the Conversations that are open, nor does a take-over with the journal's length.
    With `every` 1 there is one after each entry, whatever it costs.
    """
    if every == 1:
        return owned.n > owned.snapshot_n
    waited = owned.n - owned.snapshot_n >= every
    return waited and owned.unsaved >= len(owned.pool.state.standings) * _CHANGED


def rebuild(name: str, history: History, on_divergence: Callable[[str], None]) -> Owned:
    """Return the pool as the journal has it; unpublished entries are pending again."""
    owned = Owned(name, Pool(PoolState(name)), Applied())
    if history.snapshot is not None:
        owned.pool = snapshot.load(history.snapshot["pool"])
        owned.applied = Applied.load(history.snapshot["applied"])
        owned.n = owned.snapshot_n = history.snapshot["n"]
    for entry in history.entries:
        inputs = [decode(each.value) for each in entry.given]
        steps = [step(owned.pool, each, entry.at) for each in inputs]
        if outgoing(steps) != entry.outgoing:
            on_divergence(name)
            log.error("replay_diverged", pool=name, n=entry.n)
        before = owned.changes
        record(owned, entry, inputs, steps)
        if entry.published:
            owned.changes = before
        else:
            owned.pending.append(entry)
    if owned.changes:
        owned.changes.n = owned.n
    return owned


def record(owned: Owned, entry: Entry, inputs: Sequence[Input], steps: Sequence[Step]) -> None:
    """Note an entry that is in the journal, and what it changed."""
    owned.n = entry.n
    owned.unsaved += len(entry.given)
    changes = owned.changes or Changes(owned.pool, entry.n)
    changes.n, owned.changes = entry.n, changes
    for each, given, done in zip(entry.given, inputs, steps, strict=True):
        changes.touched.join(done.touched)
        if isinstance(given, Envelope):
            if done.reply:
                changes.replies.setdefault(str(given.id), done.reply)
            if each.partition is not None and each.offset is not None:
                owned.applied.add(each.partition, each.offset, str(given.id))


def outgoing(steps: Sequence[Step]) -> tuple[Outgoing, ...]:
    """Return the records that the steps' decisions are published as."""
    return tuple(_published(decision) for done in steps for decision in done.decisions)


def _published(decision: Envelope) -> Outgoing:
    if isinstance(decision, AgentChanged):
        return Outgoing(AGENTS_EVENTS.name, decision.data.agent, decision.json_bytes())
    return Outgoing(ROUTING_DECISIONS.name, decision.customer_id or "", decision.json_bytes())
