"""How long one who waits will probably have to go on waiting: one formula, for HTTP, metrics and simulation.

Let `room` be how many Conversations of the request's class the Agents can have who could serve it (in its
Inbox, signed on for its channel, not away, with its skills), and `handling` the smoothed seconds such a
Conversation stays with an Agent. While all of them are busy, a place of theirs becomes free every
`handling / room` seconds, whoever's turn it is. So the wait w is the first moment by which they have done
the work of all who are served before, as far as it falls to them, and one place more becomes free:

    room x w = handling + sum over lines ahead of min(work_j x shared_j / room_j, shared_j x w)

A line ahead is `waiting_j` requests of one kind of need, of any class and Inbox, that stand before this one
in serving order; `work_j` is `waiting_j` x their handling time, `room_j` the room of who can serve them, and
`shared_j` how much of `room` is of Agents who are among those. The line's work is spread over all who can do
it, and keeps those whom both lines share busy for no longer than the wait itself. With one line alone, w is
position x handling / room. No time is left of those who are served now: with more than a few Agents the next
one becomes free as often as the long run says. Unknown without Agents; what is not in it: Customers who give
up, shifts that begin or end, and requests still to come that are served before. docs/simulation.md says how
far it was off.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sortedcontainers import SortedList

from schemas.common import ChannelClass
from services.router.domain.pool import Pool
from services.router.domain.queues import Line, line, place
from services.router.domain.state import Agent, Standing

HANDLING_SECONDS = 300.0
"""Assumed before the first Conversation of a queue is done."""
MOST_LINES = 12
"""Lines ahead that are told apart, the longest; the others count as one that needs no skills."""
_LOOKED_AT = 32
_FRESH = timedelta(seconds=15)

Room = Mapping[str, int]
"""Agent -> Conversations of one class they can have at a time."""


Inboxes = tuple[str, ...]
"""The Inbox of a request, and those it was widened to."""


class Ahead(NamedTuple):
    """A line of which some are served before."""

    work_seconds: float
    room: int
    shared: int


def expected_wait(handling_seconds: float, room: int, ahead: Iterable[Ahead]) -> float | None:
    """Return w of the formula above, in seconds; None without room.

    Its right side grows with w until the time `work_j / room_j` in which a line is done, so it is solved
    from one such time to the next.
    """
    if room <= 0:
        return None
    lines = sorted(
        (each.work_seconds / each.room, each.shared) for each in ahead if each.room and each.shared
    )
    busy = sum(shared for _, shared in lines)
    work = handling_seconds
    for done_at, shared in lines:
        if room > busy and work / (room - busy) <= done_at:
            return work / (room - busy)
        busy -= shared
        work += done_at * shared
    return work / room


def room_of(agents: Iterable[Agent], name: ChannelClass) -> Room:
    """Return how many Conversations of the class each can have."""
    return {agent.id: min(getattr(agent.capacity, name), agent.capacity.total) for agent in agents}


def shared_room(own: Room, other: Room) -> int:
    """Return how much of `own` is of Agents who are in `other` too."""
    if len(other) < len(own):
        return sum(own.get(agent, 0) for agent in other)
    return sum(count for agent, count in own.items() if agent in other)


def longest(
    lines: Sequence[tuple[Inboxes, Line, int]], inboxes: Inboxes, own: Line
) -> list[tuple[Inboxes, Line, int]]:
    """Return (Inboxes, line, how many), with all but the longest of others put into one without skills."""
    same = [each for each in lines if each[:2] == (inboxes, own)]
    others = sorted((each for each in lines if each[:2] != (inboxes, own)), key=lambda each: -each[2])
    rest = sum(each[2] for each in others[MOST_LINES:])
    shortened = [(inboxes, own._replace(skills=()), rest)] if rest else []
    return [*same, *others[:MOST_LINES], *shortened]


class Foresight:
    """Expected waits in a pool. Who can serve a line is looked up again after 15 s of the pool's time.

    What was widened stands in a line of each of its Inboxes. Of a line that may have such, some of those
    ahead are looked at, evenly from first to last, so that each counts in one line only.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rooms: dict[tuple[Inboxes, Line], Room] = {}
        self._shared: dict[tuple[Inboxes, Line, Inboxes, Line], int] = {}
        self._since: datetime | None = None
        self._widens = False

    def of(self, standing: Standing) -> float | None:
        """Return the expected wait of one that stands in line; None while nobody could serve it."""
        request = standing.request
        if request is None or request.offer:
            return None
        self._forget_old()
        inboxes, own = request.inboxes, line(request)
        room = self._room(inboxes, own)
        if not room:
            return None
        where = place(standing.conversation_id, request)
        reached = self._reached(room)
        ahead = [
            each
            for name in reached
            for other, places in self._pool.queues.lines(name)
            if (count := places.bisect_left(where))
            for each in self._once(name, other, places, count, reached)
        ]
        return expected_wait(
            self._handling(inboxes, own),
            sum(room.values()),
            [self._ahead(inboxes, own, *each) for each in longest(ahead, inboxes, own)],
        )

    def _once(
        self, name: str, other: Line, places: SortedList, count: int, reached: Sequence[str]
    ) -> Iterator[tuple[Inboxes, Line, int]]:
        """Give what a line counts for: by Inboxes, those that count in none of `reached` before it."""
        if not self._widens:
            yield (name,), other, count
            return
        standings, found = self._pool.state.standings, Counter[Inboxes]()
        seen = range(0, count, -(-count // _LOOKED_AT))
        for index in seen:
            request = standings[places[index].conversation_id].request
            inboxes = request.inboxes if request else (name,)
            if next((each for each in inboxes if each in reached), name) == name:
                found[inboxes] += 1
        for inboxes, times in found.items():
            yield inboxes, other, max(round(times * count / len(seen)), 1)

    def _ahead(self, inboxes: Inboxes, own: Line, others: Inboxes, other: Line, count: int) -> Ahead:
        key = (inboxes, own, others, other)
        mine, theirs = self._room(inboxes, own), self._room(others, other)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = shared_room(mine, theirs)
        return Ahead(count * self._handling(others, other), sum(theirs.values()), shared)

    def _handling(self, inboxes: Inboxes, where: Line) -> float:
        return self._pool.state.handling.get(inboxes[0], {}).get(where.classes[0], HANDLING_SECONDS)

    def _room(self, inboxes: Inboxes, where: Line) -> Room:
        room = self._rooms.get((inboxes, where))
        if room is None:
            agents = self._pool.state.agents
            fit = {each for inbox in inboxes for each in self._pool.crews.of(inbox, where).ranks}
            room = self._rooms[inboxes, where] = room_of((agents[each] for each in fit), where.classes[0])
        return room

    def _reached(self, room: Room) -> list[str]:
        agents = self._pool.state.agents
        return sorted({name for each in room if each in agents for name in agents[each].inboxes})

    def _forget_old(self) -> None:
        now = self._pool.state.at
        if self._since is None or (now is not None and now - self._since > _FRESH):
            self._rooms.clear()
            self._shared.clear()
            self._since = now
            policy = self._pool.state.policy
            self._widens = any(
                step.inboxes
                for each in (policy.defaults, *policy.inboxes.values())
                for step in each.relaxation
            )
