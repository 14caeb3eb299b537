"""Routes for providers' webhooks: find the account, read, verify, publish, answer."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request, Response

from services.chassis.accounts import Account
from services.chassis.faults import is_transient
from services.chassis.logging import bound, log
from services.chassis.problems import Problem, not_found, unavailable
from services.ingest import metrics
from services.ingest.body import read_body
from services.ingest.channels.registry import PROVIDERS, Provider
from services.ingest.handlers import Intake, Taken
from services.ingest.settings import IngestSettings
from services.ingest.webhook import Arrival, Webhook

_REASONS = {
    400: "aborted",
    401: "forged",
    403: "forged",
    404: "unknown_account",
    408: "too_slow",
    413: "too_large",
    429: "limited",
    503: "unavailable",
}


def build_router(intake: Intake, settings: IngestSettings) -> APIRouter:
    """Return the webhook routes."""
    router = APIRouter()
    metrics.prepare(PROVIDERS)

    @router.post("/v1/{provider}/{account}", summary="A provider's webhook or status callback")
    async def post_webhook(provider: str, account: str, request: Request) -> Response:
        with counted(provider if provider in PROVIDERS else "unknown"):
            return await _webhook(*_found(intake, provider, account), request, intake, settings)

    @router.get("/v1/{provider}/{account}", summary="A provider's check of our address, or a webhook by GET")
    async def get_webhook(provider: str, account: str, request: Request) -> Response:
        with counted(provider if provider in PROVIDERS else "unknown"):
            row, ours = _found(intake, provider, account)
            if row.greet is not None:
                return _greeted(row, ours, _as_received(request, b"", settings))
            if not row.reads_get:
                raise Problem(
                    405, "Method Not Allowed", f"{provider} calls by POST", headers={"Allow": "POST"}
                )
            return await _webhook(row, ours, request, intake, settings)

    return router


@contextmanager
def counted(provider: str) -> Iterator[None]:
    """Count and time a request; a refusal by its reason."""
    metrics.RECEIVED.labels(provider).inc()
    started = time.monotonic()
    try:
        yield
    except Problem as problem:
        metrics.REFUSED.labels(provider, _REASONS.get(problem.status, "invalid")).inc()
        raise
    finally:
        metrics.SECONDS.labels(provider).observe(time.monotonic() - started)


async def published(provider: str, arrival: Arrival, publish: Callable[[], Awaitable[Taken]]) -> Taken:
    """Publish and count; 503 when Kafka or the blob store is down, so that the sender tries again."""
    with bound(correlation=str(arrival.correlation), provider=provider, account=arrival.account.account):
        try:
            taken = await publish()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("webhook_not_taken", error=type(error).__name__)
            raise unavailable("the message log") from error
        log.info("webhook_taken", **taken.published)
    for topic, number in taken.published.items():
        metrics.PUBLISHED.labels(provider, topic).inc(number)
    metrics.QUARANTINED.labels(provider).inc(taken.published["webhooks.quarantine"])
    return taken


async def _webhook(
    row: Provider, account: Account, request: Request, intake: Intake, settings: IngestSettings
) -> Response:
    arrival = intake.arrival(account)
    if row.proven_by_headers and not row.verify(_as_received(request, b"", settings), account):
        raise _forged(row)
    body = await read_body(request, row.limit_bytes, settings.body_timeout_seconds)
    webhook = _as_received(request, body, settings)
    if not row.verify(webhook, account):
        raise _forged(row)
    await published(row.name, arrival, lambda: intake.take(row, webhook, arrival))
    return Response(row.answer, 200, media_type=row.answer_type)


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


def _forged(row: Provider) -> Problem:
    title = "Unauthorized" if row.forged_status == 401 else "Forbidden"  # noqa: PLR2004  (HTTP's own number)
    headers = {"WWW-Authenticate": "Bearer"} if row.proven_by_headers else {}
    detail = "the request does not carry the signature or token of this account"
    return Problem(row.forged_status, title, detail, headers={**headers, "Connection": "close"})


def _as_received(request: Request, body: bytes, settings: IngestSettings) -> Webhook:
    scope: Any = request.scope
    raw_path: bytes = scope.get("raw_path") or request.url.path.encode()
    return Webhook(
        method=request.method,
        path=raw_path.partition(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=dict(reversed(request.headers.items())),
        body=body,
        public_url=settings.public_url,
    )
