"""A Customer's timeline in pages, each read from a stretch of time that holds little more than the page.

How long a Customer's history is must not matter. An index in the order of the timeline sees to that where
the server walks it and stops in time; where a server reads all that matches before it sorts, or several
homes must be merged, only the stretch that is asked for bounds the work.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import DESCENDING

from services.chassis.mongo import Collection, Document
from services.chassis.pages import make_cursor, read_cursor, seek
from services.chassis.problems import invalid
from services.conversation.search_store import FIELD
from services.conversation.times import since

ORDER = ("at", "seq", "_id")
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(days=90)
_WIDER, _WIDEST = 4, 64
_ERA = datetime(1990, 1, 1, tzinfo=UTC)


async def page(
    timeline: Collection,
    homes: Sequence[str],
    latest: datetime | None,
    limit: int,
    cursor: str | None,
    *,
    conversation: str | None = None,
) -> tuple[list[Document], str | None]:
    """Return the newest `limit` items behind `cursor`, and the cursor of the next page.

    `latest` is about when the Customer was last active: there the search for the first page begins.
    `conversation`: only its items. Raises Problem 422 for a cursor that is not ours.
    """
    only: Document = {} if conversation is None else {"conversation_id": conversation}
    wanted = limit + 1
    rows: list[Document] = []
    upper: Document = {}
    begin = latest
    if cursor is not None:
        place = read_cursor(cursor, len(ORDER))
        begin = place[0]
        if not isinstance(begin, datetime):
            raise invalid("cursor", "is not one of ours; use a `next_cursor` as it was given")
        *tied, _ = seek(ORDER, place, DESCENDING)
        for condition in tied:
            rows += await _of(timeline, homes, {**only, **condition}, wanted - len(rows))
        upper = {"$lt": begin}
    reach = _SHORTEST
    while len(rows) < wanted:
        end = None if begin is None or reach > _LONGEST or begin < _ERA else begin - reach
        stretch = {**upper, **(since(end) if end is not None else {})}
        found = await _of(
            timeline, homes, {**only, **({"at": stretch} if stretch else {})}, wanted - len(rows)
        )
        rows += found
        if end is None:
            break
        upper, begin = {"$lt": end}, end
        lacking = wanted - len(rows)
        reach *= min(max(2 * lacking // len(found), _WIDER), _WIDEST) if found else _WIDEST
    shown = rows[:limit]
    following = make_cursor([shown[-1][name] for name in ORDER]) if len(rows) > limit else None
    return shown, following


async def _of(timeline: Collection, homes: Sequence[str], condition: Document, limit: int) -> list[Document]:
    """Return the newest of all homes: each read by itself in the order of the index, then merged."""
    if limit <= 0:
        return []
    found = await asyncio.gather(*(_of_home(timeline, home, condition, limit) for home in homes))
    if len(found) == 1:
        return found[0]
    return sorted((row for rows in found for row in rows), key=_place, reverse=True)[:limit]


async def _of_home(timeline: Collection, home: str, condition: Document, limit: int) -> list[Document]:
    sort = [(name, DESCENDING) for name in ORDER]
    return [
        row async for row in timeline.find({"home": home, **condition}, {FIELD: 0}, sort=sort, limit=limit)
    ]


def _place(row: Document) -> tuple[Any, ...]:
    return tuple(row[name] for name in ORDER)
