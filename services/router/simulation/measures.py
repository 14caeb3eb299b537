"""What became of a day: waits, loads, handovers, and how far the expected wait was off."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from schemas.common import ChannelClass
from schemas.envelope import Envelope
from schemas.routing import RoutingGranted, RoutingOfferEnded, RoutingOverflowed, RoutingUnassigned
from services.router.domain.pool import Pool
from services.router.simulation.stays import Live, Stay

Queue = tuple[str, ChannelClass]


@dataclass(slots=True)
class QueueMeasures:
    """One Inbox and class, by the stays that asked there first."""

    asked: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from asking to the first Agent, of those who got one."""
    left: list[float] = field(default_factory=list)
    """Seconds until those left who got none."""
    waiting: list[float] = field(default_factory=list)
    """Seconds those have waited so far who wait at the end."""
    predictions: list[tuple[float, float]] = field(default_factory=list)
    """Expected and real seconds, of those who had to wait and got an Agent."""
    unpredicted: int = 0
    """Had to wait when nobody was there who could ever have served them."""


@dataclass(slots=True)
class Work:
    """What one Agent did up to `at`; times in seconds."""

    at: datetime
    on: float = 0.0
    """Signed on and not away."""
    busy: float = 0.0
    """… with at least one Conversation."""
    held: float = 0.0
    """Conversations times seconds, offers included."""
    grants: int = 0
    there: bool = False
    holds: int = 0

    def pass_until(self, now: datetime) -> None:
        """Count the time since `at` as it was then."""
        seconds = (now - self.at).total_seconds()
        self.at = now
        self.on += seconds * self.there
        self.busy += seconds * (self.there and self.holds > 0)
        self.held += seconds * self.holds


@dataclass(frozen=True, slots=True)
class Sample:
    """The pool at a moment."""

    at: datetime
    waiting: int
    """Conversations that have no Agent."""
    held: int
    there: int
    """Agents signed on and not away."""


class Measures:
    """Filled by a Day."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start, self.end = start, end
        self.queues: defaultdict[Queue, QueueMeasures] = defaultdict(QueueMeasures)
        self.agents: dict[str, Work] = {}
        self.decisions: Counter[str] = Counter()
        self.handovers: Counter[str] = Counter()
        """Offers `rejected`, `timed_out`, `withdrawn`; Conversations that lost their Agent `lost`,
        `signed_off`, `no_room`."""
        self.moves: Counter[str] = Counter()
        """Requests `overflowed` to a fallback; grants `elsewhere` than asked, and of `relaxed` needs."""
        self.samples: list[Sample] = []
        self.finished = self.held = 0
        """Stays that came to their end, and those an Agent has when the day ends."""
        self._expected: dict[Live, tuple[datetime, float]] = {}
        self._waiting = 0

    def asked(self, stay: Stay) -> None:
        """Count a stay that begins to wait."""
        self.queues[stay.queue].asked += 1
        self._waiting += 1

    def expected(self, live: Live, at: datetime, seconds: float | None) -> None:
        """Note what one who has to wait was told; None: nobody knows."""
        if seconds is None:
            self.queues[live.stay.queue].unpredicted += 1
        else:
            self._expected[live] = at, seconds

    def decided(self, decision: Envelope) -> None:
        """Count a decision."""
        self.decisions[decision.type] += 1
        if isinstance(decision, RoutingOfferEnded):
            self.handovers[decision.data.outcome] += 1
        elif isinstance(decision, RoutingUnassigned):
            self.handovers[decision.data.reason] += 1
        elif isinstance(decision, RoutingOverflowed):
            self.moves["overflowed"] += 1
        elif isinstance(decision, RoutingGranted):
            self.moves["relaxed"] += bool(decision.data.explanation.relaxed)

    def granted(self, live: Live, inbox: str | None, at: datetime) -> None:
        """Count a grant, in this Inbox."""
        self.moves["elsewhere"] += inbox not in (None, live.stay.need.inbox)
        if live.agent in self.agents:
            self.agents[live.agent].grants += 1
        if live.served:
            return
        self._waiting -= 1
        queue = self.queues[live.stay.queue]
        queue.waits.append((at - live.asked_at).total_seconds())
        told = self._expected.pop(live, None)
        if told:
            queue.predictions.append((told[1], (at - told[0]).total_seconds()))

    def left(self, live: Live, at: datetime) -> None:
        """Count one who gave up."""
        self._waiting -= 1
        self._expected.pop(live, None)
        self.queues[live.stay.queue].left.append((at - live.asked_at).total_seconds())

    def loads(self, pool: Pool, agents: Iterable[str], at: datetime) -> None:
        """Count the time of Agents whose state has changed."""
        for agent_id in agents:
            agent, work = pool.state.agents.get(agent_id), self.agents.get(agent_id)
            if work is None:
                work = self.agents[agent_id] = Work(at)
            work.pass_until(at)
            work.there = agent is not None and agent.signed_on and not agent.away
            work.holds = pool.hands[agent_id].total if agent else 0

    def sample(self, at: datetime) -> None:
        """Note how the pool is."""
        agents = self.agents.values()
        held, there = sum(each.holds for each in agents), sum(each.there for each in agents)
        self.samples.append(Sample(at, self._waiting, held, there))

    def close(self, at: datetime, live: Iterable[Live]) -> None:
        """The day ends, with these under way."""
        for each in live:
            if each.served:
                self.held += 1
            else:
                self.queues[each.stay.queue].waiting.append((at - each.asked_at).total_seconds())
        for work in self.agents.values():
            work.pass_until(at)
