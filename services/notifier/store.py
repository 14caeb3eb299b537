"""Messages to be sent in MongoDB; receipts that wait for one stand in `parked_store`.

`sends` holds each message by its id, for ever: a log that is read again must find what was sent. At most
one document of a lane has `head`: it alone may be claimed, so what a claim costs does not grow with the
backlog.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pymongo import ASCENDING, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError

from schemas.common import DeliveryStatus
from schemas.topics import MESSAGES_STATUS
from services.chassis import outbox
from services.chassis.broker import Publisher
from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import DUPLICATE_KEY, Database, Document, bulk
from services.chassis.outbox import Outbox, Publish
from services.notifier import documents
from services.notifier.domain import Send, State, Watermark, status_record
from services.notifier.parked_store import ParkedStore
from services.notifier.receiving import Change


class Store(ParkedStore):
    """Implements handlers.SendStore and workers.Claims."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        clock: Clock = utc_now,
        parked_for: timedelta = timedelta(days=7),
    ) -> None:
        super().__init__(database, publisher, parked_for)
        self._clock = clock
        self._sends = database["sends"]
        self.outbox = Outbox(database, "sends", publisher)

    async def prepare(self) -> None:
        """Create the indexes."""
        await self.outbox.prepare()
        await self._sends.create_indexes(documents.INDEXES)
        await self.prepare_parked()

    # --- messages -------------------------------------------------------------------------------

    async def insert(self, sends: Sequence[Send], visitors: Mapping[str, str]) -> frozenset[str]:
        """Store those that are new; return the ids of the others.

        In order, so that no later message of a lane is there before an earlier one.
        """
        new: dict[str, Document] = {}
        for send in sends:
            whole = documents.to_document(send)
            document = {name: value for name, value in whole.items() if value is not None}
            document["outbox"] = [outbox.to_document(self._status(send))] if send.status_seq else []
            if send.message_id in visitors:
                document["visitor"] = visitors[send.message_id]
            new[send.message_id] = document
        known = {
            document["_id"] async for document in self._sends.find({"_id": {"$in": list(new)}}, {"_id": 1})
        }
        todo = [key for key in new if key not in known]
        while todo:
            lost = await bulk(
                self._sends,
                [UpdateOne({"_id": key}, {"$setOnInsert": new[key]}, upsert=True) for key in todo],
                ordered=True,
            )
            todo = todo[min(lost) + 1 :] if lost else []
        return frozenset(known)

    async def find(self, message_ids: Iterable[str], provider_keys: Iterable[str]) -> list[Send]:
        """Return the messages of these ids, and those the provider names so; without their records."""
        found: dict[str, Send] = {}
        for name, wanted in (("_id", list(message_ids)), ("provider_key", list(provider_keys))):
            if wanted:
                async for document in self._sends.find({name: {"$in": wanted}}, {"record": 0, "outbox": 0}):
                    found[document["_id"]] = documents.from_document(document)
        return list(found.values())

    async def covered(self, marks: Mapping[str, Sequence[Watermark]]) -> list[Send]:
        """Return the messages of these recipients that their watermarks change, without their records."""
        found = self._sends.find(
            {"$or": [_under(recipient, mark) for recipient, own in marks.items() for mark in own]},
            {"record": 0, "outbox": 0},
        )
        return [documents.from_document(document) async for document in found]

    async def save(self, changes: Sequence[Change]) -> frozenset[str]:
        """Save what was decided, with its status records; return the ids lost to another writer."""
        lost = await bulk(self._sends, [self._update(before, after) for before, after in changes])
        return frozenset(changes[index][0].message_id for index in lost)

    def _update(self, before: Send, after: Send) -> UpdateOne:
        document = documents.to_document(after)
        fields: Document = {name: document[name] for name in documents.CHANGING}
        update: Document = {
            "$set": {name: value for name, value in fields.items() if value is not None},
            "$unset": {name: "" for name, value in fields.items() if value is None},
            "$inc": {"version": 1},
        }
        finished = after.state is State.FINISHED and before.state is not State.FINISHED
        if finished:
            update["$unset"] |= {"head": "", "record": ""}
        # what finishes is always followed by a record: with the outbox the sweeper finds what to settle
        if finished or after.status_seq != before.status_seq:
            update["$push"] = {"outbox": outbox.to_document(self._status(after))}
        return UpdateOne({"_id": after.message_id, "version": before.version}, update, upsert=True)

    def _status(self, send: Send) -> Publish:
        now = self._clock()
        value = status_record(send, now).json_bytes()
        effect = f"status:{send.status_seq}"
        return Publish(id=effect, at=now, topic=MESSAGES_STATUS.name, key=send.customer_id, value=value)

    async def drain(self, message_ids: Iterable[str]) -> None:
        """Publish the status records that wait with these messages, oldest first."""
        waiting = self._sends.find(
            {"_id": {"$in": list(message_ids)}, "outbox.at": {"$exists": True}}, {"outbox": 1}
        )
        await self.outbox.drain(
            {
                document["_id"]: [outbox.from_document(entry) for entry in document["outbox"]]
                async for document in waiting
            }
        )

    async def left(self, before: datetime, limit: int) -> list[Send]:
        """Return messages with status records that wait since before `before`."""
        found = self._sends.find(
            {"outbox.at": {"$lt": before}},
            {"record": 0, "outbox": 0},
            sort=[("outbox.at", ASCENDING)],
            limit=limit,
        )
        return [documents.from_document(document) async for document in found]

    # --- claims -----------------------------------------------------------------------------------

    async def promote(self, lanes: Iterable[str]) -> None:
        """Let the first waiting message of each lane be claimed, unless one of the lane is at work."""
        asked = list(lanes)
        heads = self._sends.find({"lane": {"$in": asked}, "head": True}, {"lane": 1})
        headed = {document["lane"] async for document in heads}
        free = [lane for lane in asked if lane not in headed]
        if not free:
            return
        firsts = await self._sends.aggregate(
            [
                {"$match": {"lane": {"$in": free}, "state": State.WAITING.value}},
                {"$sort": {"lane": 1, "seq": 1}},
                {"$group": {"_id": "$lane", "first": {"$first": "$_id"}}},
            ]
        )
        operations = [
            UpdateOne({"_id": row["first"], "state": State.WAITING.value}, {"$set": {"head": True}})
            async for row in firsts
        ]
        try:
            await bulk(self._sends, operations)
        except BulkWriteError as error:
            # another was promoted in between: then it is that one's turn
            if {item["code"] for item in error.details["writeErrors"]} != {DUPLICATE_KEY}:
                raise

    async def claim(self, source: str, claim: str, lease: timedelta) -> Send | None:
        """Claim the account's message that is due and first of its lane; None when there is none."""
        now = self._clock()
        document = await self._sends.find_one_and_update(
            {"head": True, "source": source, "state": State.WAITING.value, "next_at": {"$lte": now}},
            {
                "$set": {
                    "state": State.CLAIMED.value,
                    "claim": claim,
                    "claimed_until": now + lease,
                    "taken_at": now,
                },
                "$inc": {"version": 1, "attempts": 1},
            },
            sort=[("next_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return documents.from_document(document) if document else None

    async def release(self, source: str, claim: str) -> None:
        """Give back what was claimed under this name, for no request was made."""
        await self._sends.update_many(
            {"head": True, "source": source, "state": State.CLAIMED.value, "claim": claim},
            {
                "$set": {"state": State.WAITING.value},
                "$unset": {"claim": "", "claimed_until": ""},
                "$inc": {"version": 1, "attempts": -1},
            },
        )

    async def due(self) -> list[str]:
        """Return the accounts that have a message to claim now."""
        query = {"head": True, "state": State.WAITING.value, "next_at": {"$lte": self._clock()}}
        return list(await self._sends.distinct("source", query))

    async def interrupted(self, before: datetime, limit: int) -> list[Send]:
        """Return claimed messages whose claim ran out before `before`."""
        found = self._sends.find(
            {"head": True, "state": State.CLAIMED.value, "claimed_until": {"$lt": before}},
            {"record": 0, "outbox": 0},
            limit=limit,
        )
        return [documents.from_document(document) async for document in found]

    async def waiting(self) -> dict[str, int]:
        """Return how many messages of each account no provider has taken yet."""
        rows = await self._sends.aggregate(
            [
                {"$match": {"state": State.WAITING.value}},
                {"$group": {"_id": "$source", "count": {"$sum": 1}}},
            ]
        )
        return {row["_id"]: row["count"] async for row in rows}

    async def overdue(self, source: str, before: datetime, limit: int) -> list[Send]:
        """Return messages of the account that wait since before `before`."""
        found = self._sends.find(
            {"state": State.WAITING.value, "source": source, "stored_at": {"$lt": before}},
            {"record": 0, "outbox": 0},
            limit=limit,
        )
        return [documents.from_document(document) async for document in found]

    async def visitor_chats(self, visitor: str, limit: int = 20) -> list[tuple[str, str]]:
        """Return (Conversation, message) of the latest replies to `account/visitor`."""
        found = self._sends.find(
            {"visitor": visitor}, {"conversation_id": 1}, sort=[("stored_at", -1)], limit=limit
        )
        return [(document["conversation_id"], document["_id"]) async for document in found]


def _under(recipient: str, mark: Watermark) -> Document:
    """Return what finds the messages that a watermark raises to its status."""
    lower = [DeliveryStatus.SENT.value]
    if mark.status is DeliveryStatus.READ:
        lower.append(DeliveryStatus.DELIVERED.value)
    return {"recipient": recipient, "status": {"$in": lower}, "taken_at": {"$lte": mark.up_to}}
