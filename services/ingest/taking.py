"""Takes a webhook: read, verify, publish, answer. What routes and the front have in common."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus

from fastapi import Response
from prometheus_client import Counter, Histogram
from starlette.types import Receive, Scope

from services.chassis.accounts import Account
from services.chassis.faults import is_transient
from services.chassis.logging import bind, log
from services.chassis.problems import Problem, unavailable
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
    406: "forged",
    404: "unknown_account",
    408: "too_slow",
    413: "too_large",
    429: "limited",
    503: "unavailable",
}
_LARGE_BYTES = 262_144
"""A larger body is verified beside the event loop."""
_ANSWERS = {row.name: Response(row.answer, 200, media_type=row.answer_type) for row in PROVIDERS.values()}


@contextmanager
def counted(provider: str) -> Iterator[None]:
    """Count and time a request; a refusal by its reason."""
    received, seconds, _ = _counters(provider)
    received.inc()
    started = time.monotonic()
    try:
        yield
    except Problem as problem:
        metrics.REFUSED.labels(provider, _REASONS.get(problem.status, "invalid")).inc()
        raise
    finally:
        seconds.observe(time.monotonic() - started)


@cache
def _counters(provider: str) -> tuple[Counter, Histogram, Counter]:
    """Return what every request moves: received, seconds, quarantined. To find them by label takes longer."""
    return (
        metrics.RECEIVED.labels(provider),
        metrics.SECONDS.labels(provider),
        metrics.QUARANTINED.labels(provider),
    )


async def published(provider: str, arrival: Arrival, publish: Callable[[], Awaitable[Taken]]) -> Taken:
    """Publish and count; 503 when Kafka or the blob store is down, so that the sender tries again."""
    # a request has a context of its own, so nothing is bound for longer than it lasts
    bind(correlation=str(arrival.correlation), provider=provider, account=arrival.account.account)
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
    _, _, quarantined = _counters(provider)
    quarantined.inc(taken.published["webhooks.quarantine"])
    return taken


async def take(
    row: Provider, account: Account, scope: Scope, receive: Receive, intake: Intake, settings: IngestSettings
) -> Response:
    """Return the provider's answer once the webhook is in Kafka.

    Raises Problem when it is forged, too large or too slow, or when Kafka is away.
    """
    arrival = intake.arrival(account)
    headers = header_fields(scope)
    if row.proven_by_headers and not row.verify(as_received(scope, headers, b"", settings), account):
        raise _forged(row)
    body = await read_body(headers, receive, row.limit_bytes, settings.body_timeout_seconds)
    webhook = as_received(scope, headers, body, settings)
    if not await (
        _proven(row, webhook, arrival, intake) if row.needs_proofs else _verified(row, webhook, account)
    ):
        raise _forged(row)
    await published(row.name, arrival, lambda: intake.take(row, webhook, arrival))
    return _ANSWERS[row.name]


async def _verified(row: Provider, webhook: Webhook, account: Account) -> bool:
    if len(webhook.body) < _LARGE_BYTES:
        return row.verify(webhook, account)
    return await asyncio.to_thread(row.verify, webhook, account)


async def _proven(row: Provider, webhook: Webhook, arrival: Arrival, intake: Intake) -> bool:
    """Verify with what the request alone does not hold; 503 when that cannot be had now."""
    proofs, account = intake.proofs, arrival.account
    if proofs is None:
        return False
    try:
        webhook = await proofs.with_certificate(row, webhook, account)
        if not await _verified(row, webhook, account):
            return False
        if not await proofs.admits(row, webhook, account, arrival.received_at):
            return False
        await proofs.confirm(row, webhook)
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("webhook_not_proven", provider=row.name, error=type(error).__name__)
        raise unavailable("what the request is checked with") from error
    return True


def header_fields(scope: Scope) -> dict[str, str]:
    """Return the request's headers, of a repeated one the first; ASGI gives names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def as_received(scope: Scope, headers: Mapping[str, str], body: bytes, settings: IngestSettings) -> Webhook:
    """Return the request as its signature covers it."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return Webhook(
        method=scope["method"],
        path=raw_path.partition(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
        public_url=settings.public_url,
    )


def _forged(row: Provider) -> Problem:
    title = HTTPStatus(row.forged_status).phrase
    headers = {"WWW-Authenticate": row.challenge} if row.proven_by_headers else {}
    detail = "the request does not carry the signature or token of this account"
    return Problem(row.forged_status, title, detail, headers={**headers, "Connection": "close"})
