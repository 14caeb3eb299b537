"""What the API shows: Customers and pages of them."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

from schemas.common import Identifier, IdentifierKind
from schemas.envelope import rfc3339
from services.chassis.mongo import Collection, Document
from services.chassis.problems import invalid
from services.identity.domain.profile import Profile
from services.identity.store import profile_of


def customer_view(profile: Profile) -> dict[str, Any]:
    """Return a Customer as the API shows it."""
    return {
        "id": profile.customer_id,
        "name": profile.name,
        "attributes": dict(profile.attributes),
        "identifiers": [identifier_view(identifier) for identifier in profile.identifiers],
        "created_at": rfc3339(profile.created_at) if profile.created_at else None,
    }


def identifier_view(identifier: Identifier) -> dict[str, Any]:
    """Return an identifier; one of a source system as kind `external:<source>`."""
    kind, value = identifier.kind.value, identifier.value
    if identifier.kind is IdentifierKind.EXTERNAL:
        source, _, value = value.partition(":")
        kind = f"{kind}:{source}"
    return {"kind": kind, "value": value, "verified": identifier.verified}


async def page(customers: Collection, query: Document, limit: int, cursor: str | None) -> dict[str, Any]:
    """Return one page of Customers, newest first.

    The cursor names the last place shown, so a page does not shift while new Customers arrive.
    """
    if cursor is not None:
        at, last = _read_cursor(cursor)
        after = {"$or": [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last}}]}
        query = {"$and": [query, after]}
    found = customers.find(query, {"outbox": 0}, sort=[("created_at", -1), ("_id", -1)], limit=limit + 1)
    rows = [row async for row in found]
    shown = rows[:limit]
    more = len(rows) > limit
    return {
        "items": [customer_view(profile_of(row)) for row in shown],
        "next_cursor": _make_cursor(shown[-1]["created_at"], shown[-1]["_id"]) if more else None,
    }


def _make_cursor(at: datetime, customer_id: str) -> str:
    place = json.dumps([round(at.timestamp() * 1000), customer_id])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        millis, customer_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(customer_id, str):
            raise TypeError
        return datetime.fromtimestamp(int(millis) / 1000, UTC), customer_id
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise invalid("cursor", "is not one of ours; use a `next_cursor` as it was given") from error
