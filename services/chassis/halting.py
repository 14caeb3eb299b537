"""When a consumer stops itself instead of dead-lettering everything."""

from collections import deque
from collections.abc import Iterable
from typing import Self

WINDOW = 100
LEAST_FAILURES = 20
LEAST_KEYS = 10
SUSPICIOUS_SHARE = 0.25


class HaltRule:
    """At least 20 failures, of 10 Customers or Agents, and more than half of the last 100 outcomes.

    One poisonous Customer, or a few bad records, never meet it; a bad deploy does at once.
    """

    def __init__(self, last: Iterable[tuple[bool, object]] = ()) -> None:
        self._last = deque(last, WINDOW)

    def trips(self, outcomes: Iterable[tuple[bool, object]]) -> bool:
        """Take in `(failed, whose)` of a batch's records and return whether any point of it was met."""
        tripped = False
        for outcome in outcomes:
            self._last.append(outcome)
            tripped = tripped or (outcome[0] and self._met())
        return tripped

    @property
    def suspicious(self) -> bool:
        """Whether so many of the last outcomes are failures that the rule may soon be met."""
        return sum(failed for failed, _ in self._last) > len(self._last) * SUSPICIOUS_SHARE

    def copy(self) -> Self:
        """Return a rule that has seen the same."""
        return type(self)(self._last)

    def _met(self) -> bool:
        failed = [whose for is_failure, whose in self._last if is_failure]
        return (
            len(failed) >= LEAST_FAILURES
            and len(set(failed)) >= LEAST_KEYS
            and len(failed) > len(self._last) / 2
        )
