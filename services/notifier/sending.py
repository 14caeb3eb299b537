"""Requests to providers, and what becomes of the messages they were made for."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from functools import partial

import httpx

from schemas.common import DeliveryStatus
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.chassis.clock import Clock, utc_now
from services.chassis.faults import is_transient
from services.chassis.logging import log
from services.notifier import metrics
from services.notifier.channels import Means, Refused, Retry, Sent, Unknown
from services.notifier.channels import Send as Request
from services.notifier.channels.sending import Files, NoFiles, RateLimit
from services.notifier.consents import Forbids, nobody_opted_out
from services.notifier.domain import Evidence, RetryRules, Send, finish, hold, postpone
from services.notifier.handlers import Sends
from services.notifier.preparing import Preparing, Room
from services.notifier.receiving import NO_REQUEST
from services.notifier.settings import NotifierSettings
from services.notifier.standing import ProbeRules, Standing
from services.notifier.standings import Standings
from services.notifier.workers import Claims, Workers

_SAVE_PAUSE = 0.5
Decision = Callable[[Send], Send]


@dataclass
class Sending:
    """Sends what waits, at most `sends_at_once` requests at a time to an account."""

    sends: Sends
    claims: Claims
    client: httpx.AsyncClient
    accounts: InitVar[Iterable[Account]]
    request: Callable[[str], Request | None]
    settings: NotifierSettings
    clock: Clock = utc_now
    spread: Callable[[], float] = random.random
    files: Files = field(default_factory=NoFiles)
    forbids: Forbids = nobody_opted_out
    """Asked just before each request."""
    limit: Callable[[str], RateLimit | None] = lambda _: None
    """How often the provider of this name may be asked from one account."""

    def __post_init__(self, accounts: Iterable[Account]) -> None:
        self._rules = RetryRules(
            timedelta(seconds=self.settings.retry_first_seconds),
            timedelta(seconds=self.settings.retry_most_seconds),
            timedelta(seconds=self.settings.retry_limit_seconds),
        )
        probes = ProbeRules(
            timedelta(seconds=self.settings.probe_first_seconds),
            timedelta(seconds=self.settings.probe_most_seconds),
        )
        self._room = Room(self.settings.files_at_once_bytes)
        self.standings = Standings(probes, self.limit, self.wake)
        self._workers = Workers(self.claims, self.standings, self.send, self.settings, self.clock)
        self.learn(accounts)

    def learn(self, accounts: Iterable[Account]) -> None:
        """Send from these accounts from now on; requests that are out end as they began."""
        self.standings.learn(account for account in accounts if self._sends_from(account))
        self._workers.staff()

    def _sends_from(self, account: Account) -> bool:
        return account.provider != NO_REQUEST and self.request(account.provider) is not None

    async def run(self) -> None:
        """Send until cancelled; then claim nothing more, and wait for the requests that are out."""
        await self._workers.run()

    def wake(self, sources: Iterable[str]) -> None:
        """Let these accounts be worked at once instead of after the next look."""
        self._workers.wake(sources)

    # --- one message ------------------------------------------------------------------------------

    async def send(self, claimed: Send) -> None:
        """Make the one request for a claimed message, and save what became of it."""
        decide = await self._ask(claimed)
        while True:
            try:
                send = await self.sends.conclude(claimed, decide)
                break
            except Exception as error:  # noqa: BLE001  (the outcome is known only here: keep it)
                if not is_transient(error):
                    log.error("outcome_lost", account=claimed.source, exc_info=error)
                    return
                log.warning("outcome_not_saved", account=claimed.source, error=type(error).__name__)
                await asyncio.sleep(_SAVE_PAUSE)
        try:
            await self.sends.settle([send])
        except Exception as error:  # noqa: BLE001  (the sweeper does it again)
            log.warning(
                "settling_postponed",
                account=claimed.source,
                error=type(error).__name__,
                exc_info=None if is_transient(error) else error,
            )

    async def _ask(self, claimed: Send) -> Decision:
        standing, request = self.standings.get(claimed.source), self.request(claimed.provider)
        if standing is None or request is None:  # it was taken away since the claim
            return self._later(claimed, Retry(None, "no_account"), self.clock())
        started = time.monotonic()
        outcome = await self._outcome(claimed, standing.account, request)
        metrics.SEND_SECONDS.labels(claimed.provider).observe(time.monotonic() - started)
        return self._decision(claimed, standing, outcome)

    async def _outcome(
        self, claimed: Send, account: Account, request: Request
    ) -> Sent | Refused | Retry | Unknown:
        url = self.settings.public_url.rstrip("/")
        callback = f"{url}/ingest/v1/{claimed.provider}/{claimed.account}"
        preparing = self._preparing()
        try:
            message = MessageSend.model_validate_json(claimed.record or b"")
            if (forbidden := await self._forbidden(account, message)) is not None:
                return forbidden
            async with preparing.limited():
                means = Means(self.client, callback, self.files, preparing, partial(self._took, claimed))
                return await request(means, account, message)
        except (Refused, Retry, Unknown) as outcome:
            return outcome
        except TimeoutError:
            if preparing.under_way:
                return Retry(None, "files_timeout")
            return Unknown(f"no answer within {self.settings.send_timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001  (a sender's bug: the request may have left)
            log.error("send_failed", account=claimed.source, error=type(error).__name__, exc_info=error)
            return Unknown(f"interrupted: {type(error).__name__}")

    def _preparing(self) -> Preparing:
        settings = self.settings
        return Preparing(
            self._room,
            settings.files_most_bytes,
            settings.files_timeout_seconds,
            settings.send_timeout_seconds,
        )

    async def _took(self, claimed: Send, provider_message_id: str, part: str) -> None:
        try:
            await self.sends.note_part(claimed, provider_message_id, part)
        except Exception as error:  # noqa: BLE001  (the rest of the message matters more)
            log.warning("part_not_noted", account=claimed.source, error=type(error).__name__)

    async def _forbidden(self, account: Account, message: MessageSend) -> Refused | Retry | None:
        try:
            return await self.forbids(account, message)
        except Exception as error:
            if is_transient(error):
                return Retry(None, "consent_unknown")
            raise

    def _decision(
        self, claimed: Send, standing: Standing, outcome: Sent | Refused | Retry | Unknown
    ) -> Decision:
        now, provider = self.clock(), claimed.provider
        held = self.standings.learn_from(outcome, claimed.message_id, standing, now)
        name = "held" if held else type(outcome).__name__.lower()
        log.info(
            "request_made",
            account=claimed.source,
            message=claimed.message_id,
            outcome=name,
            correlation=str(claimed.correlation),
        )
        metrics.SENDS.labels(provider, name).inc()
        if held and isinstance(outcome, Refused):
            code = outcome.code
            return lambda send: hold(send, now, self._rules, claim=claimed.claim, code=code)
        if isinstance(outcome, Retry) and outcome.whole_account:
            rest = outcome.after_seconds or self.settings.retry_first_seconds
            standing.rest(now + timedelta(seconds=min(rest, self.settings.retry_most_seconds)))
        if isinstance(outcome, Retry) or (isinstance(outcome, Unknown) and self.sends.deduplicates(provider)):
            metrics.RETRIES.labels(provider).inc()
            return self._later(claimed, outcome, now)
        if isinstance(outcome, Sent):
            waited = (now - claimed.stored_at).total_seconds()
            metrics.TO_PROVIDER_SECONDS.labels(provider).observe(max(waited, 0))
        if isinstance(outcome, Unknown):
            metrics.UNKNOWN.labels(provider).inc()
        evidence = _evidence(outcome, claimed, now)
        return lambda send: finish(send, evidence)

    def _later(self, claimed: Send, outcome: Retry | Unknown, now: datetime) -> Decision:
        """The same request may be made again: it was not taken, or the provider takes a repeated one once."""
        code, after, otherwise, spread = "no_answer", None, DeliveryStatus.UNKNOWN, self.spread()
        if isinstance(outcome, Retry):
            code, after, otherwise = outcome.code, outcome.after_seconds, DeliveryStatus.FAILED
        return lambda send: postpone(
            send,
            now,
            self._rules,
            claim=claimed.claim,
            code=code,
            after_seconds=after,
            spread=spread,
            otherwise=otherwise,
        )


def _evidence(outcome: Sent | Refused | Unknown, claimed: Send, now: datetime) -> Evidence:
    match outcome:
        case Sent(provider_message_id):
            return Evidence(DeliveryStatus.SENT, now, claimed.cause, provider_message_id)
        case Refused():
            return Evidence(
                DeliveryStatus.FAILED,
                now,
                claimed.cause,
                error_code=outcome.code,
                error_detail=outcome.detail,
                error_kind=outcome.kind,
            )
        case Unknown():
            return Evidence(
                DeliveryStatus.UNKNOWN,
                now,
                claimed.cause,
                error_code="no_answer",
                error_detail=outcome.detail,
            )
