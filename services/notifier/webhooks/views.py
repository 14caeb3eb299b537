"""Subscriptions and deliveries as the API shows them."""

from datetime import datetime
from typing import Any

from schemas.envelope import rfc3339
from services.chassis.mongo import Document
from services.notifier.webhooks.documents import post_of
from services.notifier.webhooks.rules import Endpoint


def webhook_view(endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    """Return a subscription, without its secrets."""
    reading = endpoint.reading
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "state": endpoint.state.value,
        "paused_reason": endpoint.reason.value if endpoint.reason else None,
        "paused_at": _time(endpoint.paused_at),
        "failures": endpoint.failures,
        "failing_since": _time(endpoint.failing_since),
        "last_status": endpoint.last_status,
        "last_error": endpoint.last_error,
        "catching_up": reading is not None,
        "replay_from": _time(reading.since) if reading else None,
        "valid_secrets": len(endpoint.valid_secrets(now)),
        "created_at": _time(endpoint.created_at),
        "updated_at": _time(endpoint.updated_at),
    }


def delivery_view(document: Document) -> dict[str, Any]:
    """Return how the delivery of one event is going."""
    post = post_of(document)
    return {
        "event_id": post.event,
        "type": post.type,
        "at": _time(post.at),
        "state": "sending" if post.state.value == "claimed" else post.state.value,
        "attempts": post.attempts,
        "last_status": post.last_status,
        "last_error": post.last_error,
        "next_attempt_at": _time(post.next_at),
        "finished_at": _time(post.finished_at),
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None
