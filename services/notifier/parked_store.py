"""Words of providers that wait for the message they are about, in MongoDB.

`parked` holds receipts and echoes, for some days; an echo until it is `due` to be shown. `parts` names the
requests of a message before its last. `watermarks` holds for each recipient the highest moment of each
kind, as long as messages that it covers may still turn up.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from pymongo import ASCENDING, IndexModel, UpdateOne

from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryEcho, DeliveryReported, DeliveryWatermark
from schemas.topics import MESSAGES_DELIVERY, MESSAGES_INBOUND
from services.chassis.broker import Outgoing, Publisher
from services.chassis.mongo import Database, Document, bulk
from services.notifier.domain import Watermark, recipient_key
from services.notifier.receipts import Part, as_message, as_report, key_of

_EXPIRY = "expires"
_EXPIRING = IndexModel(_EXPIRY, name="expiry", expireAfterSeconds=0)
_TOLD = (DeliveryStatus.DELIVERED, DeliveryStatus.READ)


class ParkedStore:
    """Implements the part of handlers.SendStore that is about receipts."""

    def __init__(self, database: Database, publisher: Publisher, parked_for: timedelta) -> None:
        self._parked = database["parked"]
        self._parts = database["parts"]
        self._watermarks = database["watermarks"]
        self._publisher = publisher
        self._parked_for = parked_for

    async def prepare_parked(self) -> None:
        """Create the indexes."""
        due = IndexModel("due", name="due", partialFilterExpression={"due": {"$exists": True}})
        await self._parked.create_indexes([IndexModel("key", name="key"), due, _EXPIRING])
        for collection in (self._parts, self._watermarks):
            await collection.create_indexes([_EXPIRING])

    async def park(
        self,
        receipts: Sequence[DeliveryReported | DeliveryEcho],
        now: datetime,
        due: datetime | None = None,
    ) -> None:
        """Keep receipts and echoes whose message is not known; echoes are to be shown when `due`."""
        await bulk(self._parked, [self._insert(receipt, now, due) for receipt in receipts])

    def _insert(
        self, receipt: DeliveryReported | DeliveryEcho, now: datetime, due: datetime | None
    ) -> UpdateOne:
        document: Document = {
            "key": key_of(as_report(receipt)),
            "record": receipt.json_bytes(),
            _EXPIRY: now + self._parked_for,
        }
        if due is not None:
            document["due"] = due
        return UpdateOne({"_id": str(receipt.id)}, {"$setOnInsert": document}, upsert=True)

    async def parked(self, provider_keys: Iterable[str]) -> list[DeliveryReported]:
        """Return the kept receipts about these, echoes as what they say."""
        found = self._parked.find({"key": {"$in": list(provider_keys)}})
        return [as_report(_record(document)) async for document in found]

    async def unpark(self, receipts: Iterable[DeliveryReported | DeliveryEcho]) -> None:
        """Forget them."""
        names = [str(receipt.id) for receipt in receipts]
        if names:
            await self._parked.delete_many({"_id": {"$in": names}})

    async def due_echoes(self, now: datetime, limit: int) -> list[DeliveryEcho]:
        """Return echoes that waited long enough for their message."""
        found = self._parked.find({"due": {"$lte": now}}, sort=[("due", ASCENDING)], limit=limit)
        records = [_record(document) async for document in found]
        return [record for record in records if isinstance(record, DeliveryEcho)]

    async def show(self, echoes: Sequence[DeliveryEcho]) -> None:
        """Publish them as messages that somebody else sent from the account."""
        await self._publisher.publish(
            [
                Outgoing(MESSAGES_INBOUND.name, echo.personal.sender.value, as_message(echo).json_bytes())
                for echo in echoes
            ]
        )

    async def note_part(self, provider_key: str, part: Part, now: datetime) -> None:
        """Remember a part of our message by the provider's name."""
        own = {"message_id": part.message_id, "place": part.place, _EXPIRY: now + self._parked_for}
        await bulk(self._parts, [UpdateOne({"_id": provider_key}, {"$set": own}, upsert=True)])

    async def parts_among(self, provider_keys: Iterable[str]) -> dict[str, Part]:
        """Return those of the names that are parts of our messages."""
        found = self._parts.find({"_id": {"$in": list(provider_keys)}})
        return {
            document["_id"]: Part(document["message_id"], document["place"])
            async for document in found
            if "place" in document  # before the first release with places only the name was kept
        }

    # --- watermarks -------------------------------------------------------------------------------

    async def mark(self, told: Sequence[DeliveryWatermark], now: datetime) -> frozenset[str]:
        """Keep the highest moment of each recipient and status; return the recipients."""
        await bulk(
            self._watermarks,
            [
                UpdateOne(
                    {"_id": recipient_of(each)},
                    {"$max": {each.data.status.value: _moment(each), _EXPIRY: now + self._parked_for}},
                    upsert=True,
                )
                for each in told
            ],
        )
        return frozenset(map(recipient_of, told))

    async def marks(self, recipients: Iterable[str]) -> dict[str, list[Watermark]]:
        """Return what is known of these recipients."""
        found = self._watermarks.find({"_id": {"$in": list(recipients)}})
        return {document["_id"]: _watermarks(document) async for document in found}


def recipient_of(told: DeliveryWatermark) -> str:
    """Return whose messages it covers."""
    data = told.data
    return recipient_key(data.provider, data.account, told.personal.recipient.value)


def _moment(told: DeliveryWatermark) -> Document:
    """Return a value of which the later moment is the greater; the cause tells equal ones apart."""
    return {"up_to": told.data.up_to, "at": told.data.at, "cause": str(told.id)}


def _watermarks(document: Mapping[str, Document]) -> list[Watermark]:
    return [
        Watermark(status, found["up_to"], found["at"], UUID(found["cause"]))
        for status in _TOLD
        if (found := document.get(status.value))
    ]


def _record(document: Document) -> DeliveryReported | DeliveryEcho:
    record: DeliveryReported | DeliveryEcho = MESSAGES_DELIVERY.adapter.validate_json(document["record"])
    return record
