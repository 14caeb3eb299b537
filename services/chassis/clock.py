"""Where the time comes from, so that tests can say what time it is."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment, in UTC."""


def utc_now() -> datetime:
    """Return the present moment in UTC, cut to the milliseconds that MongoDB and JSON keep."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
