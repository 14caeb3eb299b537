"""Effects of a change, kept in the changed document until they are out.

A document with an `outbox` is saved in one write together with what the change causes: rows to write
and records to publish. `drain` carries them out in order and removes them by id. Whatever crashes in
between is done again; every effect bears an id that makes a repeat harmless.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pymongo import InsertOne, UpdateOne

from services.chassis import metrics
from services.chassis.broker import Outgoing, Publisher, most_bytes
from services.chassis.clock import utc_now
from services.chassis.logging import log
from services.chassis.mongo import Database, Document, bulk

Write = Literal["insert", "replace", "patch"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One entry of an outbox: a record to publish or a row to write."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Publish(Effect):
    """Publish a record."""

    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Row(Effect):
    """Write a document of another collection.

    `insert` writes it unless it is there. `replace` writes it unless a newer `seq` is there. `patch`
    sets fields of an existing one unless it has a newer value of `guard`.
    """

    collection: str
    document: Mapping[str, Any]
    how: Write = "insert"
    guard: str = "seq"
    wave: int = 0
    """Rows of a lower wave are written before: where a unique index must first have room, or where who
    sees one row must find another."""


def to_document(effect: Effect) -> Document:
    """Return the BSON form of an effect."""
    if isinstance(effect, Publish):
        return {
            "id": effect.id,
            "at": effect.at,
            "topic": effect.topic,
            "key": effect.key,
            "value": effect.value,
        }
    assert isinstance(effect, Row)  # noqa: S101  (there are two kinds)
    return {
        "id": effect.id,
        "at": effect.at,
        "collection": effect.collection,
        "document": effect.document,
        "how": effect.how,
        "guard": effect.guard,
        "wave": effect.wave,
    }


def from_document(document: Document) -> Effect:
    """Return the effect stored as `document`."""
    return Publish(**document) if "topic" in document else Row(**document)


class Outbox:
    """Drains the outboxes of one collection's documents."""

    def __init__(self, database: Database, collection: str, publisher: Publisher) -> None:
        self._database = database
        self._collection = database[collection]
        self._publisher = publisher
        metrics.SET_ASIDE.labels(collection)  # a counter that is born at 1 shows no increase

    async def drain(self, pending: Mapping[str, Sequence[Effect]]) -> None:
        """Carry out the effects of each document, in order, and take them off its outbox.

        Rows come before records, so that whoever hears of a change can read it. The number of round
        trips does not depend on how much is pending. Raises what the database or the broker raises;
        then nothing is taken off.
        """
        pending = {owner: effects for owner, effects in pending.items() if effects}
        if not pending:
            return
        effects = [effect for of_owner in pending.values() for effect in of_owner]
        await write(self._database, [effect for effect in effects if isinstance(effect, Row)])
        publishes = [effect for effect in effects if isinstance(effect, Publish)]
        await self._set_aside([effect for effect in publishes if _too_large(effect)])
        await self._publisher.publish(
            [
                Outgoing(effect.topic, effect.key, effect.value)
                for effect in publishes
                if not _too_large(effect)
            ]
        )
        await bulk(
            self._collection,
            [
                UpdateOne(
                    {"_id": owner}, {"$pull": {"outbox": {"id": {"$in": [effect.id for effect in of_owner]}}}}
                )
                for owner, of_owner in pending.items()
            ],
        )

    async def _set_aside(self, effects: Sequence[Publish]) -> None:
        """Keep records that no broker takes where an operator finds them; they must not hold up the rest."""
        if not effects:
            return
        metrics.SET_ASIDE.labels(self._collection.name).inc(len(effects))
        log.error(
            "records_set_aside", collection=self._collection.name, ids=[effect.id for effect in effects]
        )
        stuck = self._database[f"{self._collection.name}_stuck"]
        await bulk(
            stuck,
            [UpdateOne({"_id": one.id}, {"$setOnInsert": to_document(one)}, upsert=True) for one in effects],
        )

    async def observe(self) -> None:
        """Measure the age of the oldest effect that is still pending."""
        oldest = await self._collection.find_one(
            {"outbox.at": {"$exists": True}}, {"outbox.at": 1}, sort=[("outbox.at", 1)]
        )
        age = (
            (utc_now() - oldest["outbox"][0]["at"]).total_seconds()
            if oldest and oldest.get("outbox")
            else 0.0
        )
        metrics.OUTBOX_AGE.labels(self._collection.name).set(age)

    async def prepare(self) -> None:
        """Create the index that finds documents with effects pending."""
        await self._collection.create_index([("outbox.at", 1)], sparse=True, name="outbox_waiting")


async def write(database: Database, rows: Sequence[Row]) -> None:
    """Write rows, given in the order of their changes: one round trip for each wave and collection."""
    together: dict[tuple[int, str], list[Row]] = {}
    for row in _latest(rows):
        together.setdefault((row.wave, row.collection), []).append(row)
    for (_, name), of_collection in sorted(together.items(), key=lambda each: each[0]):
        # patches of one document set different fields: an older one must not come too late
        ordered = all(row.how == "patch" for row in of_collection)
        operations = [_operation(row) for row in of_collection]
        lost = await bulk(database[name], operations, ordered=ordered)
        # whoever wrote the same row in between may have had an older one
        again = [of_collection[index] for index in sorted(lost) if of_collection[index].how == "replace"]
        await bulk(database[name], [_operation(row) for row in again])


def _too_large(effect: Publish) -> bool:
    return len(effect.value) > most_bytes(effect.topic)


def _latest(rows: Sequence[Row]) -> list[Row]:
    """Leave out what a newer state of the same row replaces: a bulk write promises no order."""
    newest: dict[tuple[str, Any], Row] = {}
    for row in rows:
        place = (row.collection, row.document["_id"])
        if row.how == "replace" and (place not in newest or _newer(row, newest[place])):
            newest[place] = row
    return [row for row in rows if row.how != "replace" or newest[row.collection, row.document["_id"]] is row]


def _newer(row: Row, than: Row) -> bool:
    return bool(row.document[row.guard] > than.document[than.guard])


def _operation(row: Row) -> InsertOne[Document] | UpdateOne:
    if row.how == "insert":
        return InsertOne(dict(row.document))
    identity, newer = row.document["_id"], row.document[row.guard]
    if row.how == "replace":
        # no upsert on the guard: a repeat would then break our unique indexes as well as that of `_id`
        is_newer = {"$lt": [f"${row.guard}", newer]}
        replaced = {"$cond": [is_newer, {"$literal": row.document}, "$$ROOT"]}
        return UpdateOne({"_id": identity}, [{"$replaceWith": replaced}], upsert=True)
    fields = {name: value for name, value in row.document.items() if name != "_id"}
    return UpdateOne({"_id": identity, row.guard: {"$not": {"$gte": newer}}}, {"$set": fields})
