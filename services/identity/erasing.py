"""Erasure of a person: all Customers who are one, in one transaction; then their keys, then every service.

What is left is a document without a name for each Customer, a tombstone in place of each key, and a keyed
hash of each identifier, by which a message from before the erasure is known and dropped.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from schemas import ids
from schemas.common import IdentifierKind
from schemas.customers import CustomerErased, CustomerErasedData
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasure, Erasures
from services.chassis.faults import BrokerUnavailable
from services.chassis.idempotency import Commands as Once
from services.chassis.keys import CustomerKeys
from services.chassis.logging import log
from services.chassis.mongo import Database, Document, lost_race
from services.chassis.outbox import Publish, to_document
from services.identity.errors import BusyError, UnknownCustomerError
from services.identity.merges import MOST_TRIES
from services.identity.store import Store

SERVICES = ("identity", "conversation", "notifier", "ingest")
"""Those that hold something of a Customer."""
OF_CUSTOMER: Mapping[str, tuple[str, ...]] = {
    "identifiers": ("customer_id",),
    "conflicts": ("customer_id", "other"),
    "claims": ("customer_id",),
    "dismissed": ("pair",),
    "lookups": ("_id",),
    "customers_stuck": ("key",),
}
"""Collections whose documents go, with the fields that name their Customers."""


class ErasedIdentifiers:
    """The collection `erased_identifiers`: keyed hashes, each with the moment of the last erasure."""

    def __init__(self, database: Database, keys: CustomerKeys) -> None:
        self._erased = database["erased_identifiers"]
        self._keys = keys

    async def __call__(self, names: Collection[str]) -> dict[str, datetime]:
        """Return when each of these identifiers was erased; the others are left out."""
        hashes = {self._keys.hashed(name): name for name in names}
        found = self._erased.find({"_id": {"$in": list(hashes)}})
        return {hashes[row["_id"]]: row["at"] async for row in found}

    async def add(self, names: Collection[str], at: datetime, session: AsyncClientSession) -> None:
        """Remember that these identifiers were erased."""
        for name in names:
            known = {"_id": self._keys.hashed(name)}
            await self._erased.update_one(known, {"$max": {"at": at}}, upsert=True, session=session)


@dataclass
class Erasing:
    """Erases people."""

    database: Database
    store: Store
    keys: CustomerKeys
    erasures: Erasures
    once: Once
    clock: Clock = utc_now

    def __post_init__(self) -> None:
        self._customers = self.database["customers"]
        self._identifiers = self.database["identifiers"]
        self._hashes = ErasedIdentifiers(self.database, self.keys)

    async def prepare(self) -> None:
        """Create the index that finds what a crash left half done."""
        await self._customers.create_index("erasing", name="erasing", sparse=True)
        await self.erasures.prepare("identity")

    async def erase(self, customer_id: str, command: UUID) -> Erasure:
        """Erase the person who is this Customer. Raises UnknownCustomerError, BusyError.

        A merge of theirs that comes at the same time is either part of it or refused: both check the
        versions of the same documents.
        """
        for _ in range(MOST_TRIES):
            row = await self._customers.find_one({"_id": customer_id, "erased_by": str(command)})
            if row is not None:
                await self.resume()
                return Erasure(customer_id, (customer_id,), row["erased_at"])
            family = await self.family(customer_id)
            erasure = await self._forgotten(family, command)
            if erasure is not None:
                await self._pass_on(erasure)
                return erasure
        raise BusyError

    async def family(self, customer_id: str) -> list[Document]:
        """Return the documents of all Customers who are this person, the survivor's first."""
        first = await self._customers.find_one({"_id": customer_id})
        while first is not None and first.get("merged_into"):
            first = await self._customers.find_one({"_id": first["merged_into"]})
        if first is None or "erased_at" in first:
            raise UnknownCustomerError
        family, todo = [first], [first["_id"]]
        while todo:
            found = [row async for row in self._customers.find({"merged_into": {"$in": todo}})]
            todo = [row["_id"] for row in found]
            family += found
        return family

    async def _forgotten(self, family: list[Document], command: UUID) -> Erasure | None:
        """Replace the family by tombstones, all or nothing; None when another writer was first."""
        homes, now = [row["_id"] for row in family], self.clock()
        try:
            async with (
                self.database.client.start_session() as session,
                await session.start_transaction(),
            ):
                rows = self._identifiers.find({"customer_id": {"$in": homes}}, session=session)
                names = {row["_id"] async for row in rows}
                erasure = Erasure(homes[0], tuple(sorted(homes)), now, _visitors(names))
                for row in family:
                    own = erasure if row["_id"] == homes[0] else None
                    gone = await self._customers.replace_one(
                        {"_id": row["_id"], "version": row["version"], "joins": row.get("joins")},
                        _tombstone(row, now, own, command),
                        session=session,
                    )
                    if not gone.matched_count:
                        await session.abort_transaction()
                        return None
                await self._hashes.add(names, now, session)
                said = {"identifier": {"$in": sorted(names)}}  # by others who claimed to be them
                await self.database["claims"].delete_many(said, session=session)
                await self._delete(homes, session)
        except PyMongoError as error:
            if lost_race(error):
                return None
            raise
        return erasure

    async def _delete(self, homes: Collection[str], session: AsyncClientSession | None = None) -> None:
        for name, fields in OF_CUSTOMER.items():
            of_them = {"$or": [{field: {"$in": list(homes)}} for field in fields]}
            await self.database[name].delete_many(of_them, session=session)

    async def _pass_on(self, erasure: Erasure) -> None:
        """Destroy the keys, tell the services, tell the log; `resume` goes on where this ends early."""
        await self.keys.destroy(erasure.homes, erasure.at)
        await self.erasures.begin(erasure, SERVICES)
        try:
            await self.store.drain([], [erasure.customer_id])
        except BrokerUnavailable:
            log.warning("drain_postponed")  # the event waits in the outbox
        await self._customers.update_one({"_id": erasure.customer_id}, {"$unset": {"erasing": ""}})

    async def resume(self) -> None:
        """Go on with erasures that a crash, or a dependency that was away, left half done."""
        async for row in self._customers.find({"erasing": {"$exists": True}}):
            own = row["erasing"]
            await self._pass_on(
                Erasure(row["_id"], tuple(own["homes"]), row["erased_at"], tuple(own["visitors"]))
            )

    async def again(self, erasure: Erasure) -> None:
        """Forget what came, or was answered, while the erasure was on its way."""
        await self._delete(erasure.homes)
        await self.once.forget(erasure.homes)

    async def round(self) -> None:
        """Do all of identity's own part."""
        await self.resume()
        await self.erasures.carry_out("identity", self.again)


def _visitors(names: Collection[str]) -> tuple[str, ...]:
    kind = f"{IdentifierKind.VISITOR.value}:"
    return tuple(sorted(name.removeprefix(kind) for name in names if name.startswith(kind)))


def _tombstone(row: Document, now: datetime, own: Erasure | None, command: UUID) -> Document:
    """Return what stays of a Customer's document; the survivor's tells what is still to be done."""
    version = row["version"] + 1
    left: dict[str, Any] = {
        "_id": row["_id"],
        "version": version,
        "name": None,
        "words": [],
        "attributes": {},
        "identifiers": [],
        "created_at": row["created_at"],
        "erased_at": now,
        "erased_by": str(command),
        "outbox": [],
    }
    if own is not None:
        event = CustomerErased(
            id=ids.derive("customer.event", own.customer_id, version),
            occurred_at=now,
            correlation=command,
            causation=command,
            customer_id=own.customer_id,
            home=own.customer_id,
            seq=version,
            data=CustomerErasedData(customer_id=own.customer_id, homes=own.homes),
        )
        told = Publish(str(event.id), now, CUSTOMERS_EVENTS.name, own.customer_id, event.json_bytes())
        left["outbox"] = [to_document(told)]
        left["erasing"] = {"homes": list(own.homes), "visitors": list(own.visitors)}
    return left
