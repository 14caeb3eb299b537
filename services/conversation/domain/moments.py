"""What a Conversation was, moment by moment: which of its changes can be seen."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from services.conversation.domain.model import Conversation

_UNSEEN = frozenset(
    {"routing", "updated_at", "contacts", "last_agent", "last_agent_at", "skills", "answered"}
)
_SEEN = tuple(field.name for field in fields(Conversation) if field.name not in _UNSEEN)


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
    return *(getattr(conversation, name) for name in _SEEN), contacts
