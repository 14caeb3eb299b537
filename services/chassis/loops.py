"""Work that goes on in the background."""

import asyncio
from collections.abc import Awaitable, Callable

from services.chassis import metrics
from services.chassis.faults import is_transient
from services.chassis.logging import log

Round = Callable[[], Awaitable[None]]


async def every(seconds: float, work: Round, name: str) -> None:
    """Run `work` for ever with a pause between; its failures are counted and logged, and end nothing."""
    while True:
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
        await asyncio.sleep(seconds)
