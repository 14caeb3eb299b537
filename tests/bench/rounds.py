"""Subject and control by turns, so that whatever else the machine does falls on both."""

import gc
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
Measure = Callable[[], Awaitable[T]]


async def by_turns(rounds: int, *, subject: Measure[T], control: Measure[T]) -> list[tuple[T, T]]:
    """Measure both `rounds` times and return (subject, control) of each round.

    Each round begins with the one the last round ended with: what drifts evenly cancels out.
    """
    measured = []
    for number in range(rounds):
        order = (control, subject) if number % 2 == 0 else (subject, control)
        found = {}
        for measure in order:
            gc.collect()
            found[measure] = await measure()
        measured.append((found[subject], found[control]))
    return measured
