"""The writes of a store, taken down as they are made, and made again without it: their own cost."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.chassis.broker import Outgoing
from services.chassis.mongo import Database
from tests.bench.processes import Cost

Bulk = tuple[str, Sequence[Any], bool]
"""Collection, operations, whether in their order."""


class Unheard:
    """A broker that takes everything at once and keeps nothing."""

    def __init__(self) -> None:
        self.records = 0

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Count the records."""
        self.records += len(batch)


class TakenDown:
    """A database that takes down every bulk write, and makes it."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.bulks: list[Bulk] = []

    def __getitem__(self, name: str) -> "_Collection":
        return _Collection(self._real[name], name, self.bulks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Collection:
    def __init__(self, real: Any, name: str, bulks: list[Bulk]) -> None:
        self._real, self._name, self._bulks = real, name, bulks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def bulk_write(self, operations: Sequence[Any], *, ordered: bool = True, **options: Any) -> Any:
        self._bulks.append((self._name, list(operations), ordered))
        return await self._real.bulk_write(operations, ordered=ordered, **options)


async def again(database: Database, bulks: Sequence[Bulk]) -> None:
    """Make the same writes, as few round trips as they were."""
    for name, operations, ordered in bulks:
        await database[name].bulk_write(list(operations), ordered=ordered)


@dataclass
class Stretch:
    """What a piece of work took, by the clock and of processor time here and in the server."""

    seconds: float = 0.0
    processor: float = 0.0
    bulks: list[Bulk] = field(default_factory=list)


async def measured(work: Callable[[], Awaitable[None]], server: Cost) -> Stretch:
    """Do `work` once and return what it took."""
    server.lap()
    clock, own = time.perf_counter(), time.process_time()
    await work()
    seconds, own = time.perf_counter() - clock, time.process_time() - own
    return Stretch(seconds, own + sum(server.lap().values()))
