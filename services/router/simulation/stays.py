"""What a day is made of: Conversations that need an Agent, how Agents answer, and what Agents do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.common import ChannelClass
from schemas.envelope import Envelope
from schemas.routing import RequestData


@dataclass(frozen=True, slots=True)
class Answer:
    """What an Agent does about one offer: `none` lets it time out."""

    kind: Literal["accept", "reject", "none"] = "accept"
    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """One time a Conversation needs an Agent: from its request until it needs none any more."""

    need: RequestData
    """As it is asked for; the day numbers the epochs itself."""
    at: datetime
    """When it asks; later where the Conversation's former stay is not over by then."""
    handling_seconds: float
    """How long Agents have it, in all."""
    patience_seconds: float | None = None
    """It is given up after waiting so long for its first Agent; None: never."""
    answers: tuple[Answer, ...] = ()
    """Known answers to its offers, in order."""
    changes: tuple[tuple[float, RequestData | ChannelClass], ...] = ()
    """Seconds after it asked, and what it asks for from then on while it waits, or which class joins it."""
    follows: bool = False
    """It takes the place of the Conversation's former stay as soon as that ends, whenever that is."""

    @property
    def queue(self) -> tuple[str, ChannelClass]:
        """Inbox and class it is counted under."""
        return self.need.inbox, self.need.channel_class


@dataclass(frozen=True, slots=True)
class Deed:
    """A command that comes from outside, whatever the pool decides."""

    at: datetime
    command: Envelope


@dataclass(slots=True, eq=False)
class Live:
    """A Stay under way."""

    stay: Stay
    epoch: int
    asked_at: datetime
    remaining: float
    """Seconds of handling left when it last got an Agent."""
    agent: str | None = None
    since: datetime | None = None
    """Since when the Agent has it."""
    served: bool = False
    offers: int = 0
    grants: int = 0


Answering = Callable[[Stay, int, str], Answer]
"""How the Agent answers the Stay's n-th offer (from 0)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the pool holds when the day begins."""

    stay: Stay
    """Its `handling_seconds` count from the day's start."""
    asked_at: datetime
    agent: str | None
    """Who has it."""


@dataclass(frozen=True, slots=True)
class Script:
    """A whole day, to be played under any policy."""

    pool: str
    start: datetime
    end: datetime
    stays: Sequence[Stay]
    """In any order; those of one Conversation follow each other as listed."""
    deeds: Sequence[Deed]
    answering: Answering
    back_after_seconds: float | None = None
    """An Agent who became away by unanswered offers is back after so long; None: by a Deed only."""
    opening: tuple[Opening, ...] = ()
    initial: Mapping[str, Any] | None = None
    """The pool when the day begins, as `snapshot.dump` has it; None: an empty one."""
    seen: tuple[tuple[datetime, str], ...] = ()
    """When an Agent did something that shows them to be there."""
