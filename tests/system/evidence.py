"""What a run was asked to do, and what the system shows of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.routing import Capacity

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wrote:
    """A Customer's message whose webhook was answered 2xx. `text` is unlike all others."""

    sender: str
    text: str
    tried_at: datetime
    answered_at: datetime
    provider_at: datetime | None = None
    """The time in the webhook, where its provider gives one."""


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply that the API accepted. `text` is unlike all others."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was asked of the system, and all it shows."""

    wrote: Sequence[Wrote] = ()
    replied: Sequence[Replied] = ()
    unanswered: Collection[str] = ()
    """Texts of webhooks that were never answered 2xx: a provider repeats them, so they may be shown once."""
    customers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Ids of the Customers known by each sender."""
    timelines: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """By Customer, newest first."""
    conversations: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """By Customer."""
    sent: Sequence[Json] = ()
    decisions: Sequence[Any] = ()
    """All records of `routing.decisions`."""
    events: Sequence[Any] = ()
    """All records of `conversations.events`."""
    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    loads: Mapping[str, int] = field(default_factory=dict)
    """By Agent: how many Conversations the router counts."""
    desks: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By Agent: their open Conversations, as conversation knows them."""
    set_aside: Sequence[str] = ()
    """Whatever stands in the dead-letter and quarantine topics, in words."""
