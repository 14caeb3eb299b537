"""Load, decide, save, drain: the same few round trips for a batch from Kafka, a command and a timer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakValueDictionary

from schemas import ids
from schemas.envelope import Envelope
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery, Outcome, Refused
from services.chassis.faults import BrokerUnavailable
from services.chassis.inboxes import Inbox
from services.chassis.logging import log
from services.conversation.domain.draft import Caused, Draft, RowPatch, TimelineRow
from services.conversation.domain.model import KEPT_COMMANDS, Conversation, Thread
from services.conversation.domain.moments import Moment, moment
from services.conversation.domain.rules import (
    ForgottenCallError,
    Inboxes,
    Known,
    Rule,
    UnknownInboxError,
    UnknownMessageError,
)
from services.conversation.domain.ruling.acting import Means
from services.conversation.domain.ruling.definition import NONE, Rules
from services.conversation.domain.ruling.matching import next_due as rules_due
from services.conversation.domain.ruling.run import run
from services.conversation.domain.task import Task
from services.conversation.domain.ticket import Ticket
from services.conversation.domain.tickets import Numbered
from services.conversation.domain.timers import tick

MOST_TRIES = 50


@dataclass(slots=True)
class Loaded:
    """A thread as read or as changed so far, with what its changes caused and is not out yet."""

    thread: Thread
    pending: bool = False
    """Effects of earlier changes wait in the outbox."""
    due_at: datetime | None = None
    """When it was to be looked at, as stored: what rules that changed have woken is due before its timers."""
    caused: list[Caused] = field(default_factory=list)
    conversations: dict[str, Conversation] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    """`status_seq` of timeline rows that are in the outbox only."""
    moments: list[Moment] = field(default_factory=list)
    """What Conversations were after each change."""
    homes: dict[str, str] = field(default_factory=dict)
    """Of timeline rows that are patched: their home."""
    effects: Sequence[Any] = ()
    """What the last save put into the outbox; the store's own form."""
    kept: dict[str, Ticket | Task] = field(default_factory=dict)
    """Tickets and Tasks whose shown state changed."""
    inward: bool = False
    """Something changed in the thread that nobody is told of."""

    def take(self, draft: Draft) -> None:
        """Make the draft's result the thread's new state."""
        before = self.thread.current
        self.thread = draft.thread
        self.caused.extend(draft.caused)
        self.kept.update(draft.kept)
        self.inward = self.inward or draft.inward
        for conversation in (*draft.displaced, draft.thread.current):
            if conversation is not None and conversation is not before:
                self.conversations[conversation.id] = conversation
                known = before if before is not None and before.id == conversation.id else None
                self.moments.append(moment(known, conversation, draft.now))
        for item in draft.caused:
            if isinstance(item, TimelineRow):
                self.rows[item.id] = item.fields.get("status_seq", 0)
            elif isinstance(item, RowPatch):
                self.rows[item.id] = item.status_seq
                self.homes[item.id] = draft.home

    @property
    def changed(self) -> bool:
        """There is something to save."""
        return bool(self.caused or self.conversations or self.inward)


class ThreadStore(Protocol):
    """Where threads are kept."""

    async def load(self, customer_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the threads, new ones for Customers without; of the absorbed that of their survivor."""

    async def own(self, customer_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the Customers' own threads, though others go on in their place."""

    async def rows(self, row_ids: Sequence[str]) -> dict[str, Known]:
        """Return the timeline rows that exist."""

    async def save(
        self, changed: Sequence[Loaded], next_due: Callable[[Thread], datetime | None]
    ) -> frozenset[str]:
        """Save each thread with its effects in one write; return the Customers lost to another writer."""

    async def join(self, changed: Sequence[Loaded], next_due: Callable[[Thread], datetime | None]) -> bool:
        """Save several threads with their effects, all or nothing; False when another writer was faster.

        Conversations are written at once, in the order of `changed`. Nothing may wait in the outboxes.
        """

    async def drain(self, items: Sequence[Loaded]) -> None:
        """Carry out what waits in these threads' outboxes, as loaded and saved."""

    async def numbered(self, conversation_ids: Sequence[str]) -> dict[str, Numbered]:
        """Return what the tickets of these Conversations need: the same number whenever it is asked for."""


class ErasedCustomer(Exception):  # noqa: N818  (a state, raised)
    """The thread's Customer is erased: there is nobody to write to, or about."""


class Conflicted(Exception):  # noqa: N818  (a state, raised)
    """Other writers won too many times in a row."""


@dataclass
class Threads:
    """Changes threads."""

    store: ThreadStore
    inboxes: Inboxes
    next_due: Callable[[Thread, Mapping[str, Inbox]], datetime | None]
    clock: Clock = utc_now
    rules: Callable[[], Rules] = lambda: NONE
    """The operator's rules as they are now."""
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def due(self, thread: Thread) -> datetime | None:
        """Return when the thread next changes by itself."""
        moments = (self.next_due(thread, self.inboxes), rules_due(thread.current, self.rules()))
        return min((moment for moment in moments if moment is not None), default=None)

    def _is_later(self, thread: Thread, now: datetime) -> bool:
        due = self.due(thread)
        return due is None or due > now

    def _rule(self, draft: Draft, before: Thread, *, ticking: bool = False) -> None:
        run(draft, before, self.rules(), Means(self.inboxes), ticking=ticking)

    # --- from Kafka -----------------------------------------------------------------------------

    async def apply(self, rule: Rule, batch: Sequence[Delivery]) -> list[Outcome]:
        """Apply a batch of records to the threads of their Customers, in log order."""
        outcomes: list[Outcome] = [DUPLICATE] * len(batch)
        todo = list(range(len(batch)))
        touched: dict[str, Loaded] = {}
        for _ in range(MOST_TRIES):
            loaded = await self.store.load(list({_home(batch[index].message) for index in todo}))
            known = await self.store.rows(
                [row for index in todo if (row := rule.row_id(batch[index].message))]
            )
            for index in todo:
                outcomes[index] = self._apply_one(rule, batch[index], loaded, known)
            threads = {item.thread.customer_id: item for item in loaded.values()}
            lost = await self.store.save([item for item in threads.values() if item.changed], self.due)
            touched.update(
                {
                    who: item
                    for who, item in threads.items()
                    if who not in lost and (item.changed or item.pending)
                }
            )
            todo = [index for index in todo if loaded[_home(batch[index].message)].thread.customer_id in lost]
            if not todo:
                await self.store.drain(list(touched.values()))
                return outcomes
        raise TimeoutError

    def _apply_one(
        self, rule: Rule, delivery: Delivery, loaded: Mapping[str, Loaded], known: Mapping[str, Known]
    ) -> Outcome:
        message = delivery.message
        item = loaded[_home(message)]
        row_id = rule.row_id(message)
        seen = _seen(known.get(row_id), item.rows.get(row_id)) if row_id else None
        draft = Draft(
            item.thread,
            message.id,
            message.correlation,
            rule.moment(message),
            _home(message),
        )
        try:
            if not rule.decide(draft, message, seen, self.inboxes):
                return DUPLICATE
        except (ForgottenCallError, UnknownInboxError, UnknownMessageError) as error:
            return Refused(type(error).__name__)
        self._rule(draft, item.thread)
        item.take(draft)
        return HANDLED

    # --- from people ----------------------------------------------------------------------------

    async def command(
        self,
        customer_id: str,
        command: UUID,
        decide: Callable[[Draft], None],
        *,
        correlation: UUID | None = None,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> Thread:
        """Apply a command to one thread and return the thread; a repeat returns it as it is.

        `decide` may raise to refuse. `look` reads before it what is not in the thread but written from
        it, and sees all that the thread as loaded has caused. A change that is saved stands even where
        Kafka is away: its records go out once it is back.

        Commands to one thread take turns here: at once they would each lose to all others.
        """
        async with self._turns.setdefault(customer_id, asyncio.Lock()):
            return await self._command(customer_id, command, decide, correlation, look)

    async def _command(
        self,
        customer_id: str,
        command: UUID,
        decide: Callable[[Draft], None],
        correlation: UUID | None,
        look: Callable[[], Awaitable[None]] | None,
    ) -> Thread:
        for _ in range(MOST_TRIES):
            item = (await self.store.load([customer_id]))[customer_id]
            if item.thread.erased:
                raise ErasedCustomer
            if command not in item.thread.commands:
                if look is not None:
                    await self._drain_if_possible(item)
                    await look()
                draft = Draft(
                    item.thread, command, correlation or command, self.clock(), item.thread.customer_id
                )
                decide(draft)
                self._rule(draft, item.thread)
                applied = (*draft.thread.commands, command)[-KEPT_COMMANDS:]
                draft.thread = replace(draft.thread, commands=applied)
                item.take(draft)
                if item.changed and await self.store.save([item], self.due):
                    continue
            await self._drain_if_possible(item)
            return item.thread
        raise Conflicted

    async def settled(self, customer_id: str) -> Thread:
        """Return the thread once all that it has caused so far can be read."""
        item = (await self.store.load([customer_id]))[customer_id]
        await self._drain_if_possible(item)
        return item.thread

    async def _drain_if_possible(self, item: Loaded) -> None:
        try:
            await self.store.drain([item])
        except BrokerUnavailable:
            log.warning("drain_postponed")

    # --- from the clock -------------------------------------------------------------------------

    async def tick(self, due: Sequence[Loaded]) -> int:
        """Fire the timers of these threads; returns how many threads changed."""
        now = self.clock()
        numbered = await self._numbered(due)
        for item in due:
            cause = ids.derive("timer", item.thread.customer_id, item.thread.version)
            draft = Draft(item.thread, cause, cause, now, item.thread.customer_id)
            try:
                tick(draft, self.inboxes, numbered)
                self._rule(draft, item.thread, ticking=True)
                # due by rules that have changed: saved, it is due when they say
                draft.inward = draft.inward or self._is_later(draft.thread, now)
            except Exception as error:  # noqa: BLE001  (one thread must not stop the clock of all)
                log.error("timer_failed", error=type(error).__name__, exc_info=error)
            else:
                item.take(draft)
        changed = [item for item in due if item.changed]
        lost = await self.store.save(changed, self.due)
        saved = [item for item in changed if item.thread.customer_id not in lost]
        await self.store.drain(saved)
        return len(saved)

    async def _numbered(self, due: Sequence[Loaded]) -> dict[str, Numbered]:
        wishing = [item for item in due if item.thread.ticket_wishes]
        if not wishing:
            return {}
        # the Conversations are read as these threads left them
        await asyncio.gather(*(self._drain_if_possible(item) for item in wishing if item.pending))
        return await self.store.numbered(
            [wish.conversation_id for item in wishing for wish in item.thread.ticket_wishes]
        )


def _home(record: Envelope) -> str:
    """Return whose a record is; the thread it changes may be a survivor's."""
    home = record.home or record.customer_id
    assert home is not None  # noqa: S101  (all records about threads have one)
    return home


def _seen(written: Known | None, waiting: int | None) -> Known | None:
    """Return the row as written, or as it waits in the outbox, whichever is newer."""
    if written is None:
        return None if waiting is None else Known(waiting)
    return written if waiting is None else replace(written, status_seq=max(written.status_seq, waiting))
