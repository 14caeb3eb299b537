"""A shift: Agents at their desks, a crowd that writes, and what the checker says of it at the end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from schemas.routing import Capacity
from tests.system.checker import faults
from tests.system.client import Client
from tests.system.crowd import Bursts, Pace, Person, crowd, write_in_bursts
from tests.system.evidence import Evidence
from tests.system.gather import gather
from tests.system.launch import System
from tests.system.play import Desk, Diary, at_work, profile, sign_on

ROOM: Mapping[str, Capacity] = {
    "rosa": Capacity(),
    "otto": Capacity(total=4, messaging=4, email=4),
    "mina": Capacity(total=2, messaging=1, email=2),
    "jun": Capacity(total=12, messaging=8, email=8),
    "ada": Capacity(total=20, messaging=15, email=15),
    "tom": Capacity(total=20, messaging=15, email=15),
}
"""Agents with room of all sizes, too little for everybody: some wait."""


MOST_SERIES = 5
"""Series of bursts under way at a time."""


@dataclass
class Shift:
    """One run of a system. `diary` holds all of it, over several loads."""

    client: Client
    system: System
    people: list[Person]
    random: Random
    at_once: int = 16
    """Conversations that are answered at the same time."""
    diary: Diary = field(default_factory=Diary)
    room: Mapping[str, Capacity] = field(default_factory=lambda: ROOM)
    _turn: int = 0

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[None]:
        """Let the Agents answer while the block runs."""
        async with at_work(Desk(self.client, self.diary, close_every=2, at_once=self.at_once)):
            yield

    @asynccontextmanager
    async def load(self, bursts: Bursts) -> AsyncIterator[None]:
        """Let people write such bursts, one series after another, and be answered while the block runs."""
        over = asyncio.Event()

        async def go_on() -> None:
            running: set[asyncio.Task[None]] = set()
            pace = Pace(bursts.pause * bursts.messages / bursts.at_once)
            while not over.is_set():
                unfinished = {task for task in running if not task.done()}
                if len(unfinished) >= MOST_SERIES:
                    # thousands of requests waiting in one client would keep it busy with themselves
                    await asyncio.wait(unfinished, return_when=asyncio.FIRST_COMPLETED)
                running.add(asyncio.create_task(self.write(bursts)))
                await pace.next()
            await asyncio.gather(*running)

        async with self.desk():
            writing = asyncio.create_task(go_on())
            try:
                yield
            finally:
                over.set()
                await writing

    async def write(self, bursts: Bursts) -> None:
        """Let people write, whoever has not written yet in this shift first."""
        self._turn += 1
        start = self._turn * bursts.messages % len(self.people)
        people = [*self.people[start:], *self.people[:start]]
        await write_in_bursts(self.client, self.diary, people, bursts, self.random, f"turn {self._turn}")

    async def verdict(self, settle_seconds: float = 120.0) -> list[str]:
        """Return all faults, once the system is at rest or the time is up."""
        visitors = [person for person in self.people if person.token]
        evidence = await gather(
            self.client,
            self.system.kafka,
            self.diary,
            self.room,
            visitors=visitors,
            settle_seconds=settle_seconds,
        )
        print(self._report(evidence))  # noqa: T201  (what the run was)
        return faults(evidence)

    def _report(self, evidence: Evidence) -> str:
        rows = [item for timeline in evidence.timelines.values() for item in timeline]
        replies = Counter(item["status"] for item in rows if item.get("direction") == "outbound")
        return (
            f"{len(self.diary.wrote)} webhooks of {len(evidence.customers)} Customers, "
            f"{self.diary.repeated} tried again, {len(self.diary.refused)} never taken; "
            f"{len(self.diary.replied)} replies: {dict(replies)}; "
            f"{len(evidence.decisions)} decisions, {len(evidence.events)} events"
        )


async def begin(client: Client, system: System, random: Random, customers: int) -> Shift:
    """Wait until the system is ready, let the Agents sign on, and return the shift."""
    await system.ready()
    for agent, capacity in ROOM.items():
        await profile(client, agent, capacity)
        await sign_on(client, agent)
    return Shift(client, system, await crowd(client, customers), random)
