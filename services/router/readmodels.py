"""What GET routes show, read from the router's read models on any replica.

Expected wait: the formula of `domain/waits.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.common import Channel, ChannelClass
from schemas.routing import Capacity
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database, Document
from services.chassis.pages import page
from services.router.domain.crews import unfit
from services.router.domain.queues import Line
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

_PLACE = ("rank", "urgency", "due_at", "behind", "requested_at", "arrival")
_UNASSIGNED = ("queued", "offered")


class ReadModels:
    """Reads `agents`, `requests`, `offers`, `handling` and `outcomes`."""

    def __init__(self, database: Database) -> None:
        self._agents, self._requests = database["agents"], database["requests"]
        self._offers, self._handling = database["offers"], database["handling"]
        self._outcomes = database["outcomes"]

    async def agent(self, agent_id: str) -> Document | None:
        """Return one Agent."""
        return await self._agents.find_one({"_id": agent_id})

    async def agents(
        self, limit: int, cursor: str | None, view: Callable[[Document], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a page of Agents by id."""
        return await page(self._agents, {}, ("_id",), limit, cursor, view, newest_first=False)

    async def offer(self, offer_id: str) -> Document | None:
        """Return one offer, also one that is over."""
        return await self._offers.find_one({"_id": offer_id})

    async def open_offers(self, agent_id: str) -> list[Document]:
        """Return what the Agent is asked now, the most urgent first."""
        found = self._offers.find({"agent": agent_id, "state": "open"}).sort("expires_at", 1)
        return await found.to_list(200)

    async def outcome(self, command: UUID) -> Document | None:
        """Return what became of a command."""
        return await self._outcomes.find_one({"_id": str(command)})

    async def queues(self, inboxes: Mapping[str, Inbox], now: datetime) -> list[dict[str, Any]]:
        """Return each Inbox and class with depth, oldest, expected wait and Agents with room."""
        waiting = {
            (row["_id"]["inbox"], row["_id"]["channel_class"]): row
            async for row in await self._requests.aggregate(
                [
                    {"$match": {"state": {"$in": list(_UNASSIGNED)}}},
                    {
                        "$group": {
                            "_id": {"inbox": "$inbox", "channel_class": "$channel_class"},
                            "depth": {"$sum": 1},
                            "oldest": {"$min": "$requested_at"},
                        }
                    },
                ]
            )
        }
        foreseen = await self._foreseen({"state": {"$in": list(_UNASSIGNED)}}, {})
        return [
            _queue(inbox, kind, waiting.get((inbox.name, str(kind)), {}), foreseen, now)
            for inbox in inboxes.values()
            for kind in ChannelClass
        ]

    async def request(self, conversation_id: str) -> Document | None:
        """Return where a Conversation stands; of several pools the one that was asked last."""
        found = self._requests.find({"conversation_id": conversation_id}).sort("epoch", -1).limit(1)
        rows = await found.to_list(1)
        return rows[0] if rows else None

    async def position(self, row: Document) -> int:
        """Return the place of a waiting request in its queue, from 1."""
        queue = {key: row[key] for key in ("pool", "inbox", "channel_class")}
        return 1 + await self._requests.count_documents({"state": "queued", **queue, "$or": _before(row)})

    async def expected_wait(self, row: Document) -> float | None:
        """Return the expected wait of a waiting request in seconds; None while nobody could serve it."""
        pool = {"pool": row["pool"]}
        foreseen = await self._foreseen({**pool, "state": "queued", "$or": _before(row)}, pool)
        return foreseen.wait(_inboxes(row), _line(row))

    async def _foreseen(self, ahead: Document, pool: Document) -> "Foreseen":
        """Return what expected waits follow from: these requests, and the Agents who are there."""
        fields = ("inbox", "inboxes", "channel", "channel_class", "classes", "skills")
        lines = [
            (_inboxes(row["_id"]), _line(row["_id"]), row["waiting"])
            async for row in await self._requests.aggregate(
                [
                    {"$match": ahead},
                    {"$group": {"_id": {key: f"${key}" for key in fields}, "waiting": {"$sum": 1}}},
                ]
            )
        ]
        there = await self._agents.find({**pool, "signed_on": True, "away": False}).to_list(None)
        times = {
            (each["inbox"], ChannelClass(each["channel_class"])): each["handling_seconds"]
            async for each in self._handling.find(pool)
        }
        return Foreseen(lines, [(_agent(each), each["load"]) for each in there], times)


class Foreseen:
    """Expected waits, as the read models have it."""

    def __init__(
        self,
        ahead: Sequence[tuple[Inboxes, Line, int]],
        there: Sequence[tuple[Agent, Mapping[str, int]]],
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
        return sum(has_room(agent, load, own.classes[0]) for agent, load in self._there if agent.id in room)

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


def _before(row: Document) -> list[Document]:
    """Return the conditions, one of which a request meets that is served before."""
    before: list[Document] = []
    equal: Document = {}
    place = {"rank": RANK[ChannelClass(row["channel_class"])], **row["place"]}
    for key in _PLACE:
        before.append({**equal, f"place.{key}": {"$lt": place[key]}})
        equal[f"place.{key}"] = place[key]
    return before


def _inboxes(row: Mapping[str, Any]) -> Inboxes:
    return tuple(row.get("inboxes") or (row["inbox"],))


def _line(row: Mapping[str, Any]) -> Line:
    channel = row.get("channel")
    return Line(
        Channel(channel) if channel else None,
        classes(*map(ChannelClass, row.get("classes") or [row["channel_class"]])),
        tuple((each["name"], each["level"]) for each in row.get("skills") or ()),
    )


def _agent(row: Document) -> Agent:
    return Agent(
        row["_id"],
        row["name"],
        row["idle_since"],
        tuple(row["inboxes"]),
        row["skills"],
        Capacity.model_validate(row["capacity"]),
        voice_alone=row["voice_alone"],
        channels={Channel(name): on for name, on in row["availability"].items()},
    )


def has_room(agent: Agent, load: Mapping[str, int], kind: ChannelClass) -> bool:
    """Return whether the Agent could take one more Conversation of the class."""
    if load["total"] >= agent.capacity.total or load[kind] >= getattr(agent.capacity, kind):
        return False
    if not agent.voice_alone:
        return True
    return load["total"] == load["tasks"] if kind is ChannelClass.VOICE else not load["voice"]


def _queue(
    inbox: Inbox, kind: ChannelClass, waiting: Mapping[str, Any], foreseen: Foreseen, now: datetime
) -> dict[str, Any]:
    depth, any_of_class = waiting.get("depth", 0), Line(None, (kind,), ())
    free = foreseen.free((inbox.name,), any_of_class)
    oldest = max((now - waiting["oldest"]).total_seconds(), 0.0) if waiting else 0.0
    return {
        "inbox": inbox.name,
        "channel_class": str(kind),
        "depth": depth,
        "oldest_seconds": round(oldest, 3),
        "expected_wait_seconds": 0.0 if free and not depth else foreseen.wait((inbox.name,), any_of_class),
        "agents_available": free,
    }
