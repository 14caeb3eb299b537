"""`python -m services.identity.rebuild`: the store made again from `customers.events`.

The events do not tell which commands were applied last, when an identifier was claimed, which conflicts
wait for people, and, of a Customer with more than MOST_TOLD identifiers, the older ones: those are missing,
and not compared.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from schemas.common import Identifier
from schemas.customers import AttributeSource, CustomerCreated, CustomerEvent, CustomerMerged, CustomerSplit
from schemas.envelope import Envelope
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis.likeness import Likeness
from services.chassis.mongo import Database, Document
from services.chassis.outbox import Row, Write, write
from services.chassis.rebuilding import Plan, main
from services.identity.domain.claims import key
from services.identity.domain.profile import MOST_TOLD
from services.identity.store import words

_BLOCK = 500
_PROFILES, _ORIGINS, _STANDINGS = "told_profiles", "told_origins", "told_standings"
_ANY_TIME = datetime.min.replace(tzinfo=UTC)


def rows_of(record: Envelope) -> list[Row]:
    """Return what an event says of a Customer; `finish` makes the store of it."""
    match record:
        case CustomerEvent():
            return [*_origin(record), _profile(record)]
        case CustomerMerged() | CustomerSplit():
            return _merged(record)
        case _:
            return []


def _row(record: Envelope, collection: str, document: Document, how: Write, guard: str = "version") -> Row:
    return Row(str(record.id), record.occurred_at, collection, document, how, guard)


def _origin(record: CustomerEvent) -> list[Row]:
    if not isinstance(record, CustomerCreated):
        return []
    origin = {"_id": record.customer_id, "created_at": record.occurred_at}
    return [_row(record, _ORIGINS, origin, "insert")]


def _profile(record: CustomerEvent) -> Row:
    personal = record.personal
    document: Document = {
        "_id": record.customer_id,
        "version": record.seq,
        "name": personal.name,
        "words": words(personal.name or ""),
        "attributes": dict(personal.attributes),
        "identifiers": [identifier.model_dump(mode="json") for identifier in personal.identifiers],
        "keys": [key(identifier) for identifier in personal.identifiers],
    }
    if personal.attribute_sources:
        document["sources"] = {name: _source(one) for name, one in personal.attribute_sources.items()}
    if personal.name_source is not None:
        document["name_source"] = _source(personal.name_source)
    return _row(record, _PROFILES, document, "replace")


def _source(told: AttributeSource) -> Document:
    return {"by": told.source, "at": told.at}


def _merged(record: CustomerMerged | CustomerSplit) -> list[Row]:
    data, undone = record.data, isinstance(record, CustomerSplit)
    standing = {
        "_id": record.customer_id,
        "version": record.seq,
        "merges": data.n,
        "merged_into": None if undone else data.survivor,
    }
    merge: Document = {"_id": data.merge_id, "survivor": data.survivor, "absorbed": record.customer_id}
    if undone:
        merge |= {"undone_at": record.occurred_at, "n": data.n}
        done = _row(record, "merges", merge, "patch", "n")
    else:
        merge |= {"by": data.by, "reason": data.reason, "at": record.occurred_at, "undone_at": None}
        done = _row(record, "merges", merge, "insert")
    return [_row(record, _STANDINGS, standing, "replace"), done]


async def finish(into: Database) -> None:
    """Make `customers` and `identifiers` of what was told of each Customer."""
    block: list[Document] = []
    await into.drop_collection("identifiers")  # one may have changed hands since the last time
    async for profile in into[_PROFILES].find(sort=[("_id", 1)]):
        block.append(profile)
        if len(block) == _BLOCK:
            await _finish(into, block)
            block.clear()
    await _finish(into, block)


async def _finish(into: Database, profiles: Sequence[Document]) -> None:
    names = [profile["_id"] for profile in profiles]
    origins = {row["_id"]: row async for row in into[_ORIGINS].find({"_id": {"$in": names}})}
    standings = {row["_id"]: row async for row in into[_STANDINGS].find({"_id": {"$in": names}})}
    customers: list[Document] = []
    claims: list[Row] = []
    for profile in profiles:
        keys = profile.pop("keys")
        made = {**profile, "created_at": origins.get(profile["_id"], {}).get("created_at")}
        if (standing := standings.get(profile["_id"])) is not None:
            made["version"] = max(profile["version"], standing["version"])
            made["merges"] = standing["merges"]
            if standing["merged_into"] is not None:
                made["merged_into"] = standing["merged_into"]
        customers.append(made)
        claims += _claims(profile["_id"], keys, profile["identifiers"])
    await into["customers"].delete_many({"_id": {"$in": names}})
    if customers:
        await into["customers"].insert_many(customers, ordered=False)
    await write(into, claims)


def _claims(customer: str, keys: Sequence[str], identifiers: Sequence[Document]) -> list[Row]:
    return [
        Row(
            id=name,
            at=_ANY_TIME,
            collection="identifiers",
            document={"_id": name, "customer_id": customer, "verified": identifier["verified"]},
        )
        for name, identifier in zip(keys, identifiers, strict=True)
    ]


async def in_flight(live: Database, found: Likeness) -> frozenset[str]:
    """Return what no event has told yet, and what none tells.

    That are identifiers above MOST_TOLD, and what is left of erased Customers.
    """
    ids = list(found.differing)
    if found.collection == "customers":
        rows = live["customers"].find({"_id": {"$in": ids}})
        return frozenset(
            [
                row["_id"]
                async for row in rows
                if row.get("outbox") or "erased_at" in row or _untold(row, found)
            ]
        )
    if found.collection == "merges":
        merges = {row["_id"]: row["absorbed"] async for row in live["merges"].find({"_id": {"$in": ids}})}
        waiting = await _profiles(live, merges.values())
        return frozenset(one for one, who in merges.items() if waiting.get(who, {}).get("outbox"))
    claims = {row["_id"]: row["customer_id"] async for row in live["identifiers"].find({"_id": {"$in": ids}})}
    owners = await _profiles(live, claims.values())
    return frozenset(one for one, who in claims.items() if _passing(one, owners.get(who)))


def _untold(row: Document, found: Likeness) -> bool:
    return len(row["identifiers"]) > MOST_TOLD and found.differing[row["_id"]] == "differs in identifiers"


def _passing(name: str, owner: Document | None) -> bool:
    """Tell whether the claim `name` is ahead of its owner's profile, or among the many that are not told."""
    if owner is None or owner.get("outbox"):
        return True
    told = owner["identifiers"][-MOST_TOLD:]
    return name not in {key(Identifier.model_validate(identifier)) for identifier in told}


async def _profiles(live: Database, customers: Iterable[str]) -> dict[str, Document]:
    found = live["customers"].find({"_id": {"$in": list(set(customers))}})
    return {row["_id"]: row async for row in found}


PLAN = Plan(
    service="identity",
    topics=(CUSTOMERS_EVENTS,),
    rows_of=rows_of,
    collections=("customers", "identifiers", "merges"),
    in_flight=in_flight,
    ignored={
        "customers": frozenset({"outbox", "commands", "joins"}),
        "identifiers": frozenset({"at"}),
        "merges": frozenset({"n"}),
    },
    finish=finish,
    scratch=(_PROFILES, _ORIGINS, _STANDINGS),
)

if __name__ == "__main__":
    raise SystemExit(main(PLAN, sys.argv[1:]))
