"""Posts status webhooks back to the stack, as a provider does: later, signed, over real HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from httpx import codes

from services.chassis.logging import log

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
"""Posts headers and a body to a URL and returns the HTTP status; raises OSError when nobody answers."""

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Callback:
    """One webhook. `retries` is how often the provider tries again after anything but a 2xx."""

    provider: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    retries: int = 0


class Callbacks:
    """Delivers webhooks in the background, those of one message one after another.

    A URL below `public_url` is reached at `local_url`, since nothing outside this machine is ever
    called; any other URL is refused.
    """

    def __init__(self, post: Post, *, public_url: str, local_url: str, pause: float = 0.05) -> None:
        self._post = post
        self._public = public_url.rstrip("/")
        self._local = local_url.rstrip("/")
        self._pause = pause
        self._running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def public_url(self) -> str:
        """Base of the URLs that signatures cover."""
        return self._public

    def schedule(self, callbacks: Sequence[Callback]) -> None:
        """Deliver `callbacks` in this order, a pause before each."""
        task = asyncio.create_task(self._deliver(callbacks))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settled(self) -> None:
        """Wait until all that was scheduled is delivered or given up."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def stop(self) -> None:
        """Give up what is not delivered yet."""
        for task in self._running:
            task.cancel()
        await self.settled()

    async def _deliver(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            await asyncio.sleep(self._pause)
            async with self._room:
                await self._try(callback)

    async def _try(self, callback: Callback) -> None:
        url = self._reachable(callback.url)
        if url is None:
            log.warning("callback_refused", provider=callback.provider, reason="not below PUBLIC_URL")
            return
        for attempt in range(callback.retries + 1):
            if attempt:
                await asyncio.sleep(self._pause * 2**attempt)
            status = await self._status(url, callback)
            if status is not None and codes.is_success(status):
                return
        log.warning("callback_given_up", provider=callback.provider, status=status)

    async def _status(self, url: str, callback: Callback) -> int | None:
        try:
            return await self._post(url, callback.headers, callback.body)
        except OSError:
            return None

    def _reachable(self, url: str) -> str | None:
        base, rest = url[: len(self._public)], url[len(self._public) :]
        return self._local + rest if base == self._public and rest.startswith("/") else None
