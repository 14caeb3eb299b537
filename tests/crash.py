"""Crashes at a chosen step: before and after every write, and between the records of a publish.

A run takes a `Fuse`. `Fuse(n)` burns at the n-th step; `Fuse(None)` never does and counts the steps.
"""

from collections.abc import Sequence
from typing import Any

from services.chassis.broker import Outgoing

_WRITES = frozenset(
    {
        "bulk_write",
        "insert_one",
        "insert_many",
        "update_one",
        "replace_one",
        "find_one_and_update",
        "delete_one",
        "delete_many",
        "update_many",
    }
)


class Crash(BaseException):
    """The process died here; nothing may catch it."""


class Fuse:
    def __init__(self, at: int | None) -> None:
        self.at = at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Crash


class Log:
    """A broker that remembers what was acknowledged, in order."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        self.records: list[Outgoing] = []
        self.fuse = fuse or Fuse(None)

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        for record in batch:
            self.fuse.step()
            self.records.append(record)
        if batch:
            self.fuse.step()


class Database:
    """A database whose writes may crash just before, or just after, they are done."""

    def __init__(self, real: Any, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse

    def __getitem__(self, name: str) -> "Collection":
        return Collection(self._real[name], self._fuse)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Collection:
    def __init__(self, real: Any, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in _WRITES:
            return found

        async def write(*args: Any, **kwargs: Any) -> Any:
            self._fuse.step()
            result = await found(*args, **kwargs)
            self._fuse.step()
            return result

        return write
