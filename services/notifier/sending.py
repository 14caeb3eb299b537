"""Requests to providers: a worker for each account, so that a slow one holds up its own account alone."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol
from uuid import uuid4

import httpx

from schemas.common import DeliveryStatus
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.chassis.clock import Clock, utc_now
from services.chassis.faults import is_transient
from services.chassis.logging import log
from services.chassis.loops import every
from services.notifier import metrics
from services.notifier.channels import Means, Refused, Retry, Sent, Unknown
from services.notifier.channels import Send as Request
from services.notifier.channels.sending import Files, NoFiles
from services.notifier.consents import Forbids, nobody_opted_out
from services.notifier.domain import Evidence, RetryRules, Send, finish, postpone, source_of
from services.notifier.handlers import Sends
from services.notifier.settings import NotifierSettings

_SAVE_PAUSE = 0.5
Decision = Callable[[Send], Send]


class Claims(Protocol):
    """Gives messages out to be sent, each to one worker."""

    async def claim(self, source: str, claim: str, lease: timedelta) -> Send | None:
        """Claim the account's message that is due and first of its lane; None when there is none."""

    async def release(self, source: str, claim: str) -> None:
        """Give back what was claimed under this name, for no request was made."""

    async def due(self) -> list[str]:
        """Return the accounts that have a message to claim now, another replica's among them."""


@dataclass
class Sending:
    """Sends what waits, at most `sends_at_once` requests at a time to an account."""

    sends: Sends
    claims: Claims
    client: httpx.AsyncClient
    accounts: Iterable[Account]
    request: Callable[[str], Request | None]
    settings: NotifierSettings
    clock: Clock = utc_now
    spread: Callable[[], float] = random.random
    files: Files = field(default_factory=NoFiles)
    forbids: Forbids = nobody_opted_out
    """Asked just before each request."""
    _wakes: dict[str, asyncio.Event] = field(default_factory=dict)
    _resting: dict[str, datetime] = field(default_factory=dict)
    """Until when an account whose provider takes nothing from it is left alone, by this replica."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._accounts = {
            source_of(account.provider, account.account): account
            for account in self.accounts
            if self.request(account.provider) is not None
        }
        for account in self._accounts.values():
            metrics.UNKNOWN.labels(account.provider)  # a counter that is born at 1 shows no increase
        self._rules = RetryRules(
            timedelta(seconds=self.settings.retry_first_seconds),
            timedelta(seconds=self.settings.retry_most_seconds),
            timedelta(seconds=self.settings.retry_limit_seconds),
        )

    # --- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until cancelled; then claim nothing more, and wait for the requests that are out."""
        self._stopping.clear()
        workers = {
            asyncio.create_task(self._work(source), name=f"send {source}") for source in self._accounts
        }
        looking = asyncio.create_task(every(self.settings.send_poll_seconds, self._look, "sends due"))
        try:
            await self._stopping.wait()
        finally:
            self._stopping.set()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            self.wake(self._accounts)
            if workers:
                _, late = await asyncio.wait(workers, timeout=self.settings.drain_timeout_seconds)
                for worker in late:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _look(self) -> None:
        """Wake the workers that have something to do: one query, however many accounts there are."""
        self.wake(source for source in await self.claims.due() if source in self._accounts)

    def wake(self, sources: Iterable[str]) -> None:
        """Let these accounts be worked at once instead of after the next look."""
        for source in sources:
            self._wake(source).set()

    def _wake(self, source: str) -> asyncio.Event:
        return self._wakes.setdefault(source, asyncio.Event())

    async def _work(self, source: str) -> None:
        out: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping.is_set():
                self._wake(source).clear()
                while len(out) < self.settings.sends_at_once and self._may_claim(source):
                    claimed = await self._claim(source)
                    if claimed is None:
                        break
                    task = asyncio.create_task(self.send(claimed))
                    out.add(task)
                    task.add_done_callback(out.discard)
                    task.add_done_callback(lambda _: self.wake([source]))
                await self._wake(source).wait()
            if out:
                await asyncio.wait(out)
        finally:
            for task in out:
                task.cancel()
            await asyncio.gather(*out, return_exceptions=True)

    def _may_claim(self, source: str) -> bool:
        """The regular look wakes an account again after its rest, since what waits is still due."""
        rests = source in self._resting and self.clock() < self._resting[source]
        return not rests and not self._stopping.is_set()

    async def _claim(self, source: str) -> Send | None:
        claim = str(uuid4())
        try:
            return await self.claims.claim(source, claim, timedelta(seconds=self.settings.send_lease_seconds))
        except Exception as error:  # noqa: BLE001  (a worker outlives any failure)
            log.warning("claim_failed", account=source, error=type(error).__name__)
        # the claim may have been made though its answer was lost
        while not self._stopping.is_set():
            try:
                await self.claims.release(source, claim)
            except Exception as error:  # noqa: BLE001  (as above)
                log.warning("claim_release_failed", account=source, error=type(error).__name__)
                await asyncio.sleep(_SAVE_PAUSE)
            else:
                return None
        return None

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
        account, request = self._accounts[claimed.source], self.request(claimed.provider)
        assert request is not None  # noqa: S101  (only such accounts have workers)
        started = time.monotonic()
        outcome = await self._outcome(claimed, account, request)
        metrics.SEND_SECONDS.labels(claimed.provider).observe(time.monotonic() - started)
        return self._decision(claimed, outcome)

    async def _outcome(
        self, claimed: Send, account: Account, request: Request
    ) -> Sent | Refused | Retry | Unknown:
        url = self.settings.public_url.rstrip("/")
        callback = f"{url}/ingest/v1/{claimed.provider}/{claimed.account}"
        try:
            message = MessageSend.model_validate_json(claimed.record or b"")
            if (forbidden := await self._forbidden(account, message)) is not None:
                return forbidden
            async with asyncio.timeout(self.settings.send_timeout_seconds):
                means = Means(self.client, callback, self.files, took=partial(self._took, claimed))
                return await request(means, account, message)
        except (Refused, Retry, Unknown) as outcome:
            return outcome
        except TimeoutError:
            return Unknown(f"no answer within {self.settings.send_timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001  (a sender's bug: the request may have left)
            log.error("send_failed", account=claimed.source, error=type(error).__name__, exc_info=error)
            return Unknown(f"interrupted: {type(error).__name__}")

    async def _took(self, claimed: Send, provider_message_id: str) -> None:
        try:
            await self.sends.note_part(claimed, provider_message_id)
        except Exception as error:  # noqa: BLE001  (the rest of the message matters more)
            log.warning("part_not_noted", account=claimed.source, error=type(error).__name__)

    async def _forbidden(self, account: Account, message: MessageSend) -> Refused | Retry | None:
        try:
            return await self.forbids(account, message)
        except Exception as error:
            if is_transient(error):
                return Retry(None, "consent_unknown")
            raise

    def _decision(self, claimed: Send, outcome: Sent | Refused | Retry | Unknown) -> Decision:
        now, provider = self.clock(), claimed.provider
        log.info(
            "request_made",
            account=claimed.source,
            message=claimed.message_id,
            outcome=type(outcome).__name__.lower(),
            correlation=str(claimed.correlation),
        )
        metrics.SENDS.labels(provider, type(outcome).__name__.lower()).inc()
        if isinstance(outcome, Retry) or (isinstance(outcome, Unknown) and self.sends.deduplicates(provider)):
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
        metrics.RETRIES.labels(claimed.provider).inc()
        code, after, otherwise, spread = "no_answer", None, DeliveryStatus.UNKNOWN, self.spread()
        if isinstance(outcome, Retry):
            code, after, otherwise = outcome.code, outcome.after_seconds, DeliveryStatus.FAILED
            if outcome.whole_account:
                rest = min(after or self.settings.retry_first_seconds, self.settings.retry_most_seconds)
                self._resting[claimed.source] = now + timedelta(seconds=rest)
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
