"""Waiting for the router's word on a take or transfer."""

import asyncio
from collections.abc import Callable

from services.chassis.problems import unavailable
from services.conversation.domain.model import Thread
from services.conversation.domain.routed import Assignment
from services.conversation.handlers import Threads

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.005, 0.1, 1.5


async def granted(
    threads: Threads, customer_id: str, wish_of: Callable[[Thread], Assignment], wait_seconds: float
) -> Thread:
    """Return the thread once the wish is granted, and all that follows can be read.

    `wish_of` finds the wish in the thread, and raises the Problem that a refused or forgotten one is.
    Raises Problem 503 when the router says nothing for `wait_seconds`.
    """
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(wait_seconds):
            while True:
                loaded = await threads.store.load([customer_id])
                if wish_of(loaded[customer_id].thread).granted:
                    return await threads.settled(customer_id)
                await asyncio.sleep(pause)
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
    except TimeoutError as error:
        raise unavailable("the router's decision") from error
