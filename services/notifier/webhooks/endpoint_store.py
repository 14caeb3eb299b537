"""Subscriptions in MongoDB: the collection `webhooks`.

`version` counts the changes that must not miss each other: what people wish, pausing, and what was passed
over while paused. How requests went is counted beside it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from pymongo import ASCENDING, ReturnDocument

from schemas import ids
from schemas.hooks import WebhookPaused, WebhookPausedData, WebhookResumed, WebhookResumedData
from schemas.topics import WEBHOOKS_EVENTS
from services.chassis import outbox
from services.chassis.broker import Publisher
from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import Database, Document
from services.chassis.outbox import Outbox, Publish
from services.notifier.webhooks.documents import (
    endpoint_document,
    endpoint_of,
    place_key,
    places_document,
)
from services.notifier.webhooks.rules import Answer, Endpoint, EndpointState, Place

_PAUSED = EndpointState.PAUSED.value


class Endpoints:
    """Subscriptions, each known by its id."""

    def __init__(self, database: Database, publisher: Publisher, clock: Clock = utc_now) -> None:
        self.collection = database["webhooks"]
        self._clock = clock
        self.outbox = Outbox(database, "webhooks", publisher)

    async def prepare(self) -> None:
        """Create the indexes."""
        await self.outbox.prepare()

    async def all(self) -> list[Endpoint]:
        """Return every subscription; there are few."""
        return [endpoint_of(document) async for document in self.collection.find({})]

    async def get(self, endpoint_id: str) -> Endpoint | None:
        """Return one."""
        document = await self.collection.find_one({"_id": endpoint_id})
        return endpoint_of(document) if document else None

    async def insert(self, endpoint: Endpoint) -> None:
        """Store a new one; one that is there stays as it is."""
        await self.collection.update_one(
            {"_id": endpoint.id},
            {"$setOnInsert": {**endpoint_document(endpoint), "outbox": []}},
            upsert=True,
        )

    async def delete(self, endpoint_id: str) -> bool:
        """Forget one; tell whether it was there."""
        return bool((await self.collection.delete_one({"_id": endpoint_id})).deleted_count)

    async def save(self, before: Endpoint, after: Endpoint) -> bool:
        """Save what was decided, with the event of it; False when another writer was first."""
        old, new = endpoint_document(before), endpoint_document(after)
        changed = {name: value for name, value in new.items() if value != old[name]}
        if not changed:
            return True
        update: Document = {"$set": changed, "$inc": {"version": 1}}
        if before.state is not after.state:
            update["$push"] = {"outbox": outbox.to_document(self._event(after, before.version + 1))}
        done = await self.collection.update_one({"_id": before.id, "version": before.version}, update)
        return bool(done.matched_count)

    def _event(self, endpoint: Endpoint, version: int) -> Publish:
        now = self._clock()
        record: WebhookPaused | WebhookResumed
        if endpoint.reason is not None:
            own = ids.derive("webhook.paused", endpoint.id, version)
            data = WebhookPausedData(
                webhook_id=endpoint.id,
                reason=endpoint.reason,
                failures=endpoint.failures,
                failing_since=endpoint.failing_since,
                last_status=endpoint.last_status,
            )
            record = WebhookPaused(id=own, occurred_at=now, correlation=own, data=data)
        else:
            own = ids.derive("webhook.resumed", endpoint.id, version)
            record = WebhookResumed(
                id=own, occurred_at=now, correlation=own, data=WebhookResumedData(webhook_id=endpoint.id)
            )
        return Publish(
            id=str(own), at=now, topic=WEBHOOKS_EVENTS.name, key=endpoint.id, value=record.json_bytes()
        )

    # --- how requests went -----------------------------------------------------------------------

    async def failed(
        self, endpoint_id: str, answer: Answer, now: datetime, rest: timedelta
    ) -> Endpoint | None:
        """Count a failed request and return what is counted now; None when the subscription is gone."""
        document = await self.collection.find_one_and_update(
            {"_id": endpoint_id},
            [
                {
                    "$set": {
                        "failures": {"$add": ["$failures", 1]},
                        "failing_since": {"$ifNull": ["$failing_since", now]},
                        "rest_until": {"$max": ["$rest_until", now + rest]},
                        "last_status": answer.status,
                        "last_error": answer.error,
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )
        return endpoint_of(document) if document else None

    async def succeeded(self, endpoint_id: str, answer: Answer, now: datetime) -> None:
        """Forget failures. Called for the first success after some."""
        await self.collection.update_one(
            {"_id": endpoint_id},
            {
                "$set": {
                    "failures": 0,
                    "failing_since": None,
                    "rest_until": None,
                    "last_success_at": now,
                    "last_status": answer.status,
                    "last_error": None,
                }
            },
        )

    # --- what is passed over while paused, and read later -----------------------------------------

    async def miss(self, endpoint_id: str, places: Mapping[Place, int]) -> bool:
        """Note from where on a paused endpoint misses events; False when it is not paused (any more)."""
        lowest = {f"missed.{place_key(place)}": offset for place, offset in places.items()}
        done = await self.collection.update_one(
            {"_id": endpoint_id, "state": _PAUSED}, {"$min": lowest, "$inc": {"version": 1}}
        )
        return bool(done.matched_count)

    async def claim_reading(self, owner: str, now: datetime, lease: timedelta) -> Endpoint | None:
        """Claim an active endpoint with a stretch of the log to be read, that nobody reads."""
        document = await self.collection.find_one_and_update(
            {
                "reading.id": {"$exists": True},
                "state": EndpointState.ACTIVE.value,
                "$or": [{"reading.until": {"$exists": False}}, {"reading.until": {"$lt": now}}],
            },
            {"$set": {"reading.owner": owner, "reading.until": now + lease}},
            return_document=ReturnDocument.AFTER,
        )
        return endpoint_of(document) if document else None

    async def save_reading(
        self, endpoint_id: str, owner: str, positions: Mapping[Place, int], until: datetime
    ) -> bool:
        """Save how far it was read; False when it is not `owner`'s any more, or need not be read now."""
        done = await self.collection.update_one(
            {"_id": endpoint_id, "reading.owner": owner, "state": EndpointState.ACTIVE.value},
            {"$set": {"reading.positions": places_document(positions), "reading.until": until}},
        )
        return bool(done.matched_count)

    async def end_reading(self, endpoint_id: str, owner: str) -> bool:
        """All was read; False when it is not `owner`'s any more."""
        done = await self.collection.update_one(
            {"_id": endpoint_id, "reading.owner": owner},
            {"$set": {"reading": None}, "$inc": {"version": 1}},
        )
        return bool(done.matched_count)

    # --- their events ------------------------------------------------------------------------------

    async def drain(self, endpoint_ids: Iterable[str]) -> None:
        """Publish the events that wait with these subscriptions, oldest first."""
        await self._drain({"_id": {"$in": list(endpoint_ids)}, "outbox.at": {"$exists": True}})

    async def drain_left(self, before: datetime) -> None:
        """Publish the events that wait since before `before`."""
        await self._drain({"outbox.at": {"$lt": before}})

    async def _drain(self, query: Document) -> None:
        waiting = self.collection.find(query, {"outbox": 1}, sort=[("outbox.at", ASCENDING)], limit=100)
        await self.outbox.drain(
            {
                document["_id"]: [outbox.from_document(entry) for entry in document["outbox"]]
                async for document in waiting
            }
        )
