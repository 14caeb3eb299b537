"""How often an account is used: a token bucket in this replica's memory."""

import asyncio
from collections.abc import Callable

from aiolimiter import AsyncLimiter

from services.chassis.accounts import Account
from services.notifier.channels.sending import RateLimit


def limit_of(account: Account, default: RateLimit | None) -> RateLimit | None:
    """Return the account's own limit, what it leaves open being the provider's; None: any number."""
    per_second = account.rate_per_second or (default.per_second if default else None)
    if per_second is None:
        return None
    given = default.burst if default and account.rate_per_second is None else max(1, round(per_second))
    return RateLimit(per_second, account.burst or given)


class Pace:
    """Lets one account's requests through, for one worker."""

    def __init__(self, limit: RateLimit | None, on_turn: Callable[[], None]) -> None:
        """`on_turn` is called when a request may be made that could not be made before."""
        self.limit = limit
        self._bucket = AsyncLimiter(limit.burst, limit.burst / limit.per_second) if limit else None
        self._turn: asyncio.Task[None] | None = None
        self._on_turn = on_turn

    def may_ask(self) -> bool:
        """Return whether a request may be made now."""
        if self._bucket is None:
            return True
        if self._turn is None:
            if self._bucket.has_capacity():
                return True
            self._turn = asyncio.create_task(self._bucket.acquire())
            self._turn.add_done_callback(lambda _: self._on_turn())
        return self._turn.done()

    async def ask(self) -> None:
        """Count the request that is made now, after `may_ask` allowed it."""
        if self._turn is not None and self._turn.done():
            self._turn = None  # it is counted already
        elif self._bucket is not None and self._bucket.has_capacity():
            await self._bucket.acquire()

    def close(self) -> None:
        """Wait for no turn any more."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
