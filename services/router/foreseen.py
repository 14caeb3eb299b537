"""Expected waits from the read models, by the formula of `domain/waits.py`."""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.common import Channel, ChannelClass
from services.router.domain.fitness import unfit
from services.router.domain.queues import Line
from services.router.domain.room import Hand, shortage
from services.router.domain.state import RANK, Agent, classes
from services.router.domain.waits import (
    HANDLING_SECONDS,
    Ahead,
    Inboxes,
    Room,
    expected_wait,
    longest,
    room_of,
    shared_room,
)


class Foreseen:
    """Expected waits, as the read models have it."""

    def __init__(
        self,
        ahead: Sequence[tuple[Inboxes, Line, int]],
        there: Sequence[tuple[Agent, Hand]],
        times: Mapping[tuple[str, ChannelClass], float],
    ) -> None:
        self._ahead, self._there, self._times = ahead, there, times
        self._rooms: dict[tuple[Inboxes, Line], Room] = {}

    def wait(self, inboxes: Inboxes, own: Line) -> float | None:
        """Return the seconds one of this line waits behind all that are ahead of it and share its Agents."""
        room = self._room(inboxes, own)
        ahead = [each for each in self._ahead if RANK[each[1].classes[0]] <= RANK[own.classes[0]]]
        expected = expected_wait(
            self._handling(inboxes, own),
            sum(room.values()),
            [
                Ahead(count * self._handling(where, other), sum(theirs.values()), shared_room(room, theirs))
                for where, other, count in longest(ahead, inboxes, own)
                for theirs in (self._room(where, other),)
            ],
        )
        return None if expected is None else round(expected, 1)

    def free(self, inboxes: Inboxes, own: Line) -> int:
        """Return how many Agents could take one of this line now."""
        room = self._room(inboxes, own)
        return sum(
            agent.id in room and not shortage(agent, hand, own.classes, own="") for agent, hand in self._there
        )

    def _handling(self, inboxes: Inboxes, where: Line) -> float:
        return self._times.get((inboxes[0], where.classes[0]), HANDLING_SECONDS)

    def _room(self, inboxes: Inboxes, where: Line) -> Room:
        key = (inboxes, where)
        if key not in self._rooms:
            fit = (
                agent
                for agent, _ in self._there
                if not unfit(agent, where) and any(inbox in agent.inboxes for inbox in inboxes)
            )
            self._rooms[key] = room_of(fit, where.classes[0])
        return self._rooms[key]


def inboxes_of(row: Mapping[str, Any]) -> Inboxes:
    """Return the Inboxes a shown request waits in; of what an older release showed, its own."""
    return tuple(row.get("inboxes") or (row["inbox"],))


def line_of(row: Mapping[str, Any]) -> Line:
    """Return the line it waits in."""
    channel = row.get("channel")
    return Line(
        Channel(channel) if channel else None,
        classes(*map(ChannelClass, row.get("classes") or [row["channel_class"]])),
        tuple(sorted((row.get("skills") or {}).items())),
    )
