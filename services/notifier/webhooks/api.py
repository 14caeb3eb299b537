"""HTTP routes of webhook subscriptions, for admins."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from schemas import catalogue
from services.chassis.auth import Admin
from services.chassis.clock import Clock, utc_now
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.pages import Limit, page
from services.notifier.webhooks.commands import Commands
from services.notifier.webhooks.documents import endpoint_of
from services.notifier.webhooks.inputs import ReplayInput, WebhookInput, WebhookPatch
from services.notifier.webhooks.views import delivery_view, webhook_view

_STATES = {
    "waiting": ("waiting",),
    "sending": ("claimed",),
    "delivered": ("delivered",),
    "given_up": ("given_up",),
}
DeliveryState = Annotated[
    Literal["waiting", "sending", "delivered", "given_up"] | None, Query(description="only these")
]


@dataclass
class Parts:
    """What the routes call."""

    commands: Commands
    once: Once
    clock: Clock = utc_now


def routes(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    router.include_router(_reads(parts))
    router.include_router(_changes(parts))
    return router


def _reads(parts: Parts) -> APIRouter:
    router = APIRouter()
    commands = parts.commands

    @router.get("/v1/webhooks")
    async def webhooks(_: Admin, limit: Limit = 50, cursor: str | None = None) -> dict[str, Any]:
        now = parts.clock()
        return await page(
            commands.endpoints.collection,
            {},
            ("created_at", "_id"),
            limit,
            cursor,
            lambda document: webhook_view(endpoint_of(document), now),
        )

    @router.get("/v1/webhooks/catalogue")
    async def events(_: Admin) -> dict[str, Any]:
        return catalogue.document()

    @router.get("/v1/webhooks/{webhook_id}")
    async def webhook(_: Admin, webhook_id: str) -> dict[str, Any]:
        return webhook_view(await commands.found(webhook_id), parts.clock())

    @router.get("/v1/webhooks/{webhook_id}/deliveries")
    async def deliveries(
        _: Admin,
        webhook_id: str,
        state: DeliveryState = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        await commands.found(webhook_id)
        only = {"state": {"$in": _STATES[state]}} if state else {}
        return await page(
            commands.posts.collection,
            {"endpoint": webhook_id, **only},
            ("at", "_id"),
            limit,
            cursor,
            delivery_view,
            without=("body",),
        )

    return router


def _changes(parts: Parts) -> APIRouter:
    router = APIRouter()
    commands, once = parts.commands, parts.once

    async def with_secret(answer: Answer) -> Answer:
        """Add the newest secret, which only the subscription itself keeps."""
        endpoint = await commands.endpoints.get(answer.body["id"])
        secret = {"secret": endpoint.secrets[0].value} if endpoint is not None else {}
        return Answer(answer.status, {**answer.body, **secret}, answer.headers)

    @router.post("/v1/webhooks", status_code=201)
    async def create(request: Request, caller: Admin, body: WebhookInput) -> Response:
        async def run(command: UUID) -> Answer:
            made = await commands.create(command, body)
            return Answer(201, {"id": made.id})

        return await once.once(request, caller.subject, body.model_dump(mode="json"), run, with_secret)

    @router.patch("/v1/webhooks/{webhook_id}")
    async def change(request: Request, caller: Admin, webhook_id: str, body: WebhookPatch) -> Response:
        async def run(_: object) -> Answer:
            changed = await commands.change(webhook_id, body)
            return Answer(200, webhook_view(changed, parts.clock()))

        shown = with_secret if body.rotate_secret else None
        return await once.once(request, caller.subject, body.model_dump(mode="json"), run, shown)

    @router.delete("/v1/webhooks/{webhook_id}", status_code=204)
    async def delete(request: Request, caller: Admin, webhook_id: str) -> Response:
        async def run(_: object) -> Answer:
            await commands.delete(webhook_id)
            return Answer(204)

        return await once.once(request, caller.subject, None, run)

    @router.post("/v1/webhooks/{webhook_id}/replay", status_code=202)
    async def replay(request: Request, caller: Admin, webhook_id: str, body: ReplayInput) -> Response:
        async def run(_: object) -> Answer:
            changed = await commands.replay(webhook_id, body.since)
            return Answer(202, webhook_view(changed, parts.clock()))

        return await once.once(request, caller.subject, body.model_dump(mode="json"), run)

    return router
