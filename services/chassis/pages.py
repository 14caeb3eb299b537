"""Lists in pages: `{"items": […], "next_cursor": "…"|null}`, steady while new items arrive."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query

from services.chassis.mongo import Collection, Document
from services.chassis.problems import invalid

Limit = Annotated[int, Query(ge=1, le=200)]
"""Items a page; 50 unless asked."""


async def page(
    collection: Collection,
    query: Document,
    order: Sequence[str],
    limit: int,
    cursor: str | None,
    view: Callable[[Document], Any],
    *,
    newest_first: bool = True,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Return one page in the order of the fields `order`, which together make each place unique.

    The cursor names the last place shown. `without` names fields that are not read. Raises Problem 422
    for a cursor that is not ours.
    """
    direction = -1 if newest_first else 1
    if cursor is not None:
        query = {"$and": [query, _behind(order, read_cursor(cursor, len(order)), direction)]}
    found = collection.find(
        query,
        dict.fromkeys(without, 0) or None,
        sort=[(name, direction) for name in order],
        limit=limit + 1,
    )
    rows = [row async for row in found]
    shown = rows[:limit]
    last = make_cursor([shown[-1][name] for name in order]) if len(rows) > limit else None
    return {"items": [view(row) for row in shown], "next_cursor": last}


def _behind(order: Sequence[str], place: Sequence[Any], direction: int) -> Document:
    """Return the condition of everything behind `place`."""
    behind = "$lt" if direction < 0 else "$gt"
    alternatives = [
        {**dict(zip(order[:number], place, strict=False)), order[number]: {behind: place[number]}}
        for number in range(len(order))
    ]
    # the first says it for the index alone; the alternatives say the rest
    return {order[0]: {behind + "e": place[0]}, "$or": alternatives}


def make_cursor(place: Sequence[Any]) -> str:
    """Return the opaque name of a place in a list."""
    content = [[round(part.timestamp() * 1000)] if isinstance(part, datetime) else part for part in place]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def read_cursor(cursor: str, length: int) -> list[Any]:
    """Return the place that `cursor` names. Raises Problem 422."""
    try:
        content = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(content, list) or len(content) != length:
            raise TypeError
        return [_part(part) for part in content]
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise invalid("cursor", "is not one of ours; use a `next_cursor` as it was given") from error


def _part(part: object) -> str | int | datetime:
    match part:
        case str() | int():
            return part
        case [int() as millis]:
            return datetime.fromtimestamp(millis / 1000, UTC)
        case _:
            raise TypeError
