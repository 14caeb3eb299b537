"""Work that goes on in the background."""

import asyncio
from collections.abc import Awaitable, Callable

from services.chassis import metrics
from services.chassis.faults import is_transient
from services.chassis.logging import log

Round = Callable[[], Awaitable[object]]


def told_to_end() -> bool:
    """Return whether the running task was cancelled, even if it did not notice.

    On Python 3.11 `asyncio.wait_for`, through which the database's client waits, drops a cancellation that
    comes together with its result. A loop that asks here ends all the same.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def every(seconds: float, work: Round, name: str) -> None:
    """Run `work` until cancelled, with pauses; its failures are counted and logged, and end nothing."""
    while not told_to_end():
        try:
            await work()
        except Exception as error:  # noqa: BLE001  (a loop outlives any round)
            metrics.LOOP_FAILURES.labels(name, type(error).__name__).inc()
            log.warning(
                "loop_failed",
                loop=name,
                error=type(error).__name__,
                exc_info=None if is_transient(error) else error,
            )
            await asyncio.sleep(1)
        if not told_to_end():
            await asyncio.sleep(seconds)
