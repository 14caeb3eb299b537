"""The router's MongoDB: journal, snapshots, and the read models that any replica answers from.

`journal` holds one document per entry, unique by (pool, n): whoever writes the next number is the owner.
Read models (`agents`, `requests` by pool and Conversation, `offers`, `handling`, `outcomes`) carry the entry
number they show; a write never replaces a newer one. The lost race is an E11000 on `_id`, which is what
should happen and therefore ignored.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, DeleteOne, InsertOne, UpdateOne
from pymongo.errors import DuplicateKeyError

from services.chassis.broker import Outgoing
from services.chassis.mongo import Database, Document, bulk
from services.router.domain.views import agent_view, handling_view, request_view
from services.router.journal import Entry, Given, History, PoolTaken
from services.router.owned import Changes

_DAY = 86_400
_CHUNK = 8_000_000
"""Bytes of a snapshot in one document; MongoDB takes 16 MB."""


class MongoStore:
    """Behind the handlers' Store."""

    def __init__(self, database: Database) -> None:
        self.database = self._database = database
        self._journal = database["journal"]
        self._snapshots = database["snapshots"]

    async def prepare(self) -> None:
        """Create the indexes."""
        await self._journal.create_index([("pool", ASCENDING), ("n", ASCENDING)], unique=True)
        await self._snapshots.create_index([("pool", ASCENDING), ("n", DESCENDING)])
        await self._database["outcomes"].create_index("at", expireAfterSeconds=_DAY)
        await self._database["requests"].create_index("conversation_id")
        await self._database["requests"].create_index("released_at", expireAfterSeconds=7 * _DAY)
        queue = [("state", ASCENDING), ("inbox", ASCENDING), ("channel_class", ASCENDING)]
        await self._database["requests"].create_index(queue)
        await self._database["offers"].create_index([("agent", ASCENDING), ("state", ASCENDING)])
        await self._database["offers"].create_index("expires_at", expireAfterSeconds=_DAY)

    async def pools(self) -> Sequence[str]:
        """See Store."""
        return [str(each["_id"]) async for each in self._database["pools"].find({}, {"_id": 1})]

    async def answered(self, commands: Sequence[str]) -> frozenset[str]:
        """See Store. Outcomes are kept for a day, as long as clients may repeat an Idempotency-Key."""
        found = self._database["outcomes"].find({"_id": {"$in": list(commands)}}, {"_id": 1})
        return frozenset([str(each["_id"]) async for each in found])

    async def append(self, entry: Entry) -> None:
        """See Store."""
        if entry.n == 1:
            await self._database["pools"].update_one(
                {"_id": entry.pool}, {"$setOnInsert": {"at": entry.at}}, upsert=True
            )
        try:
            await self._journal.insert_one(_document(entry))
        except DuplicateKeyError as error:
            raise PoolTaken(entry.pool) from error

    async def mark_published(self, pool: str, numbers: Sequence[int]) -> None:
        """See Store."""
        keys = [f"{pool}/{n}" for n in numbers]
        await self._journal.update_many({"_id": {"$in": keys}}, {"$set": {"published": True}})

    async def journal(self, pool: str) -> AsyncIterator[Entry]:
        """Give all entries of a pool in order, from the first."""
        async for each in self._journal.find({"pool": pool}).sort("n", ASCENDING):
            yield _entry(each)

    async def history(self, pool: str) -> History:
        """See Store."""
        snapshot = await self._snapshot(pool)
        after = snapshot["n"] if snapshot else 0
        found = self._journal.find({"pool": pool, "n": {"$gt": after}}).sort("n", ASCENDING)
        return History(snapshot, tuple([_entry(each) async for each in found]))

    async def keep_snapshot(self, pool: str, n: int, document: Document) -> None:
        """See Store. The newest whole one counts; older ones are deleted after it is written."""
        packed = zlib.compress(json.dumps(document).encode())
        parts = [packed[start : start + _CHUNK] for start in range(0, len(packed), _CHUNK)]
        for part, data in enumerate(parts):
            row = {"pool": pool, "n": n, "part": part, "parts": len(parts), "data": data}
            await self._snapshots.replace_one({"_id": f"{pool}/{n}/{part}"}, row, upsert=True)
        await self._snapshots.delete_many({"pool": pool, "n": {"$lt": n}})

    async def _snapshot(self, pool: str) -> Document | None:
        parts: dict[int, list[Document]] = {}
        async for row in self._snapshots.find({"pool": pool}).sort([("n", DESCENDING), ("part", ASCENDING)]):
            parts.setdefault(row["n"], []).append(row)
        for rows in parts.values():
            if len(rows) == rows[0]["parts"]:
                document: Document = json.loads(zlib.decompress(b"".join(row["data"] for row in rows)))
                return document
        return None

    # --- read models ----------------------------------------------------------------------------

    async def show(self, changes: Changes) -> None:
        """See Store."""
        pool, n, touched = changes.pool, changes.n, changes.touched
        name = pool.state.pool
        agents = {key: agent_view(pool, key) for key in touched.agents}
        requests = {
            f"{name}/{key}": {**view, "conversation_id": key}
            for key in touched.conversations
            if (view := request_view(pool, key)) is not None
        }
        handling = {
            f"{name}/{inbox}/{kind}": handling_view(pool, inbox, kind) for inbox, kind in touched.handling
        }
        offers = {str(key): view for key, view in touched.offers.items()}
        gone = [
            DeleteOne({"_id": key, "pool": name, "n": {"$lt": n}})
            for key, view in agents.items()
            if view is None
        ]
        await asyncio.gather(
            self._write("agents", [*gone, *_upserts(name, n, agents)]),
            self._write("requests", _upserts(name, n, requests)),
            self._write("handling", _upserts(name, n, handling)),
            self._write("offers", _upserts(name, n, offers)),
        )
        at = pool.state.at
        replies = [
            {"_id": key, "status": reply.status, "detail": reply.detail, "body": reply.body, "at": at}
            for key, reply in changes.replies.items()
        ]
        await self._write("outcomes", [InsertOne(reply) for reply in replies])

    async def _write(self, collection: str, operations: Sequence[Any]) -> None:
        await bulk(self._database[collection], operations)


def _upserts(pool: str, n: int, views: dict[str, Document | None] | dict[str, Document]) -> list[UpdateOne]:
    return [
        UpdateOne({"_id": key, "pool": pool, "n": {"$lt": n}}, {"$set": {**view, "n": n}}, upsert=True)
        for key, view in views.items()
        if view is not None
    ]


def _document(entry: Entry) -> Document:
    return {
        "_id": f"{entry.pool}/{entry.n}",
        "pool": entry.pool,
        "n": entry.n,
        "owner": entry.owner,
        "at": entry.at,
        "inputs": [
            {"value": each.value, "partition": each.partition, "offset": each.offset} for each in entry.given
        ],
        "offsets": entry.offsets,
        "outgoing": [{"topic": each.topic, "key": each.key, "value": each.value} for each in entry.outgoing],
        "published": entry.published,
    }


def _entry(document: Document) -> Entry:
    at: datetime = document["at"]
    return Entry(
        pool=document["pool"],
        n=document["n"],
        owner=document["owner"],
        at=at,
        given=tuple(Given(**each) for each in document["inputs"]),
        outgoing=tuple(Outgoing(**each) for each in document["outgoing"]),
        published=document["published"],
    )
