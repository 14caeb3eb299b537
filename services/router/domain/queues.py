"""Waiting requests in serving order, in one line per kind of need and Inbox.

A request that was widened stands in a line of each of its Inboxes, and leaves all of them at once.

Requests of one line differ in nothing that decides who may serve them, except past rejections and a
preferred Agent. So to find an Agent's next Conversation it is enough to look at the heads of lines.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sortedcontainers import SortedList

from schemas.common import Channel
from services.router.domain.state import RANK, Classes, Request

FIRST = -1
"""The rank before all classes."""
_NEVER = datetime.max.replace(tzinfo=UTC)


class Place(NamedTuple):
    """Where a request stands; the smaller is served first."""

    rank: int
    urgency: int
    """Priority, negated."""
    due_at: datetime
    behind: bool
    """False for those that had an Agent and lost them."""
    requested_at: datetime
    arrival: int
    conversation_id: str


class Line(NamedTuple):
    """What requests of one line have in common."""

    channel: Channel | None
    classes: Classes
    skills: tuple[tuple[str, int], ...]


def place(conversation_id: str, request: Request) -> Place:
    """Return the request's place: class, priority, due time, lost Agent, age; starving by age alone."""
    need = request.need
    if request.starving:
        since = request.since or need.requested_at
        return Place(FIRST, 0, since, not request.ahead, need.requested_at, request.arrival, conversation_id)
    return Place(
        RANK[need.classes[0]],
        -need.priority - request.boost,
        request.due_at or _NEVER,
        not request.ahead,
        need.requested_at,
        request.arrival,
        conversation_id,
    )


def line(request: Request) -> Line:
    """Return the line in which the request waits, in each of its Inboxes."""
    return Line(request.need.channel, request.need.classes, request.skills)


class Queues:
    """All lines of a pool, by Inbox."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Line, SortedList]] = {}

    def add(self, inbox: str, kind: Line, where: Place) -> bool:
        """Put a request in a line; return whether nobody waited there."""
        places = self._lines.setdefault(inbox, {}).setdefault(kind, SortedList())
        places.add(where)
        return len(places) == 1

    def remove(self, inbox: str, kind: Line, where: Place) -> bool:
        """Take it out of a line, if it is there; return whether nobody waits there any more."""
        lines = self._lines.get(inbox, {})
        places = lines.get(kind)
        if places is None:
            return False
        places.discard(where)
        if places:
            return False
        del lines[kind]
        return True

    def places(self, inbox: str, where: Line) -> Sequence[Place]:
        """Return the places of a line in serving order; none, if nobody waits there."""
        places: Sequence[Place] = self._lines.get(inbox, {}).get(where, ())
        return places

    def lines(self, inbox: str) -> Iterator[tuple[Line, SortedList]]:
        """Give the lines of an Inbox that are not empty, each with its places in serving order."""
        yield from self._lines.get(inbox, {}).items()

    def inboxes(self) -> list[str]:
        """Return the Inboxes that ever had a line, sorted."""
        return sorted(self._lines)

    def oldest(self) -> datetime | None:
        """Return since when the longest waiting head of a line waits, None while nobody does."""
        heads = [places[0].requested_at for lines in self._lines.values() for places in lines.values()]
        return min(heads, default=None)
