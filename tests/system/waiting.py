"""Waiting for a condition, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T]],
    enough: Callable[[T], object] = bool,
    *,
    seconds: float = 30.0,
    pause: float = 0.05,
) -> T:
    """Return what `look` gives once it is `enough`; fails, showing the last look, after `seconds`."""
    deadline = monotonic() + seconds
    while True:
        found = await look()
        if enough(found):
            return found
        if monotonic() > deadline:
            raise AssertionError(f"not so after {seconds:g} s; the last look: {found!r}"[:4000])
        await asyncio.sleep(pause)
