"""Who of an Inbox can serve a line: kept, since every choice asks for it and says whom it left out.

A crew sorts an Inbox's Agents for one line: those who are barred from it, and why; those who fit but are
full; and those who are free, best first. Whoever changes is noted, and looked at again in each crew that the
change can concern when that crew is next asked. Crews hold nothing of their own: they are derived from
Agents and hands, and which of them exist changes no decision.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sortedcontainers import SortedList

from schemas.common import Channel
from schemas.routing import Exclusion
from services.router.domain.fitness import paused, unfit
from services.router.domain.policy import ChoiceName
from services.router.domain.queues import Line, Place, Queues
from services.router.domain.room import Hand, shortage
from services.router.domain.state import Agent, Classes, Needs, PoolState

MOST_CREWS = 500
"""The one longest not asked for makes room for another; making it again costs one look at every Agent.

A crew takes some 30 bytes an Agent of its Inbox: all of them about 150 MB in an Inbox of 10,000 Agents.
"""


_NO_TURNS: Mapping[str, int] = {}


class Rank(NamedTuple):
    """Where a free Agent stands; the smaller is asked first. `first` and `second` are as `rank_of` says."""

    first: int
    second: int
    idle_since: datetime
    agent: str


def rank_of(choice: ChoiceName, agent: Agent, hand: Hand, skills: Needs, turns: Mapping[str, int]) -> Rank:
    """Return where a free Agent stands.

    least_loaded: fewest Conversations. longest_idle: nothing else. round_robin: whose last turn is longest
    ago, who had none first. most_proficient: highest sum of levels above the needed ones, then (so that rare
    skills stay free) fewest other skills. Ties: the longest idle, then the id.
    """
    first = second = 0
    if choice == "least_loaded":
        first = hand.total
    elif choice == "round_robin":
        first = turns.get(agent.id, 0)
    elif choice == "most_proficient":
        first = -sum(agent.skills.get(skill, 0) - level for skill, level in skills)
        second = len(agent.skills) - sum(skill in agent.skills for skill, _ in skills)
    return Rank(first, second, agent.idle_since, agent.id)


class _Fitness(NamedTuple):
    """What `unfit` looks at. Both mappings are replaced when they change, never changed in place."""

    inboxes: tuple[str, ...]
    pause: Exclusion | None
    channels: Mapping[Channel, bool]
    skills: Mapping[str, int]

    def same(self, other: "_Fitness | None") -> bool:
        return other is not None and (
            self.channels is other.channels
            and self.skills is other.skills
            and self.pause == other.pause
            and self.inboxes == other.inboxes
        )


@dataclass(slots=True, eq=False)
class Crew:
    """An Inbox's Agents as one line sees them."""

    inbox: str
    line: Line
    choice: ChoiceName = "least_loaded"
    turns: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By Inbox."""
    barred: dict[str, Exclusion] = field(default_factory=dict)
    ranks: dict[str, Rank | None] = field(default_factory=dict)
    """Of all who fit; None while they are full."""
    free: SortedList = field(default_factory=SortedList)
    stale: set[str] = field(default_factory=set)
    """Who may have another place by now; looked at when the crew is next asked."""
    places: Sequence[Place] = ()
    """Who waits in the line, in serving order."""
    _reasons: Counter[Exclusion] = field(default_factory=Counter)

    def excluded(self) -> Counter[Exclusion]:
        """Return how many of the Inbox's Agents cannot have anything of the line now, by reason."""
        return self._reasons + Counter({Exclusion.FULL: len(self.ranks) - len(self.free)})

    def put(self, agent: Agent, hand: Hand) -> bool:
        """Sort the Agent in, anew if they are known; return whether they fit."""
        self.drop(agent.id)
        reason = unfit(agent, self.line)
        if reason is None:
            self.rank(agent, hand)
            return True
        self.barred[agent.id] = reason
        self._reasons[reason] += 1
        return False

    def rank(self, agent: Agent, hand: Hand) -> None:
        """Find the place of an Agent who fits."""
        full = shortage(agent, hand, self.line.classes, own="")
        turns = self.turns.get(self.inbox, _NO_TURNS)
        now = None if full else rank_of(self.choice, agent, hand, self.line.skills, turns)
        before = self.ranks.get(agent.id)
        self.ranks[agent.id] = now
        if before == now:
            return
        if before:
            self.free.remove(before)
        if now:
            self.free.add(now)

    def drop(self, agent_id: str) -> None:
        """Forget the Agent."""
        self.stale.discard(agent_id)
        reason = self.barred.pop(agent_id, None)
        if reason:
            self._reasons[reason] -= 1
        rank = self.ranks.pop(agent_id, None)
        if rank:
            self.free.remove(rank)


class Crews:
    """The crews of a pool, over its own Agents, members, hands and queues."""

    def __init__(
        self,
        state: PoolState,
        members: Mapping[str, set[str]],
        hands: Mapping[str, Hand],
        queues: Queues,
    ) -> None:
        self.most = MOST_CREWS
        self._state, self._agents = state, state.agents
        self._members, self._hands, self._queues = members, hands, queues
        self._crews: OrderedDict[tuple[str, Line], Crew] = OrderedDict()
        self._of_inbox: defaultdict[str, set[Crew]] = defaultdict(set)
        self._fitting: defaultdict[str, set[Crew]] = defaultdict(set)
        """Agent -> the crews they fit in."""
        self._uncovered: defaultdict[str, set[Line]] = defaultdict(set)
        """Inbox -> lines somebody waits in, and no crew is kept for."""
        self._seen: dict[str, _Fitness] = {}
        self._changed: set[str] = set()

    def note(self, agent_id: str) -> None:
        """Look at the Agent again before the next question."""
        self._changed.add(agent_id)

    def of(self, inbox: str, line: Line) -> Crew:
        """Return the crew of a line, as things are now."""
        self._catch_up()
        crew = self._crews.get((inbox, line))
        if crew is None:
            crew = self._make(inbox, line)
        for agent_id in crew.stale:
            crew.rank(self._agents[agent_id], self._hands[agent_id])
        crew.stale.clear()
        self._crews.move_to_end((inbox, line))
        return crew

    def opened(self, inbox: str, line: Line) -> None:
        """Note that somebody waits in the line, where nobody did."""
        crew = self._crews.get((inbox, line))
        if crew is None:
            self._uncovered[inbox].add(line)
        else:
            crew.places = self._queues.places(inbox, line)

    def closed(self, inbox: str, line: Line) -> None:
        """Note that nobody waits in the line any more."""
        crew = self._crews.get((inbox, line))
        if crew is None:
            self._uncovered[inbox].discard(line)
        else:
            crew.places = ()

    def open_to(self, agent: Agent, *, asked: bool = False) -> Iterator[Sequence[Place]]:
        """Give the places of each line that is not empty and that the Agent could serve now."""
        if asked and paused(agent):  # who has a pause fits in no crew
            yield from self._asked(agent)
            return
        self._catch_up()
        hand, room = self._hands[agent.id], dict[Classes, bool]()
        for crew in self._fitting.get(agent.id, ()):
            if not crew.places:
                continue
            classes = crew.line.classes
            if classes not in room:
                room[classes] = shortage(agent, hand, classes, own="") is None
            if room[classes]:
                yield crew.places
        for inbox in agent.inboxes:
            for line in self._uncovered.get(inbox, ()):
                if not (unfit(agent, line) or shortage(agent, hand, line.classes, own="")):
                    yield self._queues.places(inbox, line)

    def _asked(self, agent: Agent) -> Iterator[Sequence[Place]]:
        for inbox in agent.inboxes:
            for line, places in self._queues.lines(inbox):
                full = shortage(agent, self._hands[agent.id], line.classes, own="")
                if not (full or unfit(agent, line, asked=True)):
                    yield places

    def _make(self, inbox: str, line: Line) -> Crew:
        while len(self._crews) >= self.most:
            _, oldest = self._crews.popitem(last=False)
            self._of_inbox[oldest.inbox].discard(oldest)
            for agent_id in oldest.ranks:
                self._fitting[agent_id].discard(oldest)
            if oldest.places:
                self._uncovered[oldest.inbox].add(oldest.line)
        self._uncovered[inbox].discard(line)
        choice = self._state.policy.of(inbox).choice
        crew = self._crews[inbox, line] = Crew(inbox, line, choice, self._state.turns)
        crew.places = self._queues.places(inbox, line)
        self._of_inbox[inbox].add(crew)
        for agent_id in self._members.get(inbox, ()):
            agent = self._agents[agent_id]
            self._seen[agent_id] = _fitness(agent)
            if crew.put(agent, self._hands[agent_id]):
                self._fitting[agent_id].add(crew)
        return crew

    def _catch_up(self) -> None:
        for agent_id in self._changed:
            agent, seen = self._agents.get(agent_id), self._seen.get(agent_id)
            if agent is None:
                self._forget(agent_id, seen)
            elif _fitness(agent).same(seen):
                for crew in self._fitting[agent_id]:
                    crew.stale.add(agent_id)
            else:
                self._forget(agent_id, seen)
                self._sort_in(agent)
        self._changed.clear()

    def _forget(self, agent_id: str, seen: _Fitness | None) -> None:
        for inbox in seen.inboxes if seen else ():
            for crew in self._of_inbox[inbox]:
                crew.drop(agent_id)
        self._seen.pop(agent_id, None)
        self._fitting.pop(agent_id, None)

    def _sort_in(self, agent: Agent) -> None:
        self._seen[agent.id] = _fitness(agent)
        for inbox in agent.inboxes:
            for crew in self._of_inbox[inbox]:
                if crew.put(agent, self._hands[agent.id]):
                    self._fitting[agent.id].add(crew)


def _fitness(agent: Agent) -> _Fitness:
    return _Fitness(agent.inboxes, paused(agent), agent.channels, agent.skills)
