"""What a message costs where there are many Customers, and where their threads are long.

Time per message is measured by turns; beside it stand counts that no other load on the machine moves: what
the services write, read and send for a message. How many documents a server looks at to find one is for its
explain: the tests of the stores ask it whether an index serves each query.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pymongo import MongoClient

from deploy.local.up import SERVICES
from tests.bench.counted import ask, counts_of
from tests.bench.figures import Figure, Pair, at_most, compared
from tests.bench.processes import Cost, servers
from tests.bench.seeds import Seeds, settled
from tests.bench.setup import Setup
from tests.bench.sides import GRANTED, ON_TIMELINE, Side, pipeline
from tests.system.waiting import until

BOUND = 1.1
_WRITES = frozenset({"insert", "update", "delete"})


@dataclass(frozen=True, slots=True)
class Spent:
    """What a message took. Times in milliseconds."""

    time: float
    processor: float
    written: float
    """Statements that write."""
    read: float
    """Documents that came back."""
    kilobytes: float
    """To the database and back."""


UNITS = {
    "time": "ms/message",
    "processor": "ms CPU/message",
    "written": "writes/message",
    "read": "documents/message",
    "kilobytes": "kB/message",
}


async def run(setup: Setup) -> list[Figure]:
    """Return the costs among many Customers and in long threads, each against few and short."""
    few = setup.sized(smoke=20, small=1000, full=1000)
    many = setup.sized(smoke=100, small=5_000, full=100_000)
    messages = setup.sized(smoke=20, small=600, full=3000)
    rounds = setup.sized(smoke=1, small=2, full=4)
    for size in (few, many):
        await _populate(setup, size)
    pairs = [
        (await _spent_among(setup, many, messages, turn), await _spent_among(setup, few, messages, turn))
        for turn in range(rounds)
    ]
    figures = _figures(f"{many:,} Customers", f"{few:,} Customers", pairs)
    long = setup.sized(smoke=100, small=2_000, full=10_000)
    threads = setup.sized(smoke=2, small=5, full=20)
    figures += _figures(
        f"threads of {long:,} items", "10 items", await _threads(setup, few, long, threads, messages, rounds)
    )
    return figures


async def _populate(setup: Setup, size: int) -> None:
    async with _system(setup, size) as side:
        await side.rate(side.messages([0]), GRANTED)
        with MongoClient[dict[str, Any]](setup.mongo) as client:
            await until(lambda: asyncio.to_thread(settled, client, _database(size)))
    with MongoClient[dict[str, Any]](setup.mongo) as client:
        seeds = Seeds(client, _database(size), 0)
        await asyncio.to_thread(seeds.write, range(1, size))


async def _spent_among(setup: Setup, size: int, messages: int, turn: int) -> Spent:
    random = Random(turn)  # noqa: S311 - which Customers write, the same in every run
    whole, rest = divmod(messages, size)
    people = list(range(size)) * whole + random.sample(range(size), rest)
    async with _system(setup, size) as side:
        await side.rate(side.messages(people[: size // 2]), ON_TIMELINE)
        return await _spent(setup, side, people)


async def _threads(
    setup: Setup, size: int, long: int, threads: int, messages: int, rounds: int
) -> list[tuple[Spent, Spent]]:
    shorts, longs = range(threads), range(threads, 2 * threads)
    with MongoClient[dict[str, Any]](setup.mongo) as client:
        seeds = Seeds(client, _database(size), 0)
        for customers, items in ((shorts, 10), (longs, long)):
            for customer in customers:
                await asyncio.to_thread(seeds.lengthen, customer, items)
    pairs = []
    async with _system(setup, size) as side:
        for _ in range(rounds):
            found = [
                await _spent(setup, side, [group[one % threads] for one in range(messages)])
                for group in (longs, shorts)
            ]
            pairs.append((found[0], found[1]))
    return pairs


async def _spent(setup: Setup, side: Side, people: Sequence[int]) -> Spent:
    await _counts(setup, side)
    cost = Cost({**side.pids, **servers()})
    rate = await side.rate(side.messages(people), ON_TIMELINE)
    used = sum(cost.lap().values())
    counts = await _counts(setup, side)
    written = sum(count["statements"] for name, count in counts if name.rpartition(".")[2] in _WRITES)
    read = sum(count.get("documents", 0) for _, count in counts)
    sent = sum(count["bytes"] for _, count in counts)
    each = 1 / len(people)
    return Spent(1000 / rate, 1000 * used * each, written * each, read * each, sent * each / 1000)


async def _counts(setup: Setup, side: Side) -> list[tuple[str, dict[str, int]]]:
    """Return the database commands of all services since the last time."""
    counts: list[tuple[str, dict[str, int]]] = []
    for pid in side.pids.values():
        found = await asyncio.to_thread(ask, pid, counts_of(str(_path(setup)), pid))
        counts += found.items()
    return counts


@asynccontextmanager
async def _system(setup: Setup, size: int) -> AsyncIterator[Side]:
    options = {"COMMAND_COUNTS": str(_path(setup)), "MONGO_DATABASE": _database(size)}
    async with pipeline(
        setup, agents=1, within=dict.fromkeys(SERVICES, "tests.bench.counted"), **options
    ) as (side, _):
        yield side


def _path(setup: Setup) -> Path:
    return setup.directory / "counts-{pid}.json"


def _database(size: int) -> str:
    return f"of{size}"


def _figures(what: str, control: str, pairs: Sequence[tuple[Spent, Spent]]) -> list[Figure]:
    return [
        compared(
            f"{what}: {name}",
            unit,
            [Pair(getattr(subject, name), getattr(beside, name)) for subject, beside in pairs],
            control=control,
            target=at_most(BOUND),
        )
        for name, unit in UNITS.items()
    ]
