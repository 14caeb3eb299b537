"""A background loop goes on whatever a round does, and ends when it is cancelled."""

import asyncio
from contextlib import suppress

import pytest

from services.chassis.loops import every


async def test_a_round_that_fails_ends_nothing() -> None:
    rounds = asyncio.Queue[int]()

    async def work() -> None:
        rounds.put_nowait(1)
        if rounds.qsize() == 1:
            raise LookupError

    loop = asyncio.create_task(every(0, work, "test"))
    async with asyncio.timeout(5):
        while rounds.qsize() < 2:
            await asyncio.sleep(0.01)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


@pytest.mark.parametrize("pause", [0, 3600])
async def test_a_cancellation_that_a_round_swallows_ends_the_loop_without_another_pause(pause: float) -> None:
    """As `asyncio.wait_for` of Python 3.11 swallows one that comes with its result."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    loop = asyncio.create_task(every(pause, work, "test"))
    await begun.wait()
    loop.cancel()
    async with asyncio.timeout(5):
        await loop
