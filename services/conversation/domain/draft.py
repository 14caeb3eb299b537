"""A change of a thread in the making: the thread as it becomes, and what the change causes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.conversations import ConversationEvent, ConversationRef, ConversationStatusChanged, Status
from schemas.envelope import Envelope, Personal
from services.conversation.domain.model import Contact, Conversation, Thread
from services.conversation.domain.routed import Routing
from services.conversation.domain.task import Task
from services.conversation.domain.ticket import Ticket


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """An item of the timeline; `fields` besides those that every item has."""

    id: str
    home: str
    at: datetime
    received_at: datetime
    seq: int
    kind: str
    conversation_id: str | None
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowPatch:
    """New delivery status of a message's row; an older `status_seq` does nothing."""

    id: str
    status: str
    status_seq: int
    fields: dict[str, Any]


Caused = ConversationEvent | Envelope | TimelineRow | RowPatch


@dataclass(slots=True)
class Draft:
    """One decision in the making. `cause` names what is applied; all ids follow from it."""

    thread: Thread
    cause: UUID
    correlation: UUID
    now: datetime
    home: str
    caused: list[Caused] = field(default_factory=list)
    displaced: list[Conversation] = field(default_factory=list)
    """Closed Conversations that a newer one took the place of."""
    rule: str | None = None
    """Name of the rule that acts at present."""
    kept: dict[str, Ticket | Task] = field(default_factory=dict)
    """Tickets, by number, and Tasks, by id, as they are shown from now on."""
    inward: bool = False
    """Something changed in the thread that nobody is told of, and that must be saved."""

    @property
    def routed(self) -> Conversation:
        """What is routed: the Conversation at hand. A TaskDraft has a Task here."""
        return self.conversation

    @property
    def whole(self) -> "Draft":
        """The change of the whole thread."""
        return self

    @property
    def conversation(self) -> Conversation:
        """The Conversation at hand. There must be one."""
        assert self.thread.current is not None  # noqa: S101  (callers looked)
        return self.thread.current

    @contextmanager
    def at(self, home: str) -> Iterator[None]:
        """Let what is added meanwhile belong to `home`."""
        before, self.home = self.home, home
        try:
            yield
        finally:
            self.home = before

    def put(self, conversation: Conversation) -> None:
        """Make `conversation` the current one."""
        before = self.thread.current
        if before is not None and before.id != conversation.id:
            self.displaced.append(before)
        moved = replace(conversation, updated_at=max(conversation.updated_at, self.now))
        self.thread = replace(self.thread, current=moved)

    def change(self, **fields: Any) -> None:  # noqa: ANN401  (Conversation's own fields)
        """Change fields of the current Conversation."""
        self.put(replace(self.conversation, **fields))

    def routing(self, **fields: Any) -> None:  # noqa: ANN401  (Routing's own fields)
        """Change fields of its routing."""
        routing: Routing = replace(self.conversation.routing, **fields)
        self.change(routing=routing)

    def contact(self, contact: Contact) -> None:
        """Put a Contact into the current Conversation."""
        self.put(self.conversation.with_contact(contact))

    def id(self, kind: str, *parts: object) -> UUID:
        """Return the id of the next thing of `kind` that the cause leads to."""
        return ids.derive(kind, self.cause, len(self.caused), *parts)

    def event(
        self,
        model: type[ConversationEvent],
        data: dict[str, Any],
        *,
        personal: Personal | None = None,
        row: str | None = None,
        **row_fields: Any,  # noqa: ANN401  (whatever the timeline shows)
    ) -> ConversationEvent:
        """Add an event about the current Conversation, and a timeline item of kind `row`."""
        event = self.emit(model, {**self._ref(), **data}, personal)
        if row is not None:
            self.row(str(event.id), row, event.seq, row_fields)
        return event

    def next_seq(self) -> int:
        """Number what the thread tells next."""
        self.thread = replace(self.thread, seq=self.thread.seq + 1)
        return self.thread.seq

    def emit(
        self, model: type[ConversationEvent], data: dict[str, Any], personal: Personal | None = None
    ) -> ConversationEvent:
        """Add an event, about a Conversation or about none."""
        seq = self.next_seq()
        content: dict[str, Any] = {"data": data}
        if personal is not None:
            content["personal"] = personal
        event = model(
            id=self.id("event"),
            occurred_at=self.now,
            correlation=self.correlation,
            causation=self.cause,
            customer_id=self.thread.customer_id,
            home=self.home,
            seq=seq,
            **content,
        )
        self.caused.append(event)
        return event

    def row(
        self,
        row_id: str,
        kind: str,
        seq: int,
        fields: dict[str, Any],
        *,
        at: datetime | None = None,
        about: Conversation | None = None,
    ) -> None:
        """Add a timeline item, about the current Conversation if no other is named."""
        current = about or self.thread.current
        self.caused.append(
            TimelineRow(
                id=row_id,
                home=self.home,
                at=at or self.now,
                received_at=self.now,
                seq=seq,
                kind=kind,
                conversation_id=current.id if current else None,
                fields=fields if self.rule is None else {**fields, "rule": self.rule},
            )
        )

    def _ref(self) -> dict[str, Any]:
        current = self.conversation
        return ConversationRef(
            conversation_id=current.id,
            inbox=current.inbox,
            status=current.status,
            agent=current.agent,
            rule=self.rule,
        ).model_dump()

    def status(self, status: Status, reason: str, **fields: Any) -> None:  # noqa: ANN401  (Conversation's own)
        """Change the status and say so; nothing when it is the same."""
        before = self.conversation.status
        self.change(status=status, **fields)
        if before is not status:
            self.event(
                ConversationStatusChanged,
                {"before": before, "reason": reason, "confirmed": self.conversation.confirmed},
                row="status",
                before=before,
                after=status,
                reason=reason,
            )
