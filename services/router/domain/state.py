"""What a pool knows: Agents, what each Conversation holds or waits for, and counters.

A Task stands where a Conversation does: it is of class `tasks`, and has no channel.

These are plain values and all of a pool that is kept; `pool.Pool` builds its indexes from them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from schemas.common import Channel, ChannelClass
from schemas.routing import Capacity, Explanation, Kind, RoutingGranted, RoutingRefused
from services.router.domain.policy import Policy

RANK: dict[ChannelClass, int] = {name: rank for rank, name in enumerate(ChannelClass)}
"""Order in which classes are served: voice, messaging, email, tasks."""

Classes = tuple[ChannelClass, ...]
"""Classes in the order of RANK, each once."""


Needs = tuple[tuple[str, int], ...]
"""Skills with the least level of each, sorted."""


def classes(*names: ChannelClass) -> Classes:
    """Return `names` in serving order, each once."""
    return tuple(sorted(set(names), key=RANK.__getitem__))


@dataclass(slots=True)
class Agent:
    """An Agent of the pool."""

    id: str
    name: str
    idle_since: datetime
    """When a Conversation last came or went, or the Agent signed on."""
    inboxes: tuple[str, ...] = ()
    skills: dict[str, int] = field(default_factory=dict)
    capacity: Capacity = field(default_factory=Capacity)
    auto_accept: dict[ChannelClass, bool] = field(default_factory=dict)
    voice_alone: bool = True
    excludes: dict[ChannelClass, tuple[ChannelClass, ...]] = field(default_factory=dict)
    """What may not join, while the Agent has something of a class; beside `voice_alone`."""
    pull_limit: int | None = None
    """Who holds so many may not ask for more."""
    focus: bool = False
    """Nothing is pushed; pull and take go on."""
    wrap_up_until: datetime | None = None
    """After a call: nothing is pushed until then."""
    channels: dict[Channel, bool] = field(default_factory=dict)
    heartbeat_at: datetime | None = None
    """When the last heartbeat was handled; None while no device was heard since sign-on."""
    heartbeat_sent: datetime | None = None
    """When the newest heartbeat was sent; an older one says nothing."""
    lost: bool = False
    """Heartbeats stopped."""
    timeouts: int = 0
    """Offers in a row that were left unanswered."""
    tired: bool = False
    """Too many of them; ends with the next availability command."""

    @property
    def signed_on(self) -> bool:
        """True while available on any channel."""
        return any(self.channels.values())

    @property
    def away(self) -> bool:
        """Signed on perhaps, but not there."""
        return self.lost or self.tired

    def accepts_by_itself(self, needed: Classes) -> bool:
        """Return whether no one has to be asked; by default only calls are offered first."""
        return all(self.auto_accept.get(name, name is not ChannelClass.VOICE) for name in needed)


@dataclass(frozen=True, slots=True)
class Need:
    """What a Conversation needs of an Agent."""

    inbox: str
    channel: Channel | None
    """None of a Task."""
    classes: Classes
    requested_at: datetime
    priority: int = 0
    skills: Needs = ()
    due_at: datetime | None = None
    preferred: str | None = None


@dataclass(slots=True)
class Offer:
    """One Agent is asked; the room for it is reserved."""

    id: UUID
    agent: str
    expires_at: datetime
    reason: Literal["push", "pull"]
    explanation: Explanation
    inbox: str = ""
    """Where the Agent would serve it; empty in old states: where it was asked for."""


@dataclass(slots=True)
class Request:
    """A Conversation waits for an Agent."""

    need: Need
    epoch: int
    arrival: int
    """Order of arrival in the pool, the last tie-break."""
    ahead: bool = False
    grace_until: datetime | None = None
    """Until then it may wait for its preferred Agent."""
    rejected: dict[str, datetime] = field(default_factory=dict)
    """Agents not to be asked, and until when."""
    offer: Offer | None = None
    since: datetime | None = None
    """When this wait began, from which ageing and relaxation count; None: when it was requested."""
    waived: bool = False
    """In its last Inbox nobody could ever have had its skills: they are needed no more."""
    came_from: str | None = None
    """The Inbox it was requested in, where it is in another by overflow."""
    overflow: str | None = None
    """Why, in words."""
    due_at: datetime | None = None
    """From here on: what `waiting.weigh` made of it. The due time it has, or has by the target."""
    boost: int = 0
    """What ageing and relaxation add to the priority."""
    starving: bool = False
    """Waited so long that it is served before all others."""
    steps: int = 0
    """Steps of relaxation taken."""
    skills: Needs = ()
    """As they are needed by now."""
    inboxes: tuple[str, ...] = ()
    """Whose Agents may have it, its own first; empty in old states."""
    look_at: datetime | None = None
    """When to weigh it again."""


@dataclass(slots=True)
class Slot:
    """An Agent has a Conversation."""

    need: Need
    epoch: int
    agent: str
    granted_at: datetime
    grant: RoutingGranted
    """As it was decided; a repeated request is answered with the same record."""


@dataclass(slots=True)
class Standing:
    """All that a pool knows of one Conversation or Task. It holds a request or a slot, never both."""

    conversation_id: str
    customer_id: str
    correlation: UUID
    home: str | None = None
    epoch: int = -1
    """The newest epoch accepted; a refused assign does not count."""
    kind: Kind = None
    request: Request | None = None
    slot: Slot | None = None
    assigned_by: UUID | None = None
    """The assign command the current epoch came from."""
    refusal: RoutingRefused | None = None
    """The last refused assign; repeated when that command is."""
    forget_at: datetime | None = None
    """Set while nothing is held."""

    @property
    def need(self) -> Need | None:
        """What it waits for, or was granted for."""
        holds = self.request or self.slot
        return holds.need if holds else None

    @property
    def held_epoch(self) -> int | None:
        """The epoch under which it waits or is held."""
        holds = self.request or self.slot
        return holds.epoch if holds else None


@dataclass(slots=True)
class PoolState:
    """Everything of a pool that is kept."""

    pool: str
    policy: Policy = field(default_factory=Policy)
    at: datetime | None = None
    """The latest moment seen; time never runs backwards in a pool."""
    decided: int = 0
    """Number of the last decision or Agent event."""
    arrivals: int = 0
    agents: dict[str, Agent] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    turns: dict[str, dict[str, int]] = field(default_factory=dict)
    """By Inbox that goes round: when each Agent last had a turn, by number."""
    handling: dict[str, dict[ChannelClass, float]] = field(default_factory=dict)
    """By Inbox and class: smoothed seconds a Conversation stays with an Agent."""
    handled: dict[str, dict[ChannelClass, int]] = field(default_factory=dict)
    """By Inbox and class: from how many Conversations that is."""
