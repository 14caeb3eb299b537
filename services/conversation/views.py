"""What the API shows: Conversations, timeline items, pages."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.envelope import rfc3339
from services.chassis.mongo import Collection, Document
from services.chassis.problems import invalid
from services.conversation.domain.model import Conversation

_HIDDEN = {"_id", "home", "seq", "status_seq", "text_raw", "address"}


def conversation_view(conversation: Conversation) -> dict[str, Any]:
    """Return a Conversation as the API shows it."""
    return {
        "id": conversation.id,
        "customer_id": conversation.customer_id,
        "status": conversation.status,
        "inbox": conversation.inbox,
        "agent": conversation.agent,
        "topics": list(conversation.topics),
        "priority": conversation.priority,
        "contacts": [
            {
                "id": contact.id,
                "channel": contact.channel,
                "account": contact.account,
                "started_at": rfc3339(contact.started_at),
                "ended_at": rfc3339(contact.ended_at) if contact.ended_at else None,
            }
            for contact in conversation.contacts
        ],
        "sla": None,
        "ticket": None,
        "confirmed": conversation.confirmed,
        "opened_at": rfc3339(conversation.opened_at),
        "updated_at": rfc3339(conversation.updated_at),
        "closed_at": rfc3339(conversation.closed_at) if conversation.closed_at else None,
    }


def timeline_view(row: Document) -> dict[str, Any]:
    """Return a timeline item as the API shows it."""
    view = {name: _json(value) for name, value in row.items() if name not in _HIDDEN}
    defaults: dict[str, Any] = {
        "late": False,
        "contact_id": None,
        "channel": None,
        "direction": None,
        "text": None,
        "attachments": [],
    }
    return {"id": row["_id"], **defaults, "agent": None, "status": None, **view}


def visitor_view(row: Document) -> dict[str, Any]:
    """Return a message as its visitor sees it."""
    return {
        "message_id": row["_id"],
        "at": rfc3339(row["at"]),
        "direction": row["direction"],
        "text": row["text"],
        "attachments": row.get("attachments", []),
        "status": row["status"],
    }


async def page(
    collection: Collection,
    query: Document,
    order: Sequence[str],
    limit: int,
    cursor: str | None,
    view: Callable[[Document], dict[str, Any]],
) -> dict[str, Any]:
    """Return one page, newest first by `order`: a time field, then fields that make each place unique.

    The cursor names the last place shown, so a page does not shift while new items arrive.
    """
    if cursor is not None:
        query = {"$and": [query, _after(order, read_cursor(cursor, len(order)))]}
    found = collection.find(query, sort=[(name, -1) for name in order], limit=limit + 1)
    rows = [row async for row in found]
    shown = rows[:limit]
    last = make_cursor([shown[-1][name] for name in order]) if len(rows) > limit else None
    return {"items": [view(row) for row in shown], "next_cursor": last}


def _after(order: Sequence[str], place: Sequence[object]) -> Document:
    """Return the condition of everything behind `place`, in descending order of all fields."""
    first = {order[0]: {"$lte": place[0]}}  # for the index; the alternatives say the rest
    alternatives = [
        {**dict(zip(order[:number], place, strict=False)), order[number]: {"$lt": place[number]}}
        for number in range(len(order))
    ]
    return {**first, "$or": alternatives}


def make_cursor(place: Sequence[Any]) -> str:
    """Return the opaque name of a place in a list."""
    content = json.dumps([round(place[0].timestamp() * 1000), *place[1:]])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def read_cursor(cursor: str, length: int) -> list[Any]:
    """Return the place that `cursor` names. Raises Problem 422."""
    try:
        millis, *rest = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(rest) != length - 1 or not all(isinstance(part, str | int) for part in rest):
            raise TypeError
        return [datetime.fromtimestamp(int(millis) / 1000, UTC), *rest]
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise invalid("cursor", "is not one of ours; use a `next_cursor` as it was given") from error


def _json(value: object) -> object:
    return rfc3339(value) if isinstance(value, datetime) else value
