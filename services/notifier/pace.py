"""How often an account is used: a token bucket in this replica's memory."""

import asyncio
from collections.abc import Callable

from services.chassis.accounts import Account
from services.notifier.channels.sending import RateLimit

_WHOLE = 1 - 1e-9
"""A token, but for rounding."""


def limit_of(account: Account, default: RateLimit | None) -> RateLimit | None:
    """Return the account's own limit, what it leaves open being the provider's; None: any number."""
    per_second = account.rate_per_second or (default.per_second if default else None)
    if per_second is None:
        return None
    given = default.burst if default and account.rate_per_second is None else max(1, round(per_second))
    return RateLimit(per_second, account.burst or given)


class Bucket:
    """Holds as many tokens as may be used at once, and gets more all the time."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._tokens, self._at = float(limit.burst), float("-inf")

    def wait_seconds(self, now: float) -> float:
        """Return after how long there is a token; 0 when there is one. `now`: monotonic seconds."""
        return self._missing(now) / self._limit.per_second

    def take(self, now: float) -> None:
        """Take a token."""
        self._missing(now)
        self._tokens -= 1

    def _missing(self, now: float) -> float:
        if now > self._at:
            gained = (now - self._at) * self._limit.per_second
            self._tokens, self._at = min(self._limit.burst, self._tokens + gained), now
        return max(0.0, 1 - self._tokens) if self._tokens < _WHOLE else 0.0


class Pace:
    """Lets one account's requests through."""

    def __init__(self, limit: RateLimit | None, on_turn: Callable[[], None]) -> None:
        """`on_turn` is called when a request may be made that could not be made before."""
        self.limit = limit
        self._bucket = Bucket(limit) if limit else None
        self._on_turn = on_turn
        self._timer: asyncio.TimerHandle | None = None

    def may_ask(self) -> bool:
        """Return whether a request may be made now."""
        if self._bucket is None:
            return True
        loop = asyncio.get_running_loop()
        wait = self._bucket.wait_seconds(loop.time())
        if wait:
            self.close()
            self._timer = loop.call_later(wait, self._on_turn)
        return not wait

    def ask(self) -> None:
        """A request is made now."""
        if self._bucket is not None:
            self._bucket.take(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
