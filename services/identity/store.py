"""Customers and their identifiers in MongoDB.

`identifiers` holds one document an identifier, `_id` being its key: that is what makes it unique.
`customers` repeats a Customer's identifiers as far as events have told of them, so that a profile
and its event are one write, and a claim whose profile was not saved is seen and made good.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, DeleteOne, IndexModel, InsertOne, UpdateOne
from pymongo.errors import PyMongoError

from schemas.common import Identifier
from schemas.customers import MERGES_KEY, CustomerEvent, MergeEvent
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis import metrics
from services.chassis.broker import Publisher
from services.chassis.mongo import Database, Document, bulk, lost_race
from services.chassis.outbox import Effect, Outbox, Publish, from_document, to_document
from services.identity.domain.attributes import Source
from services.identity.domain.claims import Claim, Owner, key
from services.identity.domain.merging import Merge
from services.identity.domain.profile import Change, Done, Profile
from services.identity.handlers import Conflict, Loaded

MOST_WORDS = 20
"""Words of a name that it is found by."""


class Store:
    """Implements handlers.CustomerStore and commands.CommandStore, and the reads of the API."""

    def __init__(self, database: Database, publisher: Publisher) -> None:
        self._client = database.client
        self._identifiers = database["identifiers"]
        self._conflicts = database["conflicts"]
        self._merges = database["merges"]
        self.customers = database["customers"]
        self.outbox = Outbox(database, "customers", publisher)

    async def prepare(self) -> None:
        """Create the indexes; `_id` is all that uniqueness needs."""
        await self.outbox.prepare()
        newest = [("created_at", DESCENDING), ("_id", DESCENDING)]
        await self.customers.create_indexes(
            [
                IndexModel(newest, name="newest"),
                IndexModel([("words", ASCENDING), *newest], name="by_name"),
                IndexModel([("merged_into", ASCENDING)], name="absorbed", sparse=True),
            ]
        )
        await self._identifiers.create_index([("customer_id", ASCENDING)], name="by_customer")
        await self._conflicts.create_index([("customer_id", ASCENDING)], name="by_customer")

    # --- identifiers ----------------------------------------------------------------------------

    async def owners(self, keys: Sequence[str]) -> dict[str, Owner]:
        """Return who has these identifiers."""
        rows = [row async for row in self._identifiers.find({"_id": {"$in": list(keys)}})]
        survivors = await self._absorbed({row["customer_id"] for row in rows})
        return {
            row["_id"]: Owner(row["customer_id"], row["verified"], survivors.get(row["customer_id"], ""))
            for row in rows
        }

    async def claim(self, claims: Sequence[Claim], now: datetime) -> frozenset[int]:
        """Write the claims; return the indexes of those that somebody else was faster with."""
        return await bulk(self._identifiers, [InsertOne(_claimed(claim, now)) for claim in claims])

    async def vouch(self, claims: Sequence[Claim]) -> None:
        """Mark these identifiers of these Customers as verified."""
        await bulk(
            self._identifiers,
            [
                UpdateOne(
                    {"_id": key(claim.identifier), "customer_id": claim.customer_id},
                    {"$set": {"verified": True}},
                )
                for claim in claims
            ],
        )

    async def note_conflicts(self, conflicts: Sequence[Conflict], now: datetime) -> None:
        """Keep each pair of Customers once for each identifier that they disagree about."""
        await bulk(
            self._conflicts,
            [
                UpdateOne(
                    {"_id": f"{conflict.resolution.customer_id}:{key(other.identifier)}:{other.customer_id}"},
                    {"$setOnInsert": _conflict(conflict, other, now)},
                    upsert=True,
                )
                for conflict in conflicts
                for other in conflict.resolution.contradicting
            ],
        )

    # --- merges ---------------------------------------------------------------------------------

    async def survivors(self, customer_ids: Sequence[str]) -> dict[str, str]:
        """Return who stands for each of these Customers; unknown ones are left out."""
        found = self.customers.find({"_id": {"$in": list(customer_ids)}, "erased_at": None}, {"_id": 1})
        known = [row["_id"] async for row in found]
        absorbed = await self._absorbed(set(known))
        return {customer: absorbed.get(customer, customer) for customer in known}

    async def _absorbed(self, customer_ids: AbstractSet[str]) -> dict[str, str]:
        """Return who stands for those of these Customers whom others absorbed."""
        into: dict[str, str] = {}
        todo = set(customer_ids)
        while todo:
            found = self.customers.find(
                {"_id": {"$in": list(todo)}, "merged_into": {"$exists": True}}, {"merged_into": 1}
            )
            step = {row["_id"]: row["merged_into"] async for row in found}
            into |= step
            todo = set(step.values()) - into.keys()
        return {customer: _end(into, customer) for customer in customer_ids if customer in into}

    async def family(self, customer_id: str) -> list[Profile]:
        """Return whoever stands for a Customer, and all whom they stand for; [] for an unknown one."""
        survivor = (await self.survivors([customer_id])).get(customer_id)
        return [] if survivor is None else (await self.families([survivor]))[survivor]

    async def families(self, survivors: Sequence[str]) -> dict[str, list[Profile]]:
        """Return each of these survivors with all whom they stand for, themselves first."""
        member = {survivor: survivor for survivor in survivors}
        loaded = await self.load(survivors)
        families = {survivor: [loaded[survivor].profile] for survivor in survivors}
        todo = list(survivors)
        while todo:
            found = self.customers.find({"merged_into": {"$in": todo}}, {"outbox": 0}, sort=[("_id", 1)])
            todo = []
            async for document in found:
                survivor = member[document["_id"]] = member[document["merged_into"]]
                families[survivor].append(profile_of(document))
                todo.append(document["_id"])
        return families

    async def find_merge(self, merge_id: str) -> Merge | None:
        """Return a merge."""
        found = await self._merges.find_one({"_id": merge_id})
        return Merge(id=found.pop("_id"), **found) if found else None

    async def save_merge(self, made: Change, merge: Merge) -> bool:
        """Save a merge, or that it is undone, with its event; False when another writer was faster."""
        kept = {**asdict(merge)}
        name = kept.pop("id")
        try:
            async with self._client.start_session() as session, await session.start_transaction():
                alone: Document = {"_id": merge.survivor, "erased_at": None}
                if merge.undone_at is None:
                    alone["merged_into"] = None
                # whoever merges or absorbs the survivor at the same time writes here too, and one loses
                touched = await self.customers.update_one(alone, {"$inc": {"joins": 1}}, session=session)
                if not touched.matched_count:
                    await session.abort_transaction()
                    return False
                await self.customers.update_one(*_saved(made), upsert=True, session=session)
                await self._merges.replace_one({"_id": name}, kept, upsert=True, session=session)
        except PyMongoError as error:
            if lost_race(error):
                metrics.CONFLICTS.labels("customers").inc()
                return False
            raise
        return True

    async def settle_outbox(self, customer_ids: Sequence[str]) -> None:
        """Publish what waits in these Customers' outboxes. Raises BrokerUnavailable."""
        await self.drain([], customer_ids)

    # --- profiles -------------------------------------------------------------------------------

    async def load(self, customer_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the profiles, new ones for Customers without."""
        loaded = {customer: Loaded(Profile(customer)) for customer in customer_ids}
        async for document in self.customers.find({"_id": {"$in": list(customer_ids)}}):
            loaded[document["_id"]] = Loaded(profile_of(document), pending=bool(document.get("outbox")))
        return loaded

    async def save(self, changes: Sequence[Change]) -> frozenset[str]:
        """Save each profile with its event in one write; return the Customers lost to another writer."""
        lost = await bulk(self.customers, [UpdateOne(*_saved(made), upsert=True) for made in changes])
        if lost:
            metrics.CONFLICTS.labels("customers").inc(len(lost))
        return frozenset(changes[index].profile.customer_id for index in lost)

    async def commit(
        self, made: Change, attach: Sequence[Identifier], detach: Sequence[Identifier], now: datetime
    ) -> bool:
        """Save a profile together with identifiers it gains and loses, all or nothing.

        Returns False when another writer changed the Customer or took an identifier meanwhile.
        """
        customer = made.profile.customer_id
        try:
            async with self._client.start_session() as session, await session.start_transaction():
                await self.customers.update_one(*_saved(made), upsert=True, session=session)
                if detach:
                    gone = {
                        "_id": {"$in": [key(identifier) for identifier in detach]},
                        "customer_id": customer,
                    }
                    await self._identifiers.delete_many(gone, session=session)
                if attach:
                    rows = [_claimed(Claim(identifier, customer), now) for identifier in attach]
                    await self._identifiers.insert_many(rows, session=session)
        except PyMongoError as error:
            if lost_race(error):
                metrics.CONFLICTS.labels("customers").inc()
                return False
            raise
        return True

    async def disclaim(self, claims: Sequence[Claim]) -> None:
        """Take these claims back."""
        gone = [{"_id": key(claim.identifier), "customer_id": claim.customer_id} for claim in claims]
        await bulk(self._identifiers, [DeleteOne(each) for each in gone])

    async def release(self, customer_ids: Sequence[str]) -> None:
        """Take all identifiers from these Customers, who are erased."""
        await self._identifiers.delete_many({"customer_id": {"$in": list(customer_ids)}})

    async def drain(self, saved: Sequence[Change], pending: Sequence[str]) -> None:
        """Publish the events of `saved`, and all that waits in the outboxes of `pending`."""
        waiting: dict[str, list[Effect]] = {}
        for made in saved:
            waiting.setdefault(made.profile.customer_id, []).append(_effect(made.event))
        if pending:
            async for document in self.customers.find({"_id": {"$in": list(pending)}}, {"outbox": 1}):
                waiting[document["_id"]] = [from_document(entry) for entry in document.get("outbox", ())]
        await self.outbox.drain(waiting)

    async def left(self, before: datetime, limit: int) -> list[str]:
        """Return Customers whose outbox holds events from before `before`, oldest first."""
        found = self.customers.find(
            {"outbox.at": {"$lt": before}},
            {"_id": 1},
            sort=[("outbox.at", ASCENDING)],
            limit=limit,
        )
        return [document["_id"] async for document in found]


def profile_of(document: Document) -> Profile:
    """Return the profile stored in a document of the `customers` collection."""
    return Profile(
        customer_id=document["_id"],
        version=document["version"],
        name=document["name"],
        attributes=document["attributes"],
        identifiers=tuple(Identifier.model_validate(known) for known in document["identifiers"]),
        created_at=document["created_at"],
        sources={name: _source(one) for name, one in document.get("sources", {}).items()},
        name_source=_source(document["name_source"]) if document.get("name_source") else None,
        commands=tuple(Done(UUID(done["id"]), done["status"]) for done in document.get("commands", ())),
        merged_into=document.get("merged_into"),
        merges=document.get("merges", 0),
        erased="erased_at" in document,
    )


def _source(stored: Document) -> Source:
    return Source(stored["by"], stored["at"])


def words(name: str) -> list[str]:
    """Return the words of a name as they are compared: folded in case and compatibility forms."""
    return unicodedata.normalize("NFKC", name).casefold().split()[:MOST_WORDS]


def _saved(made: Change) -> tuple[Document, Document]:
    """Return filter and update of an upsert.

    A version that is there no more makes it an insert, and that a duplicate key: the race is seen.
    """
    profile = made.profile
    fields: Document = {
        "version": profile.version,
        "name": profile.name,
        "words": words(profile.name or ""),
        "attributes": dict(profile.attributes),
        "identifiers": [identifier.model_dump(mode="json") for identifier in profile.identifiers],
        "created_at": profile.created_at,
    }
    if profile.commands:
        fields["commands"] = [{"id": str(done.id), "status": done.status} for done in profile.commands]
    optional: Document = {
        "sources": {name: asdict(one) for name, one in profile.sources.items()},
        "name_source": asdict(profile.name_source) if profile.name_source else None,
        "merged_into": profile.merged_into,
    }
    fields |= {name: value for name, value in optional.items() if value}
    update: Document = {"$set": fields, "$push": {"outbox": to_document(_effect(made.event))}}
    if profile.merges:
        fields["merges"] = profile.merges
    if gone := {name: "" for name, value in optional.items() if not value}:
        update["$unset"] = gone
    return {"_id": profile.customer_id, "version": profile.version - 1}, update


def _end(into: Mapping[str, str], customer_id: str) -> str:
    while customer_id in into:
        customer_id = into[customer_id]
    return customer_id


def _effect(event: CustomerEvent | MergeEvent) -> Effect:
    return Publish(
        id=str(event.id),
        at=event.occurred_at,
        topic=CUSTOMERS_EVENTS.name,
        key=MERGES_KEY if isinstance(event, MergeEvent) else event.customer_id,
        value=event.json_bytes(),
    )


def _claimed(claim: Claim, now: datetime) -> Document:
    return {
        "_id": key(claim.identifier),
        "customer_id": claim.customer_id,
        "verified": claim.identifier.verified,
        "at": now,
    }


def _conflict(conflict: Conflict, other: Claim, now: datetime) -> Document:
    return {
        "customer_id": conflict.resolution.customer_id,
        "other": other.customer_id,
        "identifier": key(other.identifier),
        "message_id": str(conflict.message.id),
        "at": now,
    }
