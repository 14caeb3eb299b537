"""When to stop asking somebody who does not answer."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAILURES_TO_OPEN = 5
PAUSE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Opens after so many failures in a row; after a pause one question tries whether it is over."""

    failures: int = 0
    opened_at: datetime | None = None

    def room(self, most: int, now: datetime) -> int:
        """Return how many questions may be asked at once now."""
        if self.opened_at is None:
            return most
        return 1 if now >= self.opened_at + PAUSE else 0

    def after(self, now: datetime, *, failed: bool) -> "Breaker":
        """Return it after a question."""
        if not failed:
            return Breaker()
        failures = self.failures + 1
        return replace(
            self, failures=failures, opened_at=now if failures >= FAILURES_TO_OPEN else self.opened_at
        )
