"""Messages to be sent as documents of the `sends` collection, and its indexes."""

from typing import Any
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from schemas.common import DeliveryStatus
from services.chassis.mongo import Document
from services.notifier.domain import Send, State

CHANGING = (
    "state",
    "next_at",
    "attempts",
    "claim",
    "claimed_until",
    "status",
    "status_at",
    "status_seq",
    "provider_message_id",
    "provider_key",
    "error_code",
    "error_detail",
    "error_kind",
    "failed_part",
    "taken_at",
    "cause",
)
_FIXED = (
    "customer_id",
    "home",
    "conversation_id",
    "provider",
    "account",
    "seq",
    "stored_at",
    "source",
    "lane",
    "recipient",
)


def _has(field: str) -> Document:
    return {field: {"$exists": True}}


def _ascending(*fields: str) -> list[tuple[str, int]]:
    return [(field, ASCENDING) for field in fields]


_HEADS: Document = {"head": True}
INDEXES = [
    IndexModel("lane", name="one_head", unique=True, partialFilterExpression=_HEADS),
    IndexModel(_ascending("source", "state", "next_at"), name="due", partialFilterExpression=_HEADS),
    IndexModel(_ascending("state", "claimed_until"), name="claimed", partialFilterExpression=_HEADS),
    IndexModel(
        _ascending("lane", "seq"),
        name="waiting",
        partialFilterExpression={"state": State.WAITING.value},
    ),
    IndexModel(
        _ascending("state", "source"),
        name="waiting_by_source",
        partialFilterExpression={"state": State.WAITING.value},
    ),
    IndexModel("provider_key", name="provider_key", partialFilterExpression=_has("provider_key")),
    IndexModel(
        _ascending("recipient", "status"),
        name="recipient",
        partialFilterExpression=_has("recipient"),
    ),
    IndexModel(
        _ascending("visitor", "stored_at"),
        name="visitor",
        partialFilterExpression=_has("visitor"),
    ),
]


def to_document(send: Send) -> Document:
    """Return all but the `_id`; what a message has not is None."""
    own = {name: getattr(send, name) for name in (*_FIXED, *CHANGING)}
    return {
        **own,
        "correlation": str(send.correlation),
        "cause": str(send.cause) if send.cause else None,
        "state": send.state.value,
        "status": send.status.value,
        "record": send.record,
        "version": send.version,
    }


def from_document(document: Document) -> Send:
    """Return the message stored as `document`; reading may have left out its record."""
    fields: dict[str, Any] = {
        name: document.get(name)
        for name in (*_FIXED, *CHANGING)
        if name not in {"source", "lane", "provider_key"}
    }
    cause = document.get("cause")
    fields |= {
        "message_id": document["_id"],
        "correlation": UUID(document["correlation"]),
        "cause": UUID(cause) if cause else None,
        "state": State(document["state"]),
        "status": DeliveryStatus(document["status"]),
        "record": document.get("record"),
        "version": document["version"],
    }
    return Send(**fields)
