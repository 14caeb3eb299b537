"""What a Conversation was, moment by moment: which of its changes can be seen."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.conversation.domain.model import Conversation

SEEN = (
    "customer_id",
    "status",
    "inbox",
    "agent",
    "topics",
    "priority",
    "ticket",
    "confirmed",
    "opened_at",
    "closed_at",
)
"""Fields that the API shows, besides Contacts and `updated_at`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A Conversation as one change left it."""

    conversation: Conversation
    at: datetime
    seen: bool
    """More is to be seen of the change than a new `updated_at`."""


def moment(before: Conversation | None, after: Conversation, now: datetime) -> Moment:
    """Return what the change from `before` to `after` left; `before` is None where that is not at hand."""
    seen = before is None or _shown(before) != _shown(after)
    return Moment(after, max(after.updated_at, now), seen)


def _shown(conversation: Conversation) -> tuple[Any, ...]:
    contacts = [
        (contact.id, contact.channel, contact.account, contact.started_at, contact.ended_at)
        for contact in conversation.contacts
    ]
    return *(getattr(conversation, name) for name in SEEN), contacts
