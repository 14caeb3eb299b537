"""HTTP routes: the streams, and webhook subscriptions."""

import base64
import json
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Request

from services.chassis.auth import Agent, AVisitor
from services.chassis.problems import Problem, unavailable
from services.notifier.access import Access
from services.notifier.feed.chats import visitor_key
from services.notifier.feed.hub import Viewer
from services.notifier.feed.stream import EventStream, Streams
from services.notifier.store import Store
from services.notifier.webhooks.api import Parts as WebhookParts
from services.notifier.webhooks.api import routes as webhooks

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]


@dataclass
class Parts:
    """What the routes call."""

    streams: Streams
    access: Access
    store: Store
    write_seconds: float
    webhooks: WebhookParts


def routes(parts: Parts) -> APIRouter:
    """Return notifier's routes."""
    router = APIRouter()

    @router.get("/v1/stream", response_class=EventStream)
    async def stream(request: Request, caller: Agent, last_event_id: LastEventId = None) -> EventStream:
        _begun(parts)
        viewer = Viewer(caller.subject, await parts.access.inboxes(caller))
        return _answer(parts, request, viewer, last_event_id)

    @router.get("/v1/webchat/{account}/stream", response_class=EventStream)
    async def visitor_stream(
        request: Request, visitor: AVisitor, account: str, last_event_id: LastEventId = None
    ) -> EventStream:
        if visitor.account != account:
            raise Problem(403, "Forbidden", f"the token is for the widget {visitor.account}")
        _begun(parts)
        key = visitor_key(account, visitor.visitor_id)
        for conversation, message in await parts.store.visitor_chats(key):
            parts.streams.hub.chats.learn(conversation, message, key)
        return _answer(parts, request, Viewer(visitor=key), last_event_id)

    router.include_router(webhooks(parts.webhooks))
    return router


def _begun(parts: Parts) -> None:
    if not parts.streams.hub.begun:
        raise unavailable("the live feed")


def _answer(parts: Parts, request: Request, viewer: Viewer, last_event_id: str | None) -> EventStream:
    events = parts.streams.events(viewer, last_event_id, seconds_left(request.headers["authorization"]))
    return EventStream(events, ping=0, send_timeout=parts.write_seconds)


def seconds_left(authorization: str) -> float:
    """Return for how long the (verified) bearer token stays valid."""
    payload = authorization.partition(" ")[2].strip().split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"]) - time.time()
