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

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.common import ChannelClass
from services.router.domain.pool import Pool
from services.router.domain.queues import Line, line, place
from services.router.domain.state import Agent, Standing

HANDLING_SECONDS = 300.0
"""Assumed before the first Conversation of a queue is done."""
MOST_LINES = 12
"""Lines ahead that are told apart, the longest; the others count as one that needs no skills."""
_FRESH = timedelta(seconds=15)

Room = Mapping[str, int]
"""Agent -> Conversations of one class they can have at a time."""


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


def longest(lines: Sequence[tuple[str, Line, int]], inbox: str, own: Line) -> list[tuple[str, Line, int]]:
    """Return (Inbox, line, how many) with all but the longest of other needs put into one without skills."""
    others = sorted((each for each in lines if each[:2] != (inbox, own)), key=lambda each: -each[2])
    kept = [*others[:MOST_LINES], *(each for each in lines if each[:2] == (inbox, own))]
    rest = sum(each[2] for each in others[MOST_LINES:])
    return [*kept, (inbox, own._replace(skills=()), rest)] if rest else kept


class Foresight:
    """Expected waits in a pool. Who can serve a line is looked up again after 15 s of the pool's time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rooms: dict[tuple[str, Line], Room] = {}
        self._shared: dict[tuple[str, Line, str, Line], int] = {}
        self._since: datetime | None = None

    def of(self, standing: Standing) -> float | None:
        """Return the expected wait of one that stands in line; None while nobody could serve it."""
        request = standing.request
        if request is None or request.offer:
            return None
        self._forget_old()
        inbox, own = request.need.inbox, line(request.need)
        room = sum(self._room(inbox, own).values())
        if not room:
            return None
        where = place(standing.conversation_id, request)
        ahead = [
            (name, other, count)
            for name in self._inboxes(inbox, own)
            for other, places in self._pool.queues.lines(name)
            if (count := places.bisect_left(where))
        ]
        return expected_wait(
            self._handling(inbox, own),
            room,
            [self._ahead(inbox, own, *each) for each in longest(ahead, inbox, own)],
        )

    def _ahead(self, inbox: str, own: Line, name: str, other: Line, count: int) -> Ahead:
        key = (inbox, own, name, other)
        mine, theirs = self._room(inbox, own), self._room(name, other)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = shared_room(mine, theirs)
        return Ahead(count * self._handling(name, other), sum(theirs.values()), shared)

    def _handling(self, inbox: str, where: Line) -> float:
        return self._pool.state.handling.get(inbox, {}).get(where.classes[0], HANDLING_SECONDS)

    def _room(self, inbox: str, where: Line) -> Room:
        room = self._rooms.get((inbox, where))
        if room is None:
            agents = self._pool.state.agents
            crew = self._pool.crews.of(inbox, where)
            room = self._rooms[inbox, where] = room_of(
                (agents[each] for each in crew.ranks), where.classes[0]
            )
        return room

    def _inboxes(self, inbox: str, own: Line) -> set[str]:
        agents = self._pool.state.agents
        return {name for each in self._room(inbox, own) if each in agents for name in agents[each].inboxes}

    def _forget_old(self) -> None:
        now = self._pool.state.at
        if self._since is None or (now is not None and now - self._since > _FRESH):
            self._rooms.clear()
            self._shared.clear()
            self._since = now
