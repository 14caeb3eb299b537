"""The whole way of a message, against a relay by hand with the same hops and writes.

New Customers: from the webhook's record to the Agent who got the Conversation. Returning ones: to the
timeline of the Conversation that is open. All messages are there at once; four processes on each side.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.bench.figures import Figure, Pair, at_least, compared
from tests.bench.processes import Cost, servers
from tests.bench.profiles import profiled
from tests.bench.rounds import by_turns
from tests.bench.setup import Setup
from tests.bench.sides import GRANTED, ON_TIMELINE, Side, both

BOUND = 0.4


async def run(setup: Setup) -> list[Figure]:
    """Return the throughput of both kinds, and what a message costs each process."""
    new = setup.sized(smoke=60, small=500, full=2000)
    returning = setup.sized(smoke=60, small=1500, full=6000)
    rounds = setup.sized(smoke=1, small=3, full=5)
    async with both(setup) as (side, relay):
        figures = await _compare("new Customers, to the grant", rounds, side, relay, _firsts(new))
        people = [number % new for number in range(returning)]  # those of the first round

        async def again(each: Side) -> float:
            return await each.rate(each.messages(people), ON_TIMELINE)

        figures += await _compare("returning Customers, to the timeline", rounds, side, relay, again)
        figures += await _costs("new Customer", setup, side, range(8_000_000, 8_000_000 + new), GRANTED)
        figures += await _costs("returning Customer", setup, side, range(new), ON_TIMELINE)
    return figures


def _firsts(new: int) -> Callable[[Side], Awaitable[float]]:
    """Return a measure that takes other Customers each time."""
    starts: dict[str, int] = {}

    async def first(each: Side) -> float:
        start = starts.get(each.name, 0)
        starts[each.name] = start + new
        return await each.rate(each.messages(range(start, start + new)), GRANTED)

    return first


async def _compare(
    name: str, rounds: int, side: Side, relay: Side, measure: Callable[[Side], Awaitable[float]]
) -> list[Figure]:
    found = await by_turns(rounds, subject=lambda: measure(side), control=lambda: measure(relay))
    pairs = [Pair(subject, control) for subject, control in found]
    return [compared(name, "messages/s", pairs, control="relay by hand", target=at_least(BOUND))]


async def _costs(name: str, setup: Setup, side: Side, people: range, end: str) -> list[Figure]:
    """Return processor time per message of each process, and leave profiles of the services."""
    messages = side.messages(people)
    cost = Cost({**side.pids, **servers()})
    await side.rate(messages, end)
    used = cost.lap()
    async with AsyncExitStack() as stack:
        for service, pid in side.pids.items():
            sampling = profiled(setup.profiles, f"{name.replace(' ', '-')}-{service}", pid)
            await stack.enter_async_context(sampling)
        if end == GRANTED:
            people = range(people.stop, people.stop + len(people))
        await side.rate(side.messages(people), end)
    per = 1000 / len(messages)
    return [
        Figure(f"{name}: {process}", seconds * per, "ms CPU/message") for process, seconds in used.items()
    ]
