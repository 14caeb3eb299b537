"""Conversations as they were: a row for each change, small where nothing but `updated_at` moved."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from schemas.envelope import rfc3339
from services.chassis.mongo import Collection, Document
from services.chassis.outbox import Row
from services.conversation.domain.moments import Moment
from services.conversation.times import until
from services.conversation.views import conversation_view

COLLECTION = "history"
INDEX = IndexModel(
    [("conversation_id", ASCENDING), ("seen", ASCENDING), ("at", ASCENDING), ("n", ASCENDING)],
    name="by_moment",
)
_MOST_IN_A_SAVE = 1 << 16


def rows(customer_id: str, moments: Sequence[Moment], version: int, now: datetime) -> list[Row]:
    """Return the rows that a save of the thread at `version` writes."""
    return [
        Row(
            id=f"moment:{version}:{index}",
            at=now,
            collection=COLLECTION,
            document=_document(f"{customer_id}:{version}:{index}", moment, version * _MOST_IN_A_SAVE + index),
            wave=2,
        )
        for index, moment in enumerate(moments)
    ]


def _document(row_id: str, moment: Moment, n: int) -> Document:
    document: Document = {
        "_id": row_id,
        "conversation_id": moment.conversation.id,
        "home": moment.conversation.home,
        "seen": moment.seen,
        "at": moment.at,
        "n": n,
    }
    return {**document, "view": conversation_view(moment.conversation)} if moment.seen else document


async def as_it_was(history: Collection, conversation_id: str, at: datetime) -> dict[str, Any] | None:
    """Return what the API would have shown of the Conversation at that moment; None before it was opened.

    Moments are those of the changes' own times, as the timeline has them, in whole milliseconds.
    """
    seen = await _latest(history, conversation_id, at, seen=True)
    if seen is None:
        return None
    touched = await _latest(history, conversation_id, at, seen=False)
    view: dict[str, Any] = dict(seen["view"])
    if touched is not None:
        view["updated_at"] = max(view["updated_at"], rfc3339(touched["at"]))
    return view


async def _latest(history: Collection, conversation_id: str, at: datetime, *, seen: bool) -> Document | None:
    return await history.find_one(
        {"conversation_id": conversation_id, "seen": seen, "at": until(at)},
        sort=[("at", DESCENDING), ("n", DESCENDING)],
    )
