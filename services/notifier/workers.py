"""A worker for each account, so that a slow one holds up its own account alone."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from functools import partial
from typing import Protocol
from uuid import uuid4

from services.chassis.clock import Clock
from services.chassis.logging import log
from services.chassis.loops import every
from services.notifier.domain import Send
from services.notifier.settings import NotifierSettings
from services.notifier.standing import Standing
from services.notifier.standings import Standings

_RELEASE_PAUSE = 0.5


class Claims(Protocol):
    """Gives messages out to be sent, each to one worker."""

    async def claim(self, source: str, claim: str, lease: timedelta) -> Send | None:
        """Claim the account's message that is due and first of its lane; None when there is none."""

    async def release(self, source: str, claim: str) -> None:
        """Give back what was claimed under this name, for no request was made."""

    async def due(self) -> list[str]:
        """Return the accounts that have a message to claim now, another replica's among them."""


class Workers:
    """Claim what is due of each account and have it sent, `sends_at_once` of an account at a time."""

    def __init__(
        self,
        claims: Claims,
        standings: Standings,
        send: Callable[[Send], Coroutine[None, None, None]],
        settings: NotifierSettings,
        clock: Clock,
    ) -> None:
        self._claims, self._standings, self._send = claims, standings, send
        self._settings, self._clock = settings, clock
        self._wakes: dict[str, asyncio.Event] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._running = False

    async def run(self) -> None:
        """Send until cancelled; then claim nothing more, and wait for the requests that are out."""
        self._stopping.clear()
        self._running = True
        self.staff()
        looking = asyncio.create_task(every(self._settings.send_poll_seconds, self._look, "sends due"))
        try:
            await self._stopping.wait()
        finally:
            self._running = False
            self._stopping.set()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            workers = list(self._workers.values())
            self.wake(self._workers)
            if workers:
                _, late = await asyncio.wait(workers, timeout=self._settings.drain_timeout_seconds)
                for worker in late:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
            self._standings.close()

    def staff(self) -> None:
        """See that each account has a worker; one that was taken away ends its worker itself."""
        for source in self._standings if self._running else ():
            if source not in self._workers:
                worker = asyncio.create_task(self._work(source), name=f"send {source}")
                self._workers[source] = worker
                worker.add_done_callback(partial(self._left, source))

    def _left(self, source: str, _: asyncio.Task[None]) -> None:
        """A worker has ended; its account may be back already."""
        del self._workers[source]
        self.staff()

    async def _look(self) -> None:
        """Wake the workers that have something to do: one query, however many accounts there are."""
        self.wake(source for source in await self._claims.due() if source in self._standings)

    def wake(self, sources: Iterable[str]) -> None:
        """Let these accounts be worked at once instead of after the next look."""
        for source in sources:
            self._wake(source).set()

    def _wake(self, source: str) -> asyncio.Event:
        return self._wakes.setdefault(source, asyncio.Event())

    async def _work(self, source: str) -> None:
        out: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping.is_set() and source in self._standings:
                self._wake(source).clear()
                while standing := self._free(source, len(out)):
                    claimed = await self._claim(source)
                    if claimed is None:
                        break
                    if not standing.may_ask(self._clock(), len(out)) and await self._released(claimed):
                        break  # it came to rest or was paused meanwhile
                    standing.ask(claimed.message_id)
                    task = asyncio.create_task(self._send(claimed))
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

    def _free(self, source: str, out: int) -> Standing | None:
        """Return the account if one more request may be made, `out` being under way.

        The regular look wakes an account again after its rest or pause, since what waits is still due.
        """
        standing = self._standings.get(source)
        if standing is None or self._stopping.is_set() or out >= self._settings.sends_at_once:
            return None
        return standing if standing.may_ask(self._clock(), out) else None

    async def _claim(self, source: str) -> Send | None:
        claim = str(uuid4())
        try:
            return await self._claims.claim(
                source, claim, timedelta(seconds=self._settings.send_lease_seconds)
            )
        except Exception as error:  # noqa: BLE001  (a worker outlives any failure)
            log.warning("claim_failed", account=source, error=type(error).__name__)
        # the claim may have been made though its answer was lost
        while not self._stopping.is_set():
            if await self._release(source, claim):
                return None
            await asyncio.sleep(_RELEASE_PAUSE)
        return None

    async def _released(self, claimed: Send) -> bool:
        return claimed.claim is not None and await self._release(claimed.source, claimed.claim)

    async def _release(self, source: str, claim: str) -> bool:
        try:
            await self._claims.release(source, claim)
        except Exception as error:  # noqa: BLE001  (as above)
            log.warning("claim_release_failed", account=source, error=type(error).__name__)
            return False
        return True
