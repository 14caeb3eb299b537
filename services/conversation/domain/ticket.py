"""A ticket, as its Customer's thread keeps it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.tickets import TicketLink, TicketReason, TicketState, TicketStatus, Untold

MOST_TICKETS = 200
"""Unresolved ones of a Customer."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A formal record with a number, made from one Conversation. It belongs where that one belongs."""

    number: str
    home: str
    conversation_id: str
    reason: TicketReason
    created_at: datetime
    updated_at: datetime
    created_by: str
    """The Agent, or `rule:` and the rule's name."""
    cause: UUID
    """The command, or the timer's firing, that made it."""
    status: TicketStatus = TicketStatus.OPEN
    assignee: str | None = None
    due_at: datetime | None = None
    links: tuple[TicketLink, ...] = ()
    resolved_at: datetime | None = None
    notice: UUID | None = None
    """The message that told the Customer the number."""
    not_told: Untold | None = None

    @property
    def state(self) -> TicketState:
        """What of it may change."""
        return TicketState(status=self.status, assignee=self.assignee, due_at=self.due_at, links=self.links)


@dataclass(frozen=True, slots=True)
class TicketWish:
    """A rule's wish for a ticket of a Conversation."""

    conversation_id: str
    home: str
    reason: TicketReason
    by: str
    at: datetime
