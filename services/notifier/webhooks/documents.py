"""Subscriptions and posts as documents, and their indexes."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pymongo import ASCENDING, IndexModel

from schemas.hooks import PauseReason
from services.chassis.mongo import Document
from services.notifier.webhooks.rules import (
    Endpoint,
    EndpointState,
    Place,
    Post,
    PostState,
    Reading,
    Secret,
)

_HEADS: Document = {"head": True}
_WAITING: Document = {"state": PostState.WAITING.value}


def _ascending(*names: str) -> list[tuple[str, int]]:
    return [(name, ASCENDING) for name in names]


POST_INDEXES = [
    IndexModel("lane", name="one_head", unique=True, partialFilterExpression=_HEADS),
    IndexModel(_ascending("endpoint", "state", "next_at"), name="due", partialFilterExpression=_HEADS),
    IndexModel(_ascending("state", "claimed_until"), name="claimed", partialFilterExpression=_HEADS),
    IndexModel(_ascending("lane", "offset"), name="waiting", partialFilterExpression=_WAITING),
    IndexModel(_ascending("endpoint", "at", "_id"), name="listed"),
    IndexModel("settle", name="unsettled", sparse=True),
    IndexModel("expires", name="expiry", expireAfterSeconds=0),
]


def place_key(place: Place) -> str:
    """Return a partition's name as a field's."""
    topic, partition = place
    return f"{topic.replace('.', ':')}/{partition}"


def places_document(places: Mapping[Place, int]) -> Document:
    """Return offsets by partition as a document."""
    return {place_key(place): offset for place, offset in places.items()}


def places_of(document: Mapping[str, int] | None) -> dict[Place, int]:
    """Return offsets by partition."""
    found: dict[Place, int] = {}
    for key, offset in (document or {}).items():
        topic, _, partition = key.rpartition("/")
        found[topic.replace(":", "."), int(partition)] = offset
    return found


def endpoint_document(endpoint: Endpoint) -> Document:
    """Return all but the `_id`."""
    own = {field.name: getattr(endpoint, field.name) for field in fields(Endpoint) if field.name != "id"}
    return {
        **own,
        "events": list(endpoint.events),
        "secrets": [{"value": secret.value, "until": secret.until} for secret in endpoint.secrets],
        "state": endpoint.state.value,
        "reason": endpoint.reason.value if endpoint.reason else None,
        "missed": places_document(endpoint.missed),
        "reading": _reading_document(endpoint.reading) if endpoint.reading else None,
    }


def _reading_document(reading: Reading) -> Document:
    return {
        "id": reading.id,
        "since": reading.since,
        "missed": places_document(reading.missed),
        "positions": None if reading.positions is None else places_document(reading.positions),
    }


def endpoint_of(document: Document) -> Endpoint:
    """Return the subscription stored as `document`."""
    own: dict[str, Any] = {
        field.name: document[field.name] for field in fields(Endpoint) if field.name in document
    }
    return Endpoint(
        **own
        | {
            "id": document["_id"],
            "events": tuple(document["events"]),
            "secrets": tuple(Secret(**secret) for secret in document["secrets"]),
            "state": EndpointState(document["state"]),
            "reason": PauseReason(document["reason"]) if document["reason"] else None,
            "missed": places_of(document["missed"]),
            "reading": _reading_of(document["reading"]) if document["reading"] else None,
        }
    )


def _reading_of(document: Document) -> Reading:
    positions = document["positions"]
    return Reading(
        document["id"],
        document["since"],
        places_of(document["missed"]),
        None if positions is None else places_of(positions),
    )


def post_document(post: Post) -> Document:
    """Return all but the `_id`, without what it has not."""
    own = {field.name: getattr(post, field.name) for field in fields(Post) if field.name != "place"}
    topic, partition = post.place
    whole = {**own, "state": post.state.value, "topic": topic, "partition": partition, "lane": post.lane}
    return {name: value for name, value in whole.items() if value is not None}


def post_of(document: Document) -> Post:
    """Return the post stored as `document`."""
    own: dict[str, Any] = {
        field.name: document[field.name] for field in fields(Post) if field.name in document
    }
    place = (document["topic"], document["partition"])
    customer = document.get("customer_id")
    return Post(**own | {"place": place, "state": PostState(document["state"]), "customer_id": customer})
