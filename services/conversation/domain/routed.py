"""Where what is routed stands with the router: a Conversation or a Task."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.common import ChannelClass


@dataclass(frozen=True, slots=True)
class Assignment:
    """A take or transfer that the router was asked for, and what came of it."""

    command_id: UUID
    epoch: int
    agent: str
    classes: tuple[ChannelClass, ...] = ()
    granted: bool | None = None
    detail: str = ""
    by: str | None = None
    """Who asked for it, where that is told."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Where a Conversation or a Task stands with the router."""

    pool: str
    epoch: int = 0
    """Counts what was asked; a decision about another epoch is stale."""
    current: int = 0
    """The epoch under which the router holds it, queued or assigned; 0 when it holds nothing."""
    n: int = 0
    """The router's number of the last decision applied."""
    classes: tuple[ChannelClass, ...] = ()
    asked_at: datetime | None = None
    tries: int = 0
    requested_at: datetime | None = None
    """Since when it waits for an Agent."""
    preferred: str | None = None
    avoid: str | None = None
    """Who just gave it up: not asked at once again."""
    ahead: bool = False
    leaving: str | None = None
    """The pool that must confirm a release before `pool` is asked."""
    leaving_epoch: int = 0
    """Up to which epoch it must confirm."""
    priority: int = 0
    """As the router was last told."""
    assignments: tuple[Assignment, ...] = ()
