"""Posts in MongoDB: the collection `posts`.

At most one post of a lane has `head`: it alone may be claimed, so what a claim costs does not grow with the
backlog. What is finished has `settle` until the next one of its lane is head. Finished posts stay for some
days, for the list of deliveries, and so that a log that is read again is not sent again.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import DUPLICATE_KEY, Database, Document, bulk
from services.notifier.webhooks.documents import POST_INDEXES, post_document, post_of
from services.notifier.webhooks.rules import Post, PostState

_WAITING, _CLAIMED = PostState.WAITING.value, PostState.CLAIMED.value
_FINISHED = [PostState.DELIVERED.value, PostState.GIVEN_UP.value]
_CHANGING = ("next_at", "attempts", "first_at", "last_status", "last_error", "finished_at")
_OF_FINISHED = ("first_at", "last_status", "last_error", "finished_at", "expires", "settle")


class Posts:
    """Posts, each known by endpoint and event."""

    def __init__(self, database: Database, kept: timedelta, clock: Clock = utc_now) -> None:
        self.collection = database["posts"]
        self._kept = kept
        self._clock = clock

    async def prepare(self) -> None:
        """Create the indexes."""
        await self.collection.create_indexes(POST_INDEXES)

    # --- in ---------------------------------------------------------------------------------------

    async def enqueue(self, posts: Sequence[Post]) -> None:
        """Store those that are new, in order, and let the first of each lane be claimed."""
        await self._write([self._insert(post) for post in posts])
        await self.promote(post.lane for post in posts)

    async def enqueue_read(self, posts: Sequence[Post], reading: str, again: Iterable[str]) -> None:
        """Store what was read from the log for `reading`, while nothing of its endpoint is claimed.

        Those whose ids are in `again` are sent once more by this reading though they were finished.
        """
        repeated = frozenset(again)
        operations = []
        for post in posts:
            operations.append(self._insert(post, replay=reading))
            if post.id in repeated:
                operations.append(self._reset(post, reading))
        await self._write(operations)
        first: dict[str, int] = {}
        for post in posts:
            first[post.lane] = min(post.offset, first.get(post.lane, post.offset))
        await bulk(
            self.collection,
            [
                UpdateMany(
                    {"lane": lane, "head": True, "state": _WAITING, "offset": {"$gt": offset}},
                    {"$unset": {"head": ""}},
                )
                for lane, offset in first.items()
            ],
        )
        await self.promote(first)

    def _insert(self, post: Post, **more: str) -> UpdateOne:
        document = {**post_document(post), **more}
        return UpdateOne({"_id": post.id}, {"$setOnInsert": document}, upsert=True)

    def _reset(self, post: Post, reading: str) -> UpdateOne:
        fresh = {
            "state": _WAITING,
            "body": post.body,
            "next_at": post.next_at,
            "attempts": 0,
            "replay": reading,
            "offset": post.offset,
        }
        return UpdateOne(
            {"_id": post.id, "state": {"$in": _FINISHED}, "replay": {"$ne": reading}},
            {"$set": fresh, "$unset": dict.fromkeys(_OF_FINISHED, "")},
        )

    async def _write(self, operations: Sequence[UpdateOne]) -> None:
        """In order, so that no later post of a lane is there before an earlier one."""
        todo = list(operations)
        while todo:
            lost = await bulk(self.collection, todo, ordered=True)
            todo = todo[min(lost) + 1 :] if lost else []

    async def promote(self, lanes: Iterable[str]) -> None:
        """Let the first waiting post of each lane be claimed, unless one of the lane is at work."""
        asked = list(dict.fromkeys(lanes))
        heads = self.collection.find({"lane": {"$in": asked}, "head": True}, {"lane": 1})
        headed = {document["lane"] async for document in heads}
        free = [lane for lane in asked if lane not in headed]
        if not free:
            return
        firsts = await self.collection.aggregate(
            [
                {"$match": {"lane": {"$in": free}, "state": _WAITING}},
                {"$sort": {"lane": 1, "offset": 1}},
                {"$group": {"_id": "$lane", "first": {"$first": "$_id"}}},
            ]
        )
        operations = [
            UpdateOne({"_id": row["first"], "state": _WAITING}, {"$set": {"head": True}})
            async for row in firsts
        ]
        try:
            await bulk(self.collection, operations)
        except BulkWriteError as error:
            # another was promoted in between: then it is that one's turn
            if {item["code"] for item in error.details["writeErrors"]} != {DUPLICATE_KEY}:
                raise

    # --- out --------------------------------------------------------------------------------------

    async def due(self, endpoints: Sequence[str]) -> list[str]:
        """Return those of `endpoints` that have a post to claim now."""
        query = {
            "endpoint": {"$in": list(endpoints)},
            "head": True,
            "state": _WAITING,
            "next_at": {"$lte": self._clock()},
        }
        return list(await self.collection.distinct("endpoint", query)) if endpoints else []

    async def claim(self, endpoint: str, claim: str, lease: timedelta) -> Post | None:
        """Claim the endpoint's post that is due and first of its lane; None when there is none."""
        now = self._clock()
        document = await self.collection.find_one_and_update(
            {"endpoint": endpoint, "head": True, "state": _WAITING, "next_at": {"$lte": now}},
            {"$set": {"state": _CLAIMED, "claim": claim, "claimed_until": now + lease}},
            sort=[("next_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return post_of(document) if document else None

    async def save(self, post: Post, claim: str) -> bool:
        """Save what became of a post claimed under `claim`; False when the claim ran out."""
        document = post_document(post)
        changed = {name: document[name] for name in _CHANGING if name in document}
        gone = dict.fromkeys(("claim", "claimed_until", *(set(_CHANGING) - document.keys())), "")
        if post.finished_at is not None:
            gone |= {"head": "", "body": ""}
            changed |= {"settle": post.finished_at, "expires": post.finished_at + self._kept}
        done = await self.collection.update_one(
            {"_id": post.id, "claim": claim},
            {"$set": {**changed, "state": post.state.value}, "$unset": gone},
        )
        return bool(done.matched_count)

    async def release(self, endpoint: str, claim: str) -> None:
        """Give back what was claimed under this name, for no request was made."""
        await self.collection.update_many(
            {"endpoint": endpoint, "head": True, "state": _CLAIMED, "claim": claim},
            {"$set": {"state": _WAITING}, "$unset": {"claim": "", "claimed_until": ""}},
        )

    async def settle(self, posts: Iterable[tuple[str, str]]) -> None:
        """Let the next of each lane be claimed, after the finished ones given as (id, lane)."""
        finished = list(posts)
        await self.promote(lane for _, lane in finished)
        if finished:
            await self.collection.update_many(
                {"_id": {"$in": [post for post, _ in finished]}, "state": {"$in": _FINISHED}},
                {"$unset": {"settle": ""}},
            )

    async def unsettled(self, before: datetime, limit: int = 200) -> list[tuple[str, str]]:
        """Return (id, lane) of what was finished before `before` by somebody who did not settle it."""
        found = self.collection.find({"settle": {"$lt": before}}, {"lane": 1}, limit=limit)
        return [(document["_id"], document["lane"]) async for document in found]

    async def recover(self) -> None:
        """Give back what was claimed by somebody who is gone; it may be sent twice, under the same id."""
        await self.collection.update_many(
            {"head": True, "state": _CLAIMED, "claimed_until": {"$lt": self._clock()}},
            {"$set": {"state": _WAITING}, "$unset": {"claim": "", "claimed_until": ""}},
        )

    async def hasten(self, endpoint: str, *, anew: bool) -> None:
        """Let what waits for its next attempt be tried now; `anew` lets its schedule begin again."""
        update: Document = {"$set": {"next_at": self._clock()}}
        if anew:
            update = {"$set": {**update["$set"], "attempts": 0}, "$unset": {"first_at": ""}}
        await self.collection.update_many({"endpoint": endpoint, "head": True, "state": _WAITING}, update)

    async def erase(self, customers: Collection[str], kept: str) -> None:
        """Forget what was told, or is to be, of these Customers, but for events of the type `kept`."""
        theirs = {"customer_id": {"$in": list(customers)}, "type": {"$ne": kept}}
        lanes = await self.collection.distinct("lane", theirs)
        await self.collection.delete_many(theirs)
        await self.promote(lanes)

    async def purge(self, endpoint: str) -> None:
        """Forget all posts of an endpoint that is no more."""
        await self.collection.delete_many({"endpoint": endpoint})

    async def orphans(self, known: Sequence[str]) -> list[str]:
        """Return endpoints that posts wait for and that are not among `known`."""
        query = {"endpoint": {"$nin": list(known)}, "head": True}
        return list(await self.collection.distinct("endpoint", query))

    async def waiting(self) -> int:
        """Return how many posts wait, of all endpoints."""
        return int(await self.collection.count_documents({"state": _WAITING}))
