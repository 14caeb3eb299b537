"""A pause between empty fetches, for the embedded Kafka alone.

It answers a fetch at once where a broker would wait for records, so an idle consumer would ask
thousands of times a second. Measured: an idle stack took most of a core.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

from aiokafka.consumer.fetcher import Fetcher

PAUSE_SECONDS = 0.02
"""The most it adds to a record's way through one topic."""


def pace_empty_fetches() -> None:
    """Let all consumers of this process pause after a fetch that came back at once with nothing."""
    original = Fetcher._proc_fetch_request  # noqa: SLF001  (aiokafka has no hook between fetches)
    if getattr(original, "paced", False):
        return

    async def paced(self: Any, *args: Any) -> Any:  # noqa: ANN401  (aiokafka's own types)
        started = time.monotonic()
        something = await original(self, *args)
        if not something and time.monotonic() - started < PAUSE_SECONDS:
            with suppress(asyncio.CancelledError):  # as `original` does: a closing client awaits the result
                await asyncio.sleep(PAUSE_SECONDS)
        return something

    paced.paced = True  # type: ignore[attr-defined]
    Fetcher._proc_fetch_request = paced  # noqa: SLF001
