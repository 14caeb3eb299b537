"""A pool at work: its state, the indexes built from it, and what the step under way has caused.

The methods keep state and indexes in step with each other; which of them happen when is for the rules.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple
from uuid import UUID

from schemas.common import ChannelClass
from schemas.envelope import Envelope
from services.router.domain.crews import Crews
from services.router.domain.hopes import Hope, Hopes, hope_of
from services.router.domain.policy import Policy
from services.router.domain.queues import Queues, line, place
from services.router.domain.room import Hand
from services.router.domain.state import Agent, Offer, PoolState, Request, Slot, Standing
from services.router.domain.waiting import next_look, weigh

TimerKind = Literal["forget", "heartbeat", "look", "offer", "wake", "wrap_up"]
_SMOOTHING = 0.02
"""Least weight of the newest handling time; of the first ones each counts alike."""


class Timer(NamedTuple):
    """Something to look at when the time has come; `key` is a Conversation or an Agent."""

    at: datetime
    kind: TimerKind
    key: str


@dataclass(slots=True)
class Touched:
    """What a step changed, for the read models."""

    agents: set[str] = field(default_factory=set)
    conversations: set[str] = field(default_factory=set)
    offers: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    handling: set[tuple[str, ChannelClass]] = field(default_factory=set)

    def join(self, other: "Touched") -> None:
        """Add what another step changed later."""
        self.agents |= other.agents
        self.conversations |= other.conversations
        self.offers |= other.offers
        self.handling |= other.handling


class Pool:
    """The owned, mutable side of a pool."""

    def __init__(self, state: PoolState) -> None:
        self.state = state
        self.hands: dict[str, Hand] = defaultdict(Hand)
        self.members: dict[str, set[str]] = defaultdict(set)
        self.queues = Queues()
        self.crews = self._crews()
        self.hopes = Hopes(state.agents, self.members)
        self.hopes_changed = False
        """Since the last look, some request may have become one that nobody could ever serve."""
        self.hoping: dict[Hope, set[str]] = {}
        """Who stands in line, by what they need at its strictest."""
        self.depths: Counter[tuple[str, ChannelClass]] = Counter()
        """How many stand in line, by the Inbox they are in and class."""
        self.offers: dict[UUID, str] = {}
        self.waiting_for: dict[str, set[str]] = defaultdict(set)
        """Preferred Agent -> Conversations that may be waiting for them."""
        self._timers: list[Timer] = []
        self.begin(None, state.at)
        self._index()

    # --- one step -------------------------------------------------------------------------------

    def begin(self, cause: Envelope | None, now: datetime | None) -> None:
        """Start a step: nothing caused, nothing changed yet."""
        self.cause = cause
        self._now = now
        self.decisions: list[Envelope] = []
        self.touched = Touched()
        self.changed_agents: set[str] = set()
        self.changed_requests: set[str] = set()

    @property
    def now(self) -> datetime:
        """The moment of the step under way."""
        assert self._now is not None  # noqa: S101  (begin() precedes every rule)
        return self._now

    def after(self, seconds: float) -> datetime:
        """Return the moment so many seconds from now."""
        return self.now + timedelta(seconds=seconds)

    def number(self) -> int:
        """Return the number of the next decision."""
        self.state.decided += 1
        return self.state.decided

    def arrival(self) -> int:
        """Return the next number of arrival."""
        self.state.arrivals += 1
        return self.state.arrivals

    def agent_touched(self, agent_id: str) -> None:
        """Note that something about the Agent, or what they hold, is no longer as it was."""
        self.touched.agents.add(agent_id)
        self.crews.note(agent_id)

    def agent_changed(self, agent_id: str) -> None:
        """Let matching look at the Agent again, and at who waits for them."""
        self.agent_touched(agent_id)
        self.changed_agents.add(agent_id)
        self.changed_requests |= self.waiting_for.get(agent_id, set())

    # --- timers ---------------------------------------------------------------------------------

    def remind(self, at: datetime, kind: TimerKind, key: str) -> None:
        """Ask for a look at `at`."""
        heappush(self._timers, Timer(at, kind, key))

    def next_timer(self, now: datetime) -> Timer | None:
        """Take out the next timer that is due and still means something."""
        while self._timers and self._timers[0].at <= now:
            timer = heappop(self._timers)
            due = self._due_at(timer)
            if due == timer.at:
                return timer
            if timer.kind == "heartbeat" and due is not None:
                heappush(self._timers, timer._replace(at=due))
        return None

    def has_due(self, now: datetime) -> bool:
        """Return whether a tick at `now` would find anything to do."""
        timer = self.next_timer(now)
        if timer is not None:
            heappush(self._timers, timer)
        return timer is not None

    def _due_at(self, timer: Timer) -> datetime | None:
        if timer.kind in {"heartbeat", "wrap_up"}:
            agent = self.state.agents.get(timer.key)
            if agent is None:
                return None
            return agent.wrap_up_until if timer.kind == "wrap_up" else self.heartbeat_deadline(agent)
        standing = self.state.standings.get(timer.key)
        if standing is None:
            return None
        if timer.kind == "forget":
            return standing.forget_at
        return _due(standing.request, timer) if standing.request else None

    def heartbeat_deadline(self, agent: Agent) -> datetime | None:
        """Return when the Agent is lost unless heard of before; None where nobody listens for them."""
        if agent.heartbeat_at is None:
            return None
        return agent.heartbeat_at + timedelta(seconds=self.state.policy.heartbeat_seconds)

    # --- who is where ---------------------------------------------------------------------------

    def join(self, agent: Agent, inboxes: tuple[str, ...]) -> None:
        """Put the Agent in these Inboxes and no others."""
        for inbox in agent.inboxes:
            self.members[inbox].discard(agent.id)
        for inbox in inboxes:
            self.members[inbox].add(agent.id)
        agent.inboxes = inboxes

    # --- what a Conversation holds --------------------------------------------------------------

    def enqueue(self, standing: Standing, request: Request) -> None:
        """Let the Conversation wait under `request`; it holds nothing else."""
        standing.request, standing.slot, standing.forget_at = request, None, None
        weigh(request, self.state.policy.of(request.need.inbox), self.now)
        self._line_up(standing, request)
        self.changed_requests.add(standing.conversation_id)
        self.touched.conversations.add(standing.conversation_id)

    def _line_up(self, standing: Standing, request: Request) -> None:
        where, kind = place(standing.conversation_id, request), line(request)
        for inbox in request.inboxes:
            if self.queues.add(inbox, kind, where):
                self.crews.opened(inbox, kind)
        self.hoping.setdefault(hope_of(request), set()).add(standing.conversation_id)
        self.depths[request.need.inbox, request.need.classes[0]] += 1
        if request.grace_until and request.need.preferred:
            self.waiting_for[request.need.preferred].add(standing.conversation_id)

    def reserve(self, standing: Standing, request: Request, offer: Offer) -> None:
        """Take the request out of its line while one Agent is asked."""
        self.leave_line(standing, request)
        request.offer = offer
        self.offers[offer.id] = standing.conversation_id
        self.hands[offer.agent].take(standing.conversation_id, request.need.classes)
        self.remind(offer.expires_at, "offer", standing.conversation_id)
        self.agent_touched(offer.agent)
        self.touched.conversations.add(standing.conversation_id)

    def unreserve(self, standing: Standing, request: Request) -> None:
        """Put the request back in its line at its old place."""
        offer = request.offer
        if offer is None:
            return
        request.offer = None
        del self.offers[offer.id]
        self.hands[offer.agent].drop(standing.conversation_id)
        self.agent_changed(offer.agent)
        self.enqueue(standing, request)

    def occupy(self, standing: Standing, slot: Slot) -> None:
        """Give the Conversation to the slot's Agent; it holds nothing else."""
        self.vacate(standing)
        standing.slot, standing.forget_at = slot, None
        self.hands[slot.agent].take(standing.conversation_id, slot.need.classes)
        self.state.agents[slot.agent].idle_since = self.now
        self.agent_touched(slot.agent)
        self.touched.conversations.add(standing.conversation_id)

    def vacate(self, standing: Standing) -> None:
        """Let the Conversation hold nothing. An offer must have been taken back before."""
        request, slot = standing.request, standing.slot
        if request is not None:
            self.leave_line(standing, request)
            if request.offer:
                del self.offers[request.offer.id]
                self._empty_hand(request.offer.agent, standing.conversation_id)
            standing.request = None
        if slot is not None:
            self._empty_hand(slot.agent, standing.conversation_id)
            standing.slot = None
        self.changed_requests.discard(standing.conversation_id)
        self.touched.conversations.add(standing.conversation_id)

    def _empty_hand(self, agent_id: str, conversation_id: str) -> None:
        self.hands[agent_id].drop(conversation_id)
        self.state.agents[agent_id].idle_since = self.now
        self.agent_changed(agent_id)

    def plan(self, standing: Standing, request: Request) -> None:
        """Ask for a look at the request when it would next count for, or ask for, something else."""
        at = next_look(request, self.state.policy.of(request.need.inbox), self.now)
        if at is not None and at != request.look_at:
            self.remind(at, "look", standing.conversation_id)
        request.look_at = at

    def weigh_again(self, standing: Standing, request: Request) -> None:
        """Let the request stand where it belongs by now."""
        before = request.skills, request.inboxes
        self.leave_line(standing, request)
        weigh(request, self.state.policy.of(request.need.inbox), self.now)
        self._line_up(standing, request)
        self.plan(standing, request)
        if before != (request.skills, request.inboxes):
            self.changed_requests.add(standing.conversation_id)
        self.touched.conversations.add(standing.conversation_id)

    def leave_line(self, standing: Standing, request: Request) -> None:
        """Take the request out of all its lines; nothing for one that stands in none."""
        waiting_here = self.hoping.get(hope_of(request), set())
        if standing.conversation_id not in waiting_here:
            return
        waiting_here.discard(standing.conversation_id)
        if not waiting_here:
            del self.hoping[hope_of(request)]
        self.depths[request.need.inbox, request.need.classes[0]] -= 1
        where, kind = place(standing.conversation_id, request), line(request)
        for inbox in request.inboxes:
            if self.queues.remove(inbox, kind, where):
                self.crews.closed(inbox, kind)
        if request.need.preferred:
            waiting = self.waiting_for.get(request.need.preferred, set())
            waiting.discard(standing.conversation_id)
            if not waiting:
                self.waiting_for.pop(request.need.preferred, None)

    def obey(self, policy: Policy) -> None:
        """Go on under another policy: whoever waits keeps their age, and counts for what it now says."""
        if policy == self.state.policy:
            return
        waiting = [each for each in self.state.standings.values() if each.request and not each.request.offer]
        self.state.policy = policy
        self.hopes.forget()
        self.hopes_changed = True
        self.crews = self._crews()
        for inbox in self.queues.inboxes():
            for kind, _ in self.queues.lines(inbox):
                self.crews.opened(inbox, kind)
        for standing in waiting:
            if standing.request:
                self.weigh_again(standing, standing.request)
        for agent in self.state.agents.values():
            deadline = self.heartbeat_deadline(agent)
            if deadline:
                self.remind(deadline, "heartbeat", agent.id)

    def _crews(self) -> Crews:
        return Crews(self.state, self.members, self.hands, self.queues)

    def take_turn(self, inbox: str, agent_id: str) -> None:
        """Note that the Agent was chosen, in an Inbox whose Agents take turns."""
        if self.state.policy.of(inbox).choice == "round_robin":
            turns = self.state.turns.setdefault(inbox, {})
            turns[agent_id] = self.state.decided + 1  # grows with every choice
            self.crews.note(agent_id)

    def rest(self, standing: Standing) -> None:
        """Remember the epoch of a Conversation that holds nothing for a while, then forget it."""
        standing.forget_at = self.after(self.state.policy.remember_seconds)
        self.remind(standing.forget_at, "forget", standing.conversation_id)

    def note_handling(self, slot: Slot) -> None:
        """Learn from a Conversation that is done how long one stays with an Agent."""
        seconds = (self.now - slot.granted_at).total_seconds()
        name = slot.need.classes[0]
        times = self.state.handling.setdefault(slot.need.inbox, {})
        counts = self.state.handled.setdefault(slot.need.inbox, {})
        counts[name] = counts.get(name, 0) + 1
        weight = max(1 / counts[name], _SMOOTHING)
        times[name] = times.get(name, seconds) * (1 - weight) + seconds * weight
        self.touched.handling.add((slot.need.inbox, name))

    # --- indexes --------------------------------------------------------------------------------

    def _index(self) -> None:
        for agent in self.state.agents.values():
            for inbox in agent.inboxes:
                self.members[inbox].add(agent.id)
            deadline = self.heartbeat_deadline(agent)
            if deadline:
                self.remind(deadline, "heartbeat", agent.id)
            if agent.wrap_up_until:
                self.remind(agent.wrap_up_until, "wrap_up", agent.id)
        for standing in self.state.standings.values():
            self._index_standing(standing)

    def _index_standing(self, standing: Standing) -> None:
        conversation_id, request = standing.conversation_id, standing.request
        if standing.forget_at:
            self.remind(standing.forget_at, "forget", conversation_id)
        if standing.slot:
            self.hands[standing.slot.agent].take(conversation_id, standing.slot.need.classes)
        if request is None:
            return
        for at in {request.grace_until, *request.rejected.values()}:
            if at is not None:
                self.remind(at, "wake", conversation_id)
        if not request.inboxes:  # of a state from before requests were weighed
            request.inboxes, request.skills = (request.need.inbox,), request.need.skills
            request.due_at = request.need.due_at
        if request.look_at:
            self.remind(request.look_at, "look", conversation_id)
        if request.offer:
            self.offers[request.offer.id] = conversation_id
            self.hands[request.offer.agent].take(conversation_id, request.need.classes)
            self.remind(request.offer.expires_at, "offer", conversation_id)
        else:
            self._line_up(standing, request)


def _due(request: Request, timer: Timer) -> datetime | None:
    if timer.kind == "look":
        return request.look_at
    if timer.kind == "offer":
        return request.offer.expires_at if request.offer else None
    return timer.at if timer.at in (request.grace_until, *request.rejected.values()) else None
