"""Words about tickets: formal records with a number, made from a Conversation where one is needed."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Model, Time


class TicketReason(StrEnum):
    """Why a Conversation needs a ticket (domain: Tickets)."""

    CUSTOMER_REQUEST = "customer_request"
    INVESTIGATION = "investigation"
    MULTI_DEPARTMENT = "multi_department"
    BUG = "bug"
    COMPLIANCE = "compliance"


class TicketStatus(StrEnum):
    """Where the work on a ticket stands; its Conversation has a status of its own."""

    OPEN = "open"
    PENDING = "pending"
    RESOLVED = "resolved"


class TicketLink(Model):
    """The same matter in a tracker of somebody else's."""

    system: Annotated[str, Field(min_length=1, max_length=100)]
    url: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class TicketState(Model):
    """What of a ticket may change."""

    status: TicketStatus
    assignee: str | None = None
    due_at: Time | None = None
    links: tuple[TicketLink, ...] = ()


Untold = Literal["no_address", "opted_out", "outside_window", "switched_off"]
"""Why the Customer was not sent the number."""


class TicketData(TicketState):
    """A ticket as it is after the event."""

    conversation_id: str
    inbox: str
    """The Conversation's."""
    number: str
    """`T-000123`; unique for ever."""
    reason: TicketReason
    by: str | None = None
    """The Agent, or `rule:` and the rule's name."""
    notice: UUID | None = None
    """The message that told the Customer the number."""
    not_told: Untold | None = None
    changed: tuple[str, ...] = ()
    """Which fields; none of a new ticket."""
    before: TicketState | None = None
    """As it was; None of a new ticket."""
