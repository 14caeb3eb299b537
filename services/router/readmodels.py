"""What GET routes show, read from the router's read models on any replica.

Expected wait (seconds) = position x mean handling time / room. Position counts from 1 in serving order
within an Inbox and class, for a Customer who has yet to come one after the last. Handling time is how long
a Conversation of the queue stays with an Agent, exponentially smoothed with weight 0.1 (300 s before the
first is known). Room is the sum of the class capacity of Agents in rotation: in the Inbox, signed on for a
channel of the class, not away. Without them it is unknown; with free room and nobody waiting it is 0.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.common import Channel, ChannelClass, channel_class
from schemas.routing import Exclusion
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database, Document
from services.chassis.pages import page
from services.router.domain.views import agent_of, why_waiting

HANDLING_SECONDS = 300.0
"""Assumed before the first Conversation of a queue is done."""
_PLACE = ("urgency", "due_at", "behind", "requested_at", "arrival")
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
        agents = await self._agents.find({"signed_on": True, "away": False}).to_list(None)
        times = {each["_id"]: each["handling_seconds"] async for each in self._handling.find({})}
        return [
            _queue(
                inbox,
                kind,
                waiting.get((inbox.name, str(kind)), {}),
                in_rotation(agents, inbox.name, kind),
                times.get(f"{inbox.pool}/{inbox.name}/{kind}", HANDLING_SECONDS),
                now,
            )
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
        queue = {"state": "queued", **{key: row[key] for key in ("pool", "inbox", "channel_class")}}
        place = row["place"]
        before: list[Document] = []
        equal: Document = {}
        for key in _PLACE:
            before.append({**equal, f"place.{key}": {"$lt": place[key]}})
            equal[f"place.{key}"] = place[key]
        return 1 + await self._requests.count_documents({**queue, "$or": before})

    async def expected_wait(self, row: Document, position: int) -> float | None:
        """Return the expected wait in seconds at `position` of the request's queue."""
        agents = await self._agents.find({"signed_on": True, "away": False, "inboxes": row["inbox"]}).to_list(
            None
        )
        kind = ChannelClass(row["channel_class"])
        time = await self._handling.find_one({"_id": f"{row['pool']}/{row['inbox']}/{kind}"})
        seconds = time["handling_seconds"] if time else HANDLING_SECONDS
        return expected_wait(position, in_rotation(agents, row["inbox"], kind), kind, seconds)

    async def why_waiting(self, row: Document, now: datetime) -> dict[str, Any] | None:
        """Return why a queued request is with nobody yet: how many Agents are kept from it by what.

        Looks at every Agent of its Inboxes; the rest of the pool is counted.
        """
        if "classes" not in row:  # of a release that did not show them
            return None
        here = {"pool": row["pool"], "inboxes": {"$in": row["inboxes"]}}
        agents = [agent_of(each["_id"], each) async for each in self._agents.find(here)]
        counts = why_waiting(row, agents, now)
        pool = await self._agents.count_documents({"pool": row["pool"]})
        counts[Exclusion.OTHER_INBOX] = pool - len(agents)
        free = counts.pop("free", 0)
        return {"excluded": {str(reason): count for reason, count in counts.items() if count}, "free": free}


def in_rotation(agents: Sequence[Document], inbox: str, kind: ChannelClass) -> list[Document]:
    """Return the signed-on Agents who serve the queue at all."""
    return [
        agent
        for agent in agents
        if inbox in agent["inboxes"]
        and (
            kind is ChannelClass.TASKS
            or any(on and channel_class(Channel(name)) is kind for name, on in agent["availability"].items())
        )
    ]


def has_room(agent: Document, kind: ChannelClass) -> bool:
    """Return whether the Agent could take one more Conversation of the class."""
    load, capacity = agent["load"], agent["capacity"]
    if load["total"] >= capacity["total"] or load[kind] >= capacity[kind]:
        return False
    if not agent["voice_alone"]:
        return True
    return load["total"] == load["tasks"] if kind is ChannelClass.VOICE else not load["voice"]


def expected_wait(
    position: int, rotation: Sequence[Document], kind: ChannelClass, handling_seconds: float
) -> float | None:
    """Return seconds by the formula above."""
    room = sum(min(agent["capacity"][kind], agent["capacity"]["total"]) for agent in rotation)
    return round(position * handling_seconds / room, 1) if room else None


def _queue(
    inbox: Inbox,
    kind: ChannelClass,
    waiting: Mapping[str, Any],
    rotation: Sequence[Document],
    handling_seconds: float,
    now: datetime,
) -> dict[str, Any]:
    depth = waiting.get("depth", 0)
    free = sum(has_room(agent, kind) for agent in rotation)
    expected = expected_wait(depth + 1, rotation, kind, handling_seconds)
    oldest = max((now - waiting["oldest"]).total_seconds(), 0.0) if waiting else 0.0
    return {
        "inbox": inbox.name,
        "channel_class": str(kind),
        "depth": depth,
        "oldest_seconds": round(oldest, 3),
        "expected_wait_seconds": 0.0 if free and not depth else expected,
        "agents_available": free,
    }
