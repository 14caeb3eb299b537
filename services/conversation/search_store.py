"""Timeline items by their words: kept on the item, so that whatever becomes of it becomes of them."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from services.chassis.mongo import Collection, Document
from services.conversation.domain.words import matches, words_of
from services.conversation.times import since

FIELD = "words"
INDEX = IndexModel(
    [(FIELD, ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)],
    name="by_words",
)
BATCH = 200
MOST_READ = 5_000
"""Items that one search looks at; where more have a word of the query, a page may be short and go on."""
MOST_MILLISECONDS = 5_000
_ORDER = [("at", DESCENDING), ("_id", DESCENDING)]

Place = tuple[datetime, str]
"""`at` and id of an item."""


def with_words(document: Document) -> Document:
    """Return a timeline row, or a patch of one that sets its text, with the words it is found by."""
    words = words_of(document)
    return {**document, FIELD: words} if words or "text" in document else document


def without_words(document: Any) -> Any:  # noqa: ANN401  (whatever kind of mapping)
    """Return the document as it was before."""
    return {name: value for name, value in document.items() if name != FIELD}


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for; `words` as `domain.words.asked` gives them, at least one."""

    words: tuple[str, ...]
    homes: Sequence[str] | None = None
    """Of these Customers only."""
    channel: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def document(self) -> Document:
        """Return the query of what the index can tell; `matches` tells the rest.

        One word leads: the longest whole one, for it is likely the rarest.
        """
        *whole, last = self.words
        lead = max(whole, key=len) if whole else {"$regex": "^" + re.escape(last)}
        found: Document = {FIELD: lead}
        if self.homes is not None:
            found["home"] = self.homes[0] if len(self.homes) == 1 else {"$in": list(self.homes)}
        if self.channel is not None:
            found["channel"] = self.channel
        return found


async def batches(timeline: Collection, query: Query, place: Place | None) -> AsyncIterator[list[Document]]:
    """Give items behind `place`, newest first, by the batch; in each the last one is where it ended.

    An item that does not match stands as `{"at", "_id"}` alone.
    """
    while True:
        rows = await _behind(timeline, query, place)
        if not rows:
            return
        yield [row if matches(row[FIELD], query.words) else _bare(row) for row in rows]
        if len(rows) < BATCH:
            return
        place = (rows[-1]["at"], rows[-1]["_id"])


async def _behind(timeline: Collection, query: Query, place: Place | None) -> list[Document]:
    """Return at most a batch. Those of the same moment first, then older ones."""
    rows: list[Document] = []
    document = query.document()
    if place is not None:
        tied = {**document, "at": place[0], "_id": {"$lt": place[1]}}
        rows = await _found(timeline, tied, BATCH)
    if len(rows) < BATCH:
        before = place[0] if place is not None else query.before
        older = {
            **(since(query.since) if query.since is not None else {}),
            **({"$lt": before} if before is not None else {}),
        }
        rows += await _found(timeline, {**document, **({"at": older} if older else {})}, BATCH - len(rows))
    return rows


async def _found(timeline: Collection, query: Document, limit: int) -> list[Document]:
    cursor = timeline.find(query, sort=_ORDER, limit=limit).max_time_ms(MOST_MILLISECONDS)
    return [row async for row in cursor]


def _bare(row: Document) -> Document:
    return {"at": row["at"], "_id": row["_id"]}
