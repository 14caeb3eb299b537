"""Routes for providers' webhooks. Those of our accounts are mostly answered before: see `front.py`."""

from fastapi import APIRouter, Request, Response

from services.chassis.accounts import Account
from services.chassis.problems import Problem, not_found
from services.ingest import metrics
from services.ingest.channels.registry import PROVIDERS, Provider
from services.ingest.handlers import Intake
from services.ingest.taking import HeaderFields, Taking, counted
from services.ingest.webhook import Webhook

WEBHOOK = "/v1/{provider}/{account}"


def build_router(taking: Taking) -> APIRouter:
    """Return the webhook routes."""
    router, intake = APIRouter(), taking.intake
    metrics.prepare(PROVIDERS)

    @router.post(WEBHOOK, summary="A provider's webhook or status callback")
    async def post_webhook(provider: str, account: str, request: Request) -> Response:
        with counted(provider if provider in PROVIDERS else "unknown"):
            row, ours = _found(intake, provider, account)
            return await taking.take(row, ours, request.scope, request.receive)

    @router.get(WEBHOOK, summary="A provider's check of our address, or a webhook by GET")
    async def get_webhook(provider: str, account: str, request: Request) -> Response:
        with counted(provider if provider in PROVIDERS else "unknown"):
            row, ours = _found(intake, provider, account)
            if row.greet is not None:
                return _greeted(row, ours, taking.as_received(request.scope, HeaderFields(request.scope)))
            if not row.reads_get:
                raise Problem(
                    405, "Method Not Allowed", f"{provider} calls by POST", headers={"Allow": "POST"}
                )
            return await taking.take(row, ours, request.scope, request.receive)

    return router


def _greeted(row: Provider, account: Account, webhook: Webhook) -> Response:
    assert row.greet is not None  # noqa: S101  (the caller checked)
    answer = row.greet(webhook, account)
    if answer.status >= 400:  # noqa: PLR2004  (HTTP's errors)
        raise Problem(answer.status, "Forbidden", answer.text)
    return Response(
        answer.text, answer.status, media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"}
    )


def _found(intake: Intake, provider: str, name: str) -> tuple[Provider, Account]:
    row, account = PROVIDERS.get(provider), intake.accounts.find(provider, name)
    if row is None or account is None:
        raise not_found("the provider or account")
    return row, account
