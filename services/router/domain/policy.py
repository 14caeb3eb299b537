"""A pool's policy: how long things last, whom a request goes to, and what happens when it waits too long.

Frozen values, made of the file of policies (`services.router.policies`) and part of the journal, so that a
replay decides alike. All times in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from pydantic import TypeAdapter

from schemas.common import ChannelClass

ChoiceName = Literal["least_loaded", "round_robin", "most_proficient", "longest_idle"]
"""By what the winner is found among those who can."""
VOICE_RINGS = 45.0


@dataclass(frozen=True, slots=True)
class Relaxation:
    """What a request asks less of, or counts for more, once it has waited so long."""

    after: float
    skills: Mapping[str, int] = field(default_factory=dict)
    """By how much the needed level of these skills changes; negative."""
    lower: int = 0
    """By how much that of every needed skill sinks. At level 0 a skill is needed no more."""
    drop: tuple[str, ...] = ()
    """Skills that are needed no more."""
    inboxes: tuple[str, ...] = ()
    """Whose Agents may serve it too."""
    priority: int = 0
    """By how much its priority rises."""


@dataclass(frozen=True, slots=True)
class InboxPolicy:
    """What holds for requests of one Inbox."""

    choice: ChoiceName = "least_loaded"
    targets: Mapping[ChannelClass, float] = field(default_factory=dict)
    """A request without a due time is due so long after it was made."""
    ageing_seconds: float | None = None
    """Each time it has waited so long again, a request's priority rises by 1."""
    ageing_limit: int = 10
    """By so much at most."""
    starving_seconds: float | None = None
    """Who has waited so long is served before all others of any class."""
    preferred_grace_seconds: float = 10.0
    """How long a request waits for a preferred Agent who is signed on, but full or away."""
    offer_seconds: Mapping[ChannelClass, float] = field(default_factory=dict)
    """An offer ends unanswered after so long; 45 s where nothing is said."""
    wrap_up_seconds: float = 0.0
    """After a call nothing is pushed to its Agent for so long."""
    relaxation: tuple[Relaxation, ...] = ()
    """Steps, by `after`."""
    fallback: str | None = None
    """Another Inbox of the pool, for what nobody could ever serve."""

    def rings(self, name: ChannelClass) -> float:
        """Return how long an Agent is asked."""
        return self.offer_seconds.get(name, VOICE_RINGS)


@dataclass(frozen=True, slots=True)
class Policy:
    """A pool's."""

    ask_again_seconds: float = 60.0
    """Who rejected an offer, or let it time out, is not asked again for that Conversation before."""
    timeouts_until_away: int = 2
    """So many unanswered offers in a row make an Agent away."""
    heartbeat_seconds: float = 30.0
    """An Agent whose device has sent a heartbeat is lost after so long without another."""
    remember_seconds: float = 600.0
    """How long the epoch of a Conversation that holds nothing is remembered."""
    defaults: InboxPolicy = InboxPolicy()
    """For Inboxes that are not named."""
    inboxes: Mapping[str, InboxPolicy] = field(default_factory=dict)

    def of(self, inbox: str) -> InboxPolicy:
        """Return what holds for requests of the Inbox."""
        return self.inboxes.get(inbox, self.defaults)

    def is_fallback(self, inbox: str) -> bool:
        """Return whether another Inbox falls back on it."""
        return any(each.fallback == inbox for each in self.inboxes.values())


def to_document(policy: Policy) -> dict[str, Any]:
    """Return the policy as plain JSON values."""
    document: dict[str, Any] = _adapter().dump_python(policy, mode="json")
    return document


def from_document(document: Mapping[str, Any]) -> Policy:
    """Return the policy of such a document; also of one from before Inboxes had policies."""
    former = {
        name: document[name] for name in ("offer_seconds", "preferred_grace_seconds") if name in document
    }
    if not former:
        return _adapter().validate_python(document)
    rest = {name: value for name, value in document.items() if name not in former}
    rings, grace = former.get("offer_seconds", VOICE_RINGS), former.get("preferred_grace_seconds", 10.0)
    defaults = InboxPolicy(
        offer_seconds=dict.fromkeys(ChannelClass, float(rings)), preferred_grace_seconds=float(grace)
    )
    return _adapter().validate_python({**rest, "defaults": defaults})


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Policy]:
    return TypeAdapter(Policy)
