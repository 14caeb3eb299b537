"""Takes a webhook: read, verify, publish, answer. What routes and the front have in common."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from http import HTTPStatus

from fastapi import Response
from prometheus_client import Counter, Histogram
from starlette.types import Receive, Scope

from schemas.topics import WEBHOOKS_QUARANTINE
from services.chassis.accounts import Account
from services.chassis.body import read_body
from services.chassis.faults import is_transient
from services.chassis.logging import log
from services.chassis.problems import Problem, unavailable
from services.chassis.time_limit import Limit
from services.ingest import metrics
from services.ingest.channels.registry import PROVIDERS, Provider
from services.ingest.handlers import Intake, Taken
from services.ingest.proofs import examined
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
_ANSWERS = {row.name: Response(row.answer, 200, media_type=row.answer_type) for row in PROVIDERS.values()}


class counted:  # noqa: N801  (reads as the function it stands for; a generator takes three times as long)
    """Count and time a request; a refusal by its reason."""

    __slots__ = ("_provider", "_started")

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        _counters(self._provider)[0].inc()
        self._started = time.monotonic()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        _counters(self._provider)[1].observe(time.monotonic() - self._started)
        if isinstance(error, Problem):
            metrics.REFUSED.labels(self._provider, _REASONS.get(error.status, "invalid")).inc()


@cache
def _counters(provider: str) -> tuple[Counter, Histogram]:
    """Return what every request moves: received, seconds. To find them by label takes longer."""
    return metrics.RECEIVED.labels(provider), metrics.SECONDS.labels(provider)


@cache
def _published(provider: str, topic: str) -> Counter:
    return metrics.PUBLISHED.labels(provider, topic)


async def published(provider: str, arrival: Arrival, publish: Callable[[], Awaitable[Taken]]) -> Taken:
    """Publish and count; 503 when Kafka or the blob store is down, so that the sender tries again."""
    try:
        taken = await publish()
    except Exception as error:
        if not is_transient(error):
            raise
        log.warning("webhook_not_taken", **_about(arrival), error=type(error).__name__)
        raise unavailable("the message log") from error
    # no line when all is well: metrics count webhooks, and each later step's line bears the correlation id
    for topic, number in taken.published.items():
        _published(provider, topic).inc(number)
    if quarantined := taken.published.get(WEBHOOKS_QUARANTINE.name):
        metrics.QUARANTINED.labels(provider).inc(quarantined)
        log.warning("webhook_quarantined", **_about(arrival), items=quarantined)
    return taken


def _about(arrival: Arrival) -> dict[str, str]:
    account = arrival.account
    return {
        "correlation": str(arrival.correlation),
        "provider": account.provider,
        "account": account.account,
    }


class Taking:
    """Takes webhooks, from wherever requests come in."""

    def __init__(self, intake: Intake, settings: IngestSettings) -> None:
        self.intake = intake
        self._public_url = settings.public_url
        self._limit = Limit(settings.body_timeout_seconds)

    async def take(self, row: Provider, account: Account, scope: Scope, receive: Receive) -> Response:
        """Return the provider's answer once the webhook is in Kafka.

        Raises Problem when it is forged, too large or too slow, or when Kafka is away.
        """
        arrival = self.intake.arrival(account)
        headers = HeaderFields(scope)
        if row.proven_by_headers and not row.verify(self.as_received(scope, headers), account):
            raise _forged(row)
        body = await read_body(headers, receive, row.limit_bytes, self._limit)
        webhook = self.as_received(scope, headers, body)
        if not await (self._proven if row.needs_proofs else _verified)(row, webhook, arrival):
            raise _forged(row)
        await published(row.name, arrival, lambda: self.intake.take(row, webhook, arrival))
        if row.answering is None:
            return _ANSWERS[row.name]
        return Response(row.answering(webhook, arrival), 200, media_type=row.answer_type)

    async def _proven(self, row: Provider, webhook: Webhook, arrival: Arrival) -> bool:
        """Verify with what the request alone does not hold; 503 when that cannot be had now."""
        proofs, account = self.intake.proofs, arrival.account
        if proofs is None:
            return False
        try:
            webhook = await proofs.with_certificate(row, webhook, account)
            if not await _verified(row, webhook, arrival):
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

    def as_received(self, scope: Scope, headers: Mapping[str, str], body: bytes = b"") -> Webhook:
        """Return the request as its signature covers it."""
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        return Webhook(
            method=scope["method"],
            path=raw_path.partition(b"?")[0].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=body,
            public_url=self._public_url,
        )


class HeaderFields(Mapping[str, str]):
    """The request's headers, of a repeated one the first; ASGI gives names in lower case.

    They are decoded when they are asked for: of a dozen a webhook's verification needs two.
    """

    def __init__(self, scope: Scope) -> None:
        self._raw: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


async def _verified(row: Provider, webhook: Webhook, arrival: Arrival) -> bool:
    return await examined(webhook, lambda: row.verify(webhook, arrival.account))


def _forged(row: Provider) -> Problem:
    title = HTTPStatus(row.forged_status).phrase
    headers = {"WWW-Authenticate": row.challenge} if row.proven_by_headers else {}
    detail = "the request does not carry the signature or token of this account"
    return Problem(row.forged_status, title, detail, headers={**headers, "Connection": "close"})
