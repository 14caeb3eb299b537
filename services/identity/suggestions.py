"""Likely duplicates in MongoDB: what Customers merely said, what contradicted, and what was dismissed.

Claims stand in a collection of their own, by Customer and identifier: nothing that resolves a message or
shows a Customer reads it. All look-ups are by an index and bounded.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from schemas.common import Identifier
from schemas.inbound import MessageReceived
from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import Database, Document, bulk
from services.identity.domain.claims import Resolution, key
from services.identity.domain.likeness import (
    CLAIMED_OF,
    CONTRADICTING,
    Person,
    Signal,
    Suggestion,
    claimed_in_common,
    merely_said,
    suggestions,
)

MOST_EACH = 50
"""Claims, conflicts and namesakes that are looked at, the newest of each."""
MOST_SHOWN = 50
_MOST_HOPS = 8
_SHOWN = {"name": 1, "identifiers": 1, "merged_into": 1, "version": 1, "erased_at": 1}
Signals = defaultdict[str, list[Signal]]


class Suggestions:
    """Keeps what may suggest a merge, and says what it suggests."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._claims = database["claims"]
        self._conflicts = database["conflicts"]
        self._dismissed = database["dismissed"]
        self._customers = database["customers"]
        self._identifiers = database["identifiers"]

    async def prepare(self) -> None:
        """Create the indexes."""
        newest = ("last_at", DESCENDING)
        await self._claims.create_indexes(
            [
                IndexModel([("customer_id", ASCENDING), newest], name="by_customer"),
                IndexModel([("identifier", ASCENDING), newest], name="by_identifier"),
            ]
        )
        await self._conflicts.create_index([("other", ASCENDING)], name="by_other")
        await self._customers.create_index([("name", ASCENDING)], name="by_whole_name")
        await self._dismissed.create_index([("pair", ASCENDING)], name="by_pair")

    async def note(self, found: Sequence[tuple[MessageReceived, Resolution]]) -> None:
        """Keep what the senders of these messages merely said of themselves; a repeat changes nothing."""
        await bulk(
            self._claims,
            [
                _claim(message, resolution.home, said)
                for message, resolution in found
                if not resolution.guest and message.data.direction == "inbound"
                for said in merely_said(message.personal)
            ],
        )

    async def contradict(self, customer_id: str, other: str, identifier: str) -> None:
        """Keep that a Customer was shown to have an identifier of another."""
        found = {"customer_id": customer_id, "other": other, "identifier": identifier, "at": self._clock()}
        await bulk(
            self._conflicts,
            [UpdateOne({"_id": f"{customer_id}:{identifier}:{other}"}, {"$setOnInsert": found}, upsert=True)],
        )

    async def claims_of(self, customer_ids: Sequence[str]) -> list[Document]:
        """Return what these Customers merely said, the newest first."""
        found = self._claims.find(
            {"customer_id": {"$in": list(customer_ids)}}, sort=[("last_at", DESCENDING)], limit=MOST_EACH
        )
        return [row async for row in found]

    async def of(self, homes: Sequence[str]) -> list[Suggestion]:
        """Return likely duplicates of a Customer, the most likely first.

        `homes` begin with the Customer; the others are those whom they stand for.
        """
        own = {row["_id"]: row async for row in self._customers.find({"_id": {"$in": list(homes)}}, _SHOWN)}
        if homes[0] not in own:
            return []
        claimed = await self.claims_of(homes)
        subject = _person(
            own[homes[0]], [known for row in own.values() for known in row["identifiers"]], claimed
        )
        signals: Signals = defaultdict(list)
        await self._alike_by_claims(homes, subject, claimed, signals)
        await self._contradicting(homes, signals)
        namesakes = await self._namesakes(subject.name)
        rows = await self._people({*signals, *namesakes})
        together: Signals = defaultdict(list)
        others: dict[str, Document] = {}
        for customer, row in rows.items():
            if row["_id"] not in homes and row.get("version") and not row.get("erased_at"):
                others[row["_id"]] = row
                together[row["_id"]] += signals.get(customer, [])
        return suggestions(
            subject,
            [_person(row, row["identifiers"], ()) for row in others.values()],
            together,
            await self._dismissals(homes, list(others)),
            MOST_SHOWN,
        )

    async def dismiss(self, customer_id: str, other: str, by: str) -> None:
        """Remember that these two were looked at and are two people."""
        pair = sorted((customer_id, other))
        await self._dismissed.update_one(
            {"_id": ":".join(pair)},
            {"$set": {"pair": pair, "by": by, "at": self._clock()}},
            upsert=True,
        )

    async def _alike_by_claims(
        self, homes: Sequence[str], subject: Person, claimed: Sequence[Document], signals: Signals
    ) -> None:
        said = {row["identifier"]: row for row in claimed}
        own = [key(each) for each in subject.identifiers][-MOST_EACH:]
        async for row in self._identifiers.find({"_id": {"$in": list(said)}}):
            signals[row["customer_id"]].append(_signal(CLAIMED_OF, said[row["_id"]]))
        also = self._claims.find(
            {"identifier": {"$in": [*said, *own]}, "customer_id": {"$nin": list(homes)}},
            sort=[("last_at", DESCENDING)],
            limit=MOST_EACH,
        )
        async for row in also:
            identifier = row["identifier"]
            reason = CLAIMED_OF if identifier in own else claimed_in_common(identifier)
            signals[row["customer_id"]].append(_signal(reason, row))

    async def _contradicting(self, homes: Sequence[str], signals: Signals) -> None:
        for side, far in (("customer_id", "other"), ("other", "customer_id")):
            async for row in self._conflicts.find({side: {"$in": list(homes)}}, limit=MOST_EACH):
                signals[row[far]].append(Signal(CONTRADICTING, row["identifier"], row["at"]))

    async def _namesakes(self, name: str | None) -> list[str]:
        if name is None or len(name.split()) < 2:  # noqa: PLR2004  (a full name)
            return []
        found = self._customers.find({"name": name}, {"_id": 1}, limit=MOST_EACH)
        return [row["_id"] async for row in found]

    async def _people(self, customers: set[str]) -> dict[str, Document]:
        """Return the Customers; in place of one that was merged the one who stands for it now."""
        found: dict[str, Document] = {}
        wanted = {customer: {customer} for customer in customers}
        for _ in range(_MOST_HOPS):
            if not wanted:
                break
            further: defaultdict[str, set[str]] = defaultdict(set)
            async for row in self._customers.find({"_id": {"$in": list(wanted)}}, _SHOWN):
                asked = wanted[row["_id"]]
                if into := row.get("merged_into"):
                    further[into] |= asked
                else:
                    found |= dict.fromkeys(asked, row)
            wanted = dict(further)
        return found

    async def _dismissals(self, homes: Sequence[str], others: Sequence[str]) -> dict[str, datetime]:
        pairs = {":".join(sorted((home, other))): other for home in homes for other in others}
        found = self._dismissed.find({"_id": {"$in": list(pairs)}})
        return {pairs[row["_id"]]: row["at"] async for row in found}


def _claim(message: MessageReceived, customer_id: str, said: Identifier) -> UpdateOne:
    at = message.data.received_at
    return UpdateOne(
        {"_id": f"{customer_id}:{key(said)}"},
        {
            "$setOnInsert": {
                "customer_id": customer_id,
                "identifier": key(said),
                "source": f"channel:{message.data.channel}",
                "first_at": at,
            },
            "$max": {"last_at": at},
        },
        upsert=True,
    )


def _signal(reason: str, claim: Document) -> Signal:
    return Signal(reason, claim["identifier"], claim["last_at"], claim["source"])


def _person(row: Document, identifiers: Sequence[Document], claimed: Sequence[Document]) -> Person:
    known = tuple(Identifier.model_validate(each) for each in identifiers)
    return Person(row["_id"], row.get("name"), known, tuple(each["identifier"] for each in claimed))
