"""Between conversation, Agents and router.

Topics `routing.commands` (key: pool), `routing.decisions` (key: Customer) and `agents.events`
(key: Agent).
"""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.common import Channel, ChannelClass, SkillName
from schemas.envelope import Count, Envelope, Model, Personal, Time, Whole

Kind = Literal["task"] | None
"""What is routed: a Conversation, unless it is named. A Task stands where a Conversation does, with its
id in `conversation_id`, and has no channel."""

# --- commands of conversation -------------------------------------------------------------------


class Subject(Model):
    """The Conversation, or the Task, a command is about.

    `epoch` grows each time the Conversation asks for something new; the router ignores what is
    older than the newest it has seen of the Conversation.
    """

    pool: str
    conversation_id: str
    customer_id: str
    epoch: Whole
    kind: Kind = None


class RequestData(Subject):
    """Find an Agent."""

    inbox: str
    channel: Channel | None = None
    channel_class: ChannelClass
    also: tuple[ChannelClass, ...] = ()
    """Further classes of room its live Contacts take."""
    priority: Whole = 0
    """Higher is served first; 0 is normal."""
    skills: dict[SkillName, Whole] = Field(default_factory=dict)
    due_at: Time | None = None
    preferred_agent: str | None = None
    requested_at: Time
    """Since when the Customer waits; kept when a request is repeated."""
    ahead: bool = False
    """Before its equals: the Conversation had an Agent and lost them."""
    avoid_agent: str | None = None
    """Who just gave it up: treated as one who rejected it."""


class AssignData(Subject):
    """Give it to this Agent: a take, or a transfer to an Agent."""

    inbox: str
    channel: Channel | None = None
    channel_class: ChannelClass
    also: tuple[ChannelClass, ...] = ()
    agent: str
    reason: Literal["take", "transfer"]
    force: bool = False
    """A lead's word against capacity; recorded."""


class WidenData(Subject):
    """A Contact of another class joined: the Agent needs room for it too."""

    channel_class: ChannelClass


class ReleaseData(Subject):
    """The Conversation needs no Agent now: cancels its request or frees its slot, up to `epoch`."""

    reason: str


class RoutingRequest(Envelope):
    """Queue the Conversation."""

    type: Literal["routing.request"] = "routing.request"
    data: RequestData


class RoutingAssign(Envelope):
    """Assign the Conversation to a named Agent, or refuse."""

    type: Literal["routing.assign"] = "routing.assign"
    data: AssignData


class RoutingWiden(Envelope):
    """Widen the slot of the Conversation, or route it again."""

    type: Literal["routing.widen"] = "routing.widen"
    data: WidenData


class RoutingRelease(Envelope):
    """Give back what the Conversation holds."""

    type: Literal["routing.release"] = "routing.release"
    data: ReleaseData


# --- commands of Agents and leads ---------------------------------------------------------------


class Capacity(Model):
    """How many Conversations at a time, per channel class and in all."""

    total: Count = 8
    voice: Count = 1
    messaging: Count = 3
    email: Count = 5
    tasks: Count = 5


class AgentCommandData(Model):
    """Common to all commands of Agents; `actor` is who gave it."""

    pool: str
    agent: str
    actor: str


class ProfileData(AgentCommandData):
    """The whole profile; replaces the one before. Availability is kept."""

    inboxes: tuple[str, ...]
    skills: dict[SkillName, Whole] = Field(default_factory=dict)
    capacity: Capacity = Capacity()
    auto_accept: dict[ChannelClass, bool] = Field(default_factory=dict)
    voice_alone: bool = True
    """A call joins nothing, and nothing joins it."""
    excludes: dict[ChannelClass, tuple[ChannelClass, ...]] = Field(default_factory=dict)
    """What may not join, while the Agent has something of a class; beside `voice_alone`."""
    pull_limit: Count | None = None
    """Who holds so many may not pull."""
    moved_to: str | None = None
    """The pool the Agent leaves this one for; refused while they have a Conversation here."""
    above: Whole = 0
    """The left pool's last decision number: events of the Agent in the new pool are numbered above it."""


class ProfilePersonal(Personal):
    """The Agent's display name."""

    name: str


class AvailabilityData(AgentCommandData):
    """Merges into what is set. All false: signed off."""

    channels: dict[Channel, bool]
    focus: bool | None = None
    """True: nothing is pushed; None: as it was."""


class OfferAnswerData(AgentCommandData):
    """Accept or reject one offer."""

    offer_id: UUID


class AgentProfile(Envelope):
    """Set a profile."""

    type: Literal["agent.profile"] = "agent.profile"
    data: ProfileData
    personal: ProfilePersonal


class AgentAvailability(Envelope):
    """Sign on or off, per channel."""

    type: Literal["agent.availability"] = "agent.availability"
    data: AvailabilityData


class AgentHeartbeat(Envelope):
    """A device of the Agent is there."""

    type: Literal["agent.heartbeat"] = "agent.heartbeat"
    data: AgentCommandData


class AgentNext(Envelope):
    """Pull: the Agent asks for the next Conversation."""

    type: Literal["agent.next"] = "agent.next"
    data: AgentCommandData


class OfferAccept(Envelope):
    """The Agent takes the offer."""

    type: Literal["offer.accept"] = "offer.accept"
    data: OfferAnswerData


class OfferReject(Envelope):
    """The Agent declines the offer."""

    type: Literal["offer.reject"] = "offer.reject"
    data: OfferAnswerData


AnyRoutingCommand = Annotated[
    RoutingRequest
    | RoutingAssign
    | RoutingWiden
    | RoutingRelease
    | AgentProfile
    | AgentAvailability
    | AgentHeartbeat
    | AgentNext
    | OfferAccept
    | OfferReject,
    Field(discriminator="type"),
]

# --- decisions of the router --------------------------------------------------------------------


class Exclusion(StrEnum):
    """Why an Agent could not get a Conversation."""

    OTHER_INBOX = "other_inbox"
    SIGNED_OFF = "signed_off"
    CHANNEL_OFF = "channel_off"
    AWAY = "away"
    MISSING_SKILL = "missing_skill"
    FULL = "full"
    FOCUS = "focus"
    WRAP_UP = "wrap_up"
    REJECTED = "rejected"


class Explanation(Model):
    """Why the winner won."""

    policy: str
    why: str
    """`preferred`, `least_loaded`, `longest_idle`, `only_one`, `take`, `transfer`, `forced`, …"""
    candidates: tuple[str, ...] = ()
    """The next four, best first."""
    excluded: dict[Exclusion, Whole] = Field(default_factory=dict)
    relaxed: tuple[str, ...] = ()
    """The steps of relaxation that had been taken, in words."""
    margin: dict[SkillName, Whole] = Field(default_factory=dict)
    """By how much the Agent's level of each skill asked for is above the one asked for."""
    overflow: str | None = None
    """Why it was in another Inbox than it was requested in."""


class DecisionData(Model):
    """A decision about one Conversation or Task; `n` grows with each decision of the pool."""

    pool: str
    n: Whole
    conversation_id: str
    epoch: Whole
    kind: Kind = None


class GrantData(DecisionData):
    """The Agent who has it now."""

    agent: str
    reason: Literal["push", "pull", "take", "transfer"]
    forced: bool = False
    waited_seconds: float = 0.0
    explanation: Explanation
    inbox: str | None = None
    """Where it is served; None in records from before there was overflow."""
    overflow_from: str | None = None
    """The Inbox it was requested in, where that is another: it belongs to `inbox` from now on."""


class OfferData(DecisionData):
    """Asked one Agent."""

    agent: str
    offer_id: UUID
    inbox: str
    channel: Channel | None = None
    expires_at: Time


class OfferEndedData(DecisionData):
    """The offer is over without a grant."""

    agent: str
    offer_id: UUID
    outcome: Literal["rejected", "timed_out", "withdrawn"]


class OverflowData(DecisionData):
    """Nobody of its Inbox could ever have it: it waits in another from now on."""

    inbox: str
    before: str
    detail: str


class UnassignData(DecisionData):
    """The Agent was lost; the same epoch is queued again, ahead of its equals."""

    agent: str
    reason: Literal["signed_off", "lost", "no_room"]


class RefusalData(DecisionData):
    """An assign that cannot be: what the Conversation had before stays."""

    agent: str
    command_id: UUID
    reason: Literal["full", "signed_off", "unknown_agent", "other_inbox", "stale"]
    detail: str


class ReleasedData(DecisionData):
    """The pool holds nothing of the Conversation any more, up to `epoch`."""


class RoutingGranted(Envelope):
    """The Conversation has an Agent."""

    type: Literal["routing.granted"] = "routing.granted"
    data: GrantData


class RoutingOffered(Envelope):
    """An Agent is asked."""

    type: Literal["routing.offered"] = "routing.offered"
    data: OfferData


class RoutingOfferEnded(Envelope):
    """An Agent is asked no more."""

    type: Literal["routing.offer_ended"] = "routing.offer_ended"
    data: OfferEndedData


class RoutingOverflowed(Envelope):
    """The Conversation waits in another Inbox."""

    type: Literal["routing.overflowed"] = "routing.overflowed"
    data: OverflowData


class RoutingUnassigned(Envelope):
    """The Conversation lost its Agent and waits again."""

    type: Literal["routing.unassigned"] = "routing.unassigned"
    data: UnassignData


class RoutingRefused(Envelope):
    """An assign was refused."""

    type: Literal["routing.refused"] = "routing.refused"
    data: RefusalData


class RoutingReleased(Envelope):
    """A release is done."""

    type: Literal["routing.released"] = "routing.released"
    data: ReleasedData


AnyRoutingDecision = Annotated[
    RoutingGranted
    | RoutingOffered
    | RoutingOfferEnded
    | RoutingOverflowed
    | RoutingUnassigned
    | RoutingRefused
    | RoutingReleased,
    Field(discriminator="type"),
]

# --- what others need to know of Agents ---------------------------------------------------------


class AgentStateData(Model):
    """An Agent as the router has them; the newest `seq` of an Agent is the truth."""

    agent: str
    pool: str
    inboxes: tuple[str, ...]
    availability: dict[Channel, bool] = Field(default_factory=dict)
    signed_on: bool = False
    away: bool = False
    """Signed on, but the heartbeats stopped or offers are left unanswered."""


class AgentChanged(Envelope):
    """`agents.events`, key: Agent. Profile or availability changed."""

    type: Literal["agent.changed"] = "agent.changed"
    seq: Whole
    data: AgentStateData
    personal: ProfilePersonal
