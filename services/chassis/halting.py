"""When a consumer stops itself instead of dead-lettering everything."""

from collections import deque
from collections.abc import Iterable

WINDOW = 100
LEAST_FAILURES = 20
LEAST_KEYS = 10


class HaltRule:
    """At least 20 failures, of 10 different keys, and more than half of the last 100 outcomes.

    One poisonous Customer, or a few bad records, never meet it; a bad deploy does at once.
    """

    def __init__(self) -> None:
        self._last: deque[tuple[bool, bytes | None]] = deque(maxlen=WINDOW)

    def trips(self, outcomes: Iterable[tuple[bool, bytes | None]]) -> bool:
        """Take in `(failed, key)` of a batch's records and return whether to halt."""
        self._last.extend(outcomes)
        failed = [key for is_failure, key in self._last if is_failure]
        return (
            len(failed) >= LEAST_FAILURES
            and len(set(failed)) >= LEAST_KEYS
            and len(failed) > len(self._last) / 2
        )
