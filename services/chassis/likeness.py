"""Comparing two databases, collection by collection and document by document."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.chassis.mongo import Database, Document

_BLOCK = 500


@dataclass(slots=True)
class Likeness:
    """What two collections have in common. Differences are told by the names of fields, never by values."""

    collection: str
    equal: int = 0
    differing: dict[str, str] = field(default_factory=dict)
    """Documents by id, with what differs."""


async def compare(live: Database, rebuilt: Database, collection: str, ignored: Collection[str]) -> Likeness:
    """Compare all documents of a collection, without the fields `ignored`. Ids are strings."""
    found = Likeness(collection)
    lefts, rights = _sorted(live, collection), _sorted(rebuilt, collection)
    left, right = await anext(lefts, None), await anext(rights, None)
    while left is not None or right is not None:
        first = min(each["_id"] for each in (left, right) if each is not None)
        here = left if left is not None and left["_id"] == first else None
        there = right if right is not None and right["_id"] == first else None
        _note(found, first, here, there, ignored)
        left = await anext(lefts, None) if here is not None else left
        right = await anext(rights, None) if there is not None else right
    return found


async def again(live: Database, rebuilt: Database, before: Likeness, ignored: Collection[str]) -> None:
    """Compare once more what differed: both may have moved on."""
    ids = list(before.differing)
    before.differing = {}
    for start in range(0, len(ids), _BLOCK):
        some = ids[start : start + _BLOCK]
        left, right = (
            await _by_id(live, before.collection, some),
            await _by_id(rebuilt, before.collection, some),
        )
        for one in some:
            if one in left or one in right:
                _note(before, one, left.get(one), right.get(one), ignored)


def _note(
    found: Likeness, one: str, left: Document | None, right: Document | None, ignored: Collection[str]
) -> None:
    if left is None or right is None:
        found.differing[one] = "only rebuilt" if left is None else "only live"
        return
    names = sorted(
        name
        for name in left.keys() | right.keys()
        if name not in ignored and (name in left, left.get(name)) != (name in right, right.get(name))
    )
    if names:
        found.differing[one] = "differs in " + ", ".join(names)
    else:
        found.equal += 1


async def _sorted(database: Database, collection: str) -> AsyncIterator[Document]:
    async for document in database[collection].find(sort=[("_id", 1)]):
        yield document


async def _by_id(database: Database, collection: str, ids: Sequence[str]) -> Mapping[str, Document]:
    return {row["_id"]: row async for row in database[collection].find({"_id": {"$in": list(ids)}})}
