"""Requests to endpoints: a worker for each that has something due, so a slow one holds up itself alone."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from schemas.hooks import PauseReason
from services.chassis.clock import Clock, utc_now
from services.chassis.faults import is_transient
from services.chassis.logging import log
from services.chassis.loops import told_to_end
from services.notifier import metrics
from services.notifier.webhooks import rules
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.requests import NotMadeError
from services.notifier.webhooks.rules import Answer, Endpoint, Post, PostState, RetryRules

_SAVE_PAUSE = 0.5
MOST_TRIES = 20
Request = Callable[[Endpoint, Post], Awaitable[Answer]]


@dataclass
class Posting:
    """Sends what is due, at most `at_once` requests at a time to an endpoint, per replica."""

    endpoints: Endpoints
    posts: Posts
    request: Request
    retry: RetryRules
    at_once: int
    lease: timedelta
    poll_seconds: float
    drain_seconds: float
    clock: Clock = utc_now
    spread: Callable[[], float] = random.random
    _workers: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False

    def __post_init__(self) -> None:
        for outcome in ("delivered", "retry", "given_up"):
            metrics.WEBHOOK_POSTS.labels(outcome)  # a counter that is born at 1 shows no increase

    def wake(self) -> None:
        """Look for something to do at once instead of after the next pause."""
        self._woken.set()

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until cancelled; then claim nothing more, and wait for the requests that are out."""
        self._stopping = False
        try:
            while not told_to_end():
                self._woken.clear()
                try:
                    await self.look()
                except Exception as error:  # noqa: BLE001  (the loop outlives any failure)
                    log.warning("webhooks_not_looked_for", error=type(error).__name__)
                if told_to_end():
                    break
                try:
                    async with asyncio.timeout(self.poll_seconds):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            self._stopping = True
            workers = list(self._workers.values())
            if workers:
                _, late = await asyncio.wait(workers, timeout=self.drain_seconds)
                for worker in late:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def look(self) -> None:
        """Start a worker for each endpoint that has something due and has none."""
        now = self.clock()
        ready = [
            endpoint.id
            for endpoint in await self.endpoints.all()
            if endpoint.may_post(now) and endpoint.id not in self._workers
        ]
        for endpoint_id in await self.posts.due(ready):
            worker = asyncio.create_task(self._work(endpoint_id), name=f"webhook {endpoint_id}")
            self._workers[endpoint_id] = worker
            worker.add_done_callback(lambda _, name=endpoint_id: self._workers.pop(name))  # type: ignore[misc]

    async def _work(self, endpoint_id: str) -> None:
        """Send until nothing of the endpoint is due, or it must rest."""
        out: set[asyncio.Task[None]] = set()
        try:
            try:
                await self._send_due(endpoint_id, out)
            except Exception as error:  # noqa: BLE001  (the next look starts another worker)
                log.warning("webhook_worker_ended", webhook=endpoint_id, error=type(error).__name__)
            if out:
                await asyncio.wait(out)
        finally:
            for task in out:
                task.cancel()
            await asyncio.gather(*out, return_exceptions=True)

    async def _send_due(self, endpoint_id: str, out: set[asyncio.Task[None]]) -> None:
        """Keep requests out, as many as the endpoint may have; those that are out stand in `out`."""
        while not self._stopping:
            endpoint = await self.endpoints.get(endpoint_id)
            if endpoint is None or not endpoint.may_post(self.clock()):
                return
            room = len(out) < endpoint.at_once(self.at_once)
            claimed = await self._claim(endpoint_id) if room else None
            if claimed is not None:
                task = asyncio.create_task(self.send(endpoint, *claimed))
                out.add(task)
                task.add_done_callback(out.discard)
            elif out:
                # with room left, what becomes due meanwhile does not wait for what is out
                pause = self.poll_seconds if room else None
                await asyncio.wait(out, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def _claim(self, endpoint_id: str) -> tuple[Post, str] | None:
        claim = str(uuid4())
        try:
            post = await self.posts.claim(endpoint_id, claim, self.lease)
        except Exception:
            # the claim may have been made though its answer was lost; else its lease ends it
            await self.posts.release(endpoint_id, claim)
            raise
        return (post, claim) if post else None

    # --- one request --------------------------------------------------------------------------------

    async def send(self, endpoint: Endpoint, post: Post, claim: str) -> None:
        """Make the one request for a claimed post, and save what became of it."""
        until = time.monotonic() + self.lease.total_seconds()
        began = self.clock()
        try:
            answer = await self.request(endpoint, post)
        except NotMadeError:
            await self.posts.release(endpoint.id, claim)
            return
        except Exception as error:  # noqa: BLE001  (a bug of ours: the endpoint must not be asked without end)
            log.error("webhook_failed", webhook=endpoint.id, error=type(error).__name__, exc_info=error)
            answer = Answer(error="internal")
        while True:
            try:
                await self.conclude(endpoint, post, claim, answer, began)
            except Exception as error:  # noqa: BLE001  (the outcome is known only here: keep it)
                lasting = not is_transient(error)
                log.warning(
                    "webhook_outcome_not_saved",
                    webhook=endpoint.id,
                    error=type(error).__name__,
                    exc_info=error if lasting else None,
                )
                if lasting or self._stopping or time.monotonic() > until:
                    return  # its lease runs out: it is sent again under the same id
                await asyncio.sleep(_SAVE_PAUSE)
            else:
                return

    async def conclude(
        self, endpoint: Endpoint, post: Post, claim: str, answer: Answer, began: datetime
    ) -> None:
        """Save what became of a post, then of its endpoint, and let the next of its lane go."""
        now = self.clock()
        after = rules.after_attempt(
            post, endpoint, answer, self.retry, began=began, now=now, spread=self.spread()
        )
        if not await self.posts.save(after, claim):
            return  # the claim ran out: whoever has it now says what becomes of it
        outcome = "retry" if after.state is PostState.WAITING else after.state.value
        metrics.WEBHOOK_POSTS.labels(outcome).inc()
        log.info(
            "webhook_posted",
            webhook=endpoint.id,
            id=post.event,
            type=post.type,
            outcome=outcome,
            status=answer.status,
            error=answer.error,
            attempts=after.attempts,
        )
        if answer.accepted:
            await self._succeeded(endpoint, answer, now)
        else:
            await self._failed(endpoint, answer, now)
        if after.state is not PostState.WAITING:
            await self.posts.settle([(post.id, post.lane)])

    async def _succeeded(self, endpoint: Endpoint, answer: Answer, now: datetime) -> None:
        if not endpoint.failures:
            return
        await self.endpoints.succeeded(endpoint.id, answer, now)
        if endpoint.failures >= rules.TRIPPED:  # it was away and is back: what waits need not wait
            await self.posts.hasten(endpoint.id, anew=False)

    async def _failed(self, endpoint: Endpoint, answer: Answer, now: datetime) -> None:
        rest = rules.rest(endpoint.failures + 1, answer)
        known = await self.endpoints.failed(endpoint.id, answer, now, rest)
        for _ in range(MOST_TRIES):
            reason = rules.pause_reason(known, answer, now, self.retry) if known else None
            if known is None or reason is None or known.state is rules.EndpointState.PAUSED:
                return
            if await self.endpoints.save(known, rules.paused(known, reason, now)):
                await self._say(known, reason)
                return
            known = await self.endpoints.get(endpoint.id)

    async def _say(self, endpoint: Endpoint, reason: PauseReason) -> None:
        log.warning(
            "webhook_paused",
            webhook=endpoint.id,
            reason=reason.value,
            failures=endpoint.failures,
            status=endpoint.last_status,
            error=endpoint.last_error,
        )
        await self.endpoints.drain([endpoint.id])

    # --- what a crash leaves ------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Do what somebody who is gone left undone."""
        before = self.clock() - timedelta(seconds=self.poll_seconds * 4)
        await self.posts.recover()
        await self.posts.settle(await self.posts.unsettled(before))
        await self.endpoints.drain_left(before)
        # stored by a batch in flight while their subscription was deleted
        for endpoint_id in await self.posts.orphans([each.id for each in await self.endpoints.all()]):
            if await self.endpoints.get(endpoint_id) is None:  # not one made just now
                await self.posts.purge(endpoint_id)
