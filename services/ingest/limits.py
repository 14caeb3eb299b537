"""How often the public may call: a token bucket a caller, in this replica's memory."""

from collections import OrderedDict

_MOST_CALLERS = 50_000


class RateLimit:
    """Lets each caller through `burst` times at once, then `per_minute` times a minute."""

    def __init__(self, burst: int, per_minute: float) -> None:
        self._burst = burst
        self._per_second = per_minute / 60
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, caller: str, now: float) -> float:
        """Take one token of `caller` at `now` (monotonic seconds); return 0, or how long to wait for one."""
        left, since = self._callers.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + max(0.0, now - since) * self._per_second)
        allowed = left >= 1
        self._callers[caller] = (left - 1 if allowed else left, now)
        if len(self._callers) > _MOST_CALLERS:
            self._callers.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second
