"""What the operator's rules remember of a Conversation."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Ruled:
    """An opening lasts from when the Conversation is opened or reopened until it is reopened."""

    opened_at: datetime | None = None
    """When this opening began; None for a Conversation from before there were rules."""
    status_at: datetime | None = None
    """Since when it has its status."""
    messages: int = 0
    """How many messages of the Customer it has, without noise."""
    transfers: int = 0
    """How often it moved to another Inbox."""
    fired: tuple[str, ...] = ()
    """Rules that fired in this opening."""
    replied: tuple[str, ...] = ()
    """Rules whose text the Customer got."""


FRESH = Ruled()
