"""What many waiting messages and a long day do: the rate under a backlog, and memory.

The steady rate is that of a short queue which is never empty. The backlog is there at once. The soak runs
at half the steady rate; what each process holds in its last fifth is compared with its second fifth.
"""

import asyncio
from collections.abc import Sequence
from statistics import median
from time import monotonic

from tests.bench.figures import Figure, Pair, at_least, at_most, compared
from tests.bench.processes import resident_megabytes
from tests.bench.setup import Setup
from tests.bench.sides import GRANTED, ON_TIMELINE, Side, pipeline

PEOPLE = 1000
QUEUE = 1000
"""Messages under way at a time for the steady rate: two batches."""
_LOOKS = 50


async def run(setup: Setup) -> list[Figure]:
    """Return the drain of a backlog against the steady rate, and the growth of memory."""
    waiting = setup.sized(smoke=200, small=3_000, full=200_000)
    steady = setup.sized(smoke=200, small=1_500, full=20_000)
    soak_seconds = setup.sized(smoke=5.0, small=30.0, full=600.0)
    async with pipeline(setup, agents=2) as (side, _):
        people = range(min(PEOPLE, waiting))
        await side.rate(side.messages(people), GRANTED)
        before = await _steady(side, steady)
        drained = await side.rate(side.messages([one % PEOPLE for one in range(waiting)]), ON_TIMELINE)
        after = await _steady(side, steady)
        grown = await _soak(side, soak_seconds, per_second=after / 2)
    name = f"drain of {waiting:,} messages"
    pairs = [Pair(drained, median((before, after)))]
    figures = [compared(name, "messages/s", pairs, control="short queue", target=at_least(0.9))]
    limit = at_most(1.1)
    soak = f"memory over {soak_seconds:.0f} s"
    return figures + [
        Figure(f"{soak}: {process}", growth, "x", target=limit) for process, growth in grown.items()
    ]


async def _steady(side: Side, count: int) -> float:
    """Return messages/s with never more than a short queue, and never an empty one."""
    already, sent = side.watch.seen(ON_TIMELINE), 0
    began = monotonic()
    while sent < count:
        some = [(sent + one) % PEOPLE for one in range(min(QUEUE // 2, count - sent))]
        await side.sender.send(side.topic, side.messages(some))
        sent += len(some)
        await side.watch.until(ON_TIMELINE, already + sent - QUEUE // 2)
    return count / (await side.watch.until(ON_TIMELINE, already + count) - began)


async def _soak(side: Side, seconds: float, per_second: float) -> dict[str, float]:
    """Return the growth of each process' memory; raises TimeoutError when messages do not come through."""
    already, sent, began = side.watch.seen(ON_TIMELINE), 0, monotonic()
    held: dict[str, list[float]] = {name: [] for name in side.pids}
    for look in range(1, _LOOKS + 1):
        due = int(per_second * seconds * look / _LOOKS)
        await side.sender.send(side.topic, side.messages([one % PEOPLE for one in range(sent, due)]))
        sent = due
        await asyncio.sleep(max(0.0, began + seconds * look / _LOOKS - monotonic()))
        for name, pid in side.pids.items():
            held[name].append(resident_megabytes(pid))
    await side.watch.until(ON_TIMELINE, already + sent)
    return {name: _growth(looks) for name, looks in held.items()}


def _growth(looks: Sequence[float]) -> float:
    fifth = len(looks) // 5
    return median(looks[-fifth:]) / median(looks[fifth : 2 * fifth])
