"""How often the public may call: a token bucket a caller, in this replica's memory."""

from collections import OrderedDict

from services.ingest.settings import IngestSettings

_MOST_CALLERS = 50_000


class RateLimit:
    """Lets each caller through `burst` times at once, then `per_minute` times a minute."""

    def __init__(self, burst: int, per_minute: float) -> None:
        self._burst = burst
        self._per_second = per_minute / 60
        self._callers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, caller: str, now: float, tokens: int = 1) -> float:
        """Take tokens of `caller` at `now` (monotonic seconds); return 0, or how long to wait for them.

        More than `burst` are given to whoever has that many.
        """
        tokens = min(tokens, self._burst)
        left, since = self._callers.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + max(0.0, now - since) * self._per_second)
        allowed = left >= tokens
        self._callers[caller] = (left - tokens if allowed else left, now)
        if len(self._callers) > _MOST_CALLERS:
            self._callers.popitem(last=False)
        return 0.0 if allowed else (tokens - left) / self._per_second


class UploadLimits:
    """How many files a visitor may upload, and how many and how large an address: visitors are free."""

    def __init__(self, settings: IngestSettings) -> None:
        self.visitors = RateLimit(settings.webchat_uploads_burst, settings.webchat_uploads_per_minute)
        self.addresses = RateLimit(
            settings.webchat_address_uploads_burst, settings.webchat_address_uploads_per_minute
        )
        self.bytes = RateLimit(
            settings.webchat_address_upload_bytes_burst, settings.webchat_address_upload_bytes_per_minute
        )
