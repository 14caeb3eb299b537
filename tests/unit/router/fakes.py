"""A store and a publisher in memory that can fail before or after any of their effects."""

import copy
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from schemas.envelope import Envelope
from schemas.topics import TOPICS
from services.chassis.broker import Outgoing, partition_of
from services.chassis.delivery import Delivery
from services.router.domain.engine import Step
from services.router.domain.pool import Pool
from services.router.domain.views import agent_view, request_view
from services.router.journal import Entry, History, PoolTaken
from services.router.owned import Changes
from tests.unit.router.commands import POOL

PARTITION = partition_of(POOL)


class Crash(BaseException):
    """The process dies here."""


class Fault(ConnectionError):  # noqa: N818  (as the domain says)
    """A dependency is away for a moment."""


class Trouble:
    """Raises at the chosen call, before or after its effect."""

    def __init__(
        self, at: int | None = None, *, after: bool = False, error: type[BaseException] = Crash
    ) -> None:
        self.at, self.after, self.error = at, after, error
        self.calls = 0

    def before(self) -> None:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise self.error

    def done(self) -> None:
        if self.calls == self.at and self.after:
            raise self.error


class World:
    """What survives a crash: the database and the log."""

    def __init__(self) -> None:
        self.journal: dict[tuple[str, int], Entry] = {}
        self.snapshots: dict[str, tuple[int, dict[str, Any]]] = {}
        self.agents: dict[str, Any] = {}
        self.requests: dict[str, Any] = {}
        self.outcomes: dict[str, int] = {}
        self.published: list[Outgoing] = []
        self.broken: set[str] = set()
        """Pools whose journal takes nothing."""

    def records(self) -> list[Envelope]:
        adapters = {topic.name: topic.adapter for topic in TOPICS}
        return [adapters[record.topic].validate_json(record.value) for record in self.published]


class FakeStore:
    """One replica's way to the database."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        self.world, self.trouble = world, trouble

    async def pools(self) -> Sequence[str]:
        return sorted({pool for pool, _ in self.world.journal})

    async def history(self, pool: str) -> History:
        self.trouble.before()
        n, document = self.world.snapshots.get(pool, (0, None))
        entries = [
            entry
            for (name, number), entry in sorted(self.world.journal.items())
            if name == pool and number > n
        ]
        return History(copy.deepcopy(document), tuple(entries))

    async def answered(self, commands: Sequence[str]) -> frozenset[str]:
        self.trouble.before()
        return frozenset(self.world.outcomes) & frozenset(commands)

    async def append(self, entry: Entry) -> None:
        self.trouble.before()
        if entry.pool in self.world.broken:
            raise Fault
        if (entry.pool, entry.n) in self.world.journal:
            raise PoolTaken
        self.world.journal[entry.pool, entry.n] = entry
        self.trouble.done()

    async def show(self, changes: Changes) -> None:
        self.trouble.before()
        for key in changes.touched.agents:
            self.world.agents[key] = agent_view(changes.pool, key)
        for key in changes.touched.conversations:
            self.world.requests[key] = request_view(changes.pool, key)
        for key, reply in changes.replies.items():
            self.world.outcomes.setdefault(key, reply.status)
        self.trouble.done()

    async def mark_published(self, pool: str, numbers: Sequence[int]) -> None:
        self.trouble.before()
        for key, entry in self.world.journal.items():
            if key[0] == pool and key[1] in numbers:
                self.world.journal[key] = Entry(
                    entry.pool, entry.n, entry.owner, entry.at, entry.given, entry.outgoing, published=True
                )
        self.trouble.done()

    async def keep_snapshot(self, pool: str, n: int, document: dict[str, Any]) -> None:
        self.trouble.before()
        self.world.snapshots[pool] = (n, json.loads(json.dumps(document)))
        self.trouble.done()


class FakePublisher:
    """One replica's way to the log; a failure may come when half of a batch is already there."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        self.world, self.trouble = world, trouble

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        self.trouble.before()
        for index, record in enumerate(batch):
            if self.trouble.after and index == len(batch) // 2:
                self.trouble.done()
            self.world.published.append(record)
        self.trouble.done()


class Uncounted:
    """An Observer that remembers what must not happen."""

    def __init__(self) -> None:
        self.divergences = 0
        self.conflicts = 0

    def stepped(self, pool: Pool, steps: Sequence[Step], seconds: float) -> None: ...

    def watched(self, pool: Pool, now: datetime) -> None: ...

    def lost(self, _pool: str, *, conflict: bool) -> None:
        self.conflicts += conflict

    def diverged(self, _pool: str) -> None:
        self.divergences += 1


def deliveries(commands: Sequence[Envelope], first: int = 0) -> list[Delivery]:
    return [
        Delivery("routing.commands", PARTITION, first + index, command)
        for index, command in enumerate(commands)
    ]
