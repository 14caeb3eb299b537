"""What GET routes show, read from the router's read models on any replica.

Expected wait: the formula of `domain/waits.py`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.common import ChannelClass
from schemas.routing import Exclusion
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database, Document
from services.chassis.pages import page
from services.router.domain.queues import Line
from services.router.domain.state import RANK
from services.router.domain.views import agent_of, why_waiting
from services.router.foreseen import Foreseen, inboxes_of, line_of

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
        return foreseen.wait(inboxes_of(row), line_of(row))

    async def _foreseen(self, ahead: Document, pool: Document) -> Foreseen:
        """Return what expected waits follow from: these requests, and the Agents who are there."""
        fields = ("inbox", "inboxes", "channel", "channel_class", "classes", "skills")
        lines = [
            (inboxes_of(row["_id"]), line_of(row["_id"]), row["waiting"])
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
        return Foreseen(lines, [agent_of(each["_id"], each) for each in there], times)

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


def _before(row: Document) -> list[Document]:
    """Return the conditions, one of which a request meets that is served before."""
    before: list[Document] = []
    equal: Document = {}
    place = {"rank": RANK[ChannelClass(row["channel_class"])], **row["place"]}
    for key in _PLACE:
        before.append({**equal, f"place.{key}": {"$lt": place[key]}})
        equal[f"place.{key}"] = place[key]
    return before


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
