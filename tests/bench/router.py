"""The router's engine alone, in memory: decisions a second, and how they fall with Agents and with who waits.

Two situations. *Busy*: every Agent is full and the queue is long; a Conversation ends, its Agent gets the
next one, and a new one comes. *Quiet*: Agents are free; a Conversation comes, is given, and ends. Both take
two commands and cause two decisions a turn. The control does the same turns with two heaps and no rules.
"""

import heapq
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas.common import Channel, ChannelClass
from schemas.envelope import Envelope
from schemas.routing import (
    AgentAvailability,
    AgentProfile,
    AvailabilityData,
    Capacity,
    ProfileData,
    ProfilePersonal,
    ReleaseData,
    RequestData,
    RoutingGranted,
    RoutingRelease,
    RoutingRequest,
)
from services.router.domain.engine import Step, step
from services.router.domain.pool import Pool
from services.router.domain.state import PoolState
from tests.bench.figures import Figure, Pair, compared
from tests.bench.profiles import profiled
from tests.bench.rounds import by_turns
from tests.bench.setup import Setup

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
POOL, INBOX, CAPACITY = "main", "support", 3
SKILLS, SKILLS_EACH = 100, 5
CONTROL = "two heaps, no rules"
Size = tuple[int, int]
"""Agents, and Conversations that wait."""
AT, LARGEST = (1_000, 10_000), (10_000, 100_000)
GROWTH = ((100, 10_000), AT, (10_000, 10_000), (1_000, 1_000), (1_000, 100_000))


async def run(setup: Setup) -> list[Figure]:
    """Return decisions a second, busy at each size and quiet at each number of Agents."""
    sizes: tuple[Size, ...] = setup.sized(
        smoke=((20, 50),), small=(*GROWTH, LARGEST), full=(*GROWTH, LARGEST)
    )
    figures = [await measured(setup, size) for size in sizes]
    figures += [await measured(setup, (agents, 0)) for agents in sorted({agents for agents, _ in sizes})]
    return figures


async def measured(setup: Setup, size: Size) -> Figure:
    """Return the figure of one size; nobody waiting stands for the quiet situation."""
    agents, waiting = size
    engine, heaps = Engine.made(agents, waiting), Heaps.made(agents, waiting)
    seconds = setup.sized(smoke=0.05, small=1.0, full=3.0)

    async def of_engine() -> float:
        return decisions_a_second(engine.turn, seconds)

    async def of_heaps() -> float:
        return decisions_a_second(heaps.turn, seconds)

    await of_engine()
    pairs = await by_turns(setup.sized(smoke=1, small=3, full=5), subject=of_engine, control=of_heaps)
    name = f"{agents:,} Agents, {f'{waiting:,} waiting' if waiting else 'quiet'}"
    if size in (AT, (AT[0], 0)):
        async with profiled(setup.profiles, f"router-{'busy' if waiting else 'quiet'}"):
            decisions_a_second(engine.turn, 4 * seconds)
    return compared(f"router engine, {name}", "decisions/s", [Pair(*pair) for pair in pairs], control=CONTROL)


def decisions_a_second(turn: Callable[[], int], seconds: float) -> float:
    """Take turns for so long, in processor time, and return the rate; a turn returns what it decided."""
    started, decisions = time.process_time(), 0
    while (passed := time.process_time() - started) < seconds:
        decisions += turn()
    return decisions / passed


@dataclass
class Engine:
    """A pool with Agents of five of a hundred skills each; every second Conversation needs one."""

    pool: Pool
    now: datetime = START
    held: deque[tuple[str, int]] = field(default_factory=deque)
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def made(cls, agents: int, waiting: int) -> "Engine":
        """Return it with `waiting` Conversations in line behind those the Agents have."""
        engine = cls(Pool(PoolState(POOL)))
        for number in range(agents):
            for command in engine._signs_on(number):
                engine.step(command)
        if waiting:
            for _ in range(agents * CAPACITY + waiting):
                engine.arrive()
        return engine

    def turn(self) -> int:
        """Let one Conversation come and one end; return the number of decisions."""
        if not self.held:
            return self.arrive() + self.end()
        return self.end() + self.arrive()

    def arrive(self) -> int:
        """Let a new Conversation ask for an Agent."""
        number = next(self._numbers)
        skills = {f"skill-{number // 2 % SKILLS}": 1} if number % 2 else {}
        data = RequestData(
            pool=POOL,
            conversation_id=f"conversation-{number}",
            customer_id=f"customer-{number}",
            epoch=1,
            inbox=INBOX,
            channel=Channel.SMS,
            channel_class=ChannelClass.MESSAGING,
            requested_at=self.now,
            skills=skills,
        )
        return self.step(RoutingRequest(**_envelope(number, self.now), data=data))

    def end(self) -> int:
        """Let the Conversation that was given first come to its end."""
        conversation, epoch = self.held.popleft()
        data = ReleaseData(
            pool=POOL,
            conversation_id=conversation,
            customer_id=conversation.replace("conversation", "customer"),
            epoch=epoch,
            reason="closed",
        )
        return self.step(RoutingRelease(**_envelope(next(self._numbers), self.now), data=data))

    def step(self, command: Envelope) -> int:
        """Step the pool a millisecond later; return the number of decisions."""
        self.now += timedelta(milliseconds=1)
        done: Step = step(self.pool, command, self.now)
        for decision in done.decisions:
            if isinstance(decision, RoutingGranted):
                self.held.append((decision.data.conversation_id, decision.data.epoch))
        return len(done.decisions)

    def _signs_on(self, number: int) -> tuple[Envelope, Envelope]:
        agent = f"agent-{number}"
        profile = ProfileData(
            pool=POOL,
            agent=agent,
            actor="lea",
            inboxes=(INBOX,),
            skills={f"skill-{(number + 20 * each) % SKILLS}": 1 for each in range(SKILLS_EACH)},
            capacity=Capacity(total=CAPACITY, messaging=CAPACITY),
        )
        on = AvailabilityData(pool=POOL, agent=agent, actor=agent, channels={Channel.SMS: True})
        envelope = _envelope(-number - 1, self.now)
        return (
            AgentProfile(**envelope, data=profile, personal=ProfilePersonal(name=agent)),
            AgentAvailability(**envelope, data=on),
        )


def _envelope(number: int, at: datetime) -> dict[str, Any]:
    own = uuid5(NAMESPACE_URL, str(number))
    return {"id": own, "occurred_at": at, "correlation": own}


@dataclass
class Heaps:
    """The least loaded Agent and the longest waiting Conversation, and nothing else."""

    free: list[tuple[int, int]]
    """Places with Agents: how many the Agent has had before this one, and the Agent."""
    waiting: list[int] = field(default_factory=list)
    held: deque[tuple[int, int]] = field(default_factory=deque)
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def made(cls, agents: int, waiting: int) -> "Heaps":
        """Return it with every Agent full and `waiting` in line, or with all of them free."""
        heaps = cls([(load, agent) for load in range(CAPACITY) for agent in range(agents)])
        for _ in range(agents * CAPACITY + waiting if waiting else 0):
            heaps.arrive()
        return heaps

    def turn(self) -> int:
        """Let one Conversation come and one end."""
        return self.end() + self.arrive() if self.held else self.arrive() + self.end()

    def arrive(self) -> int:
        """Let a new Conversation wait, and match."""
        heapq.heappush(self.waiting, next(self._numbers))
        return self._match()

    def end(self) -> int:
        """Let the Conversation that was given first come to its end, and match."""
        heapq.heappush(self.free, self.held.popleft())
        return 1 + self._match()

    def _match(self) -> int:
        matched = 0
        while self.free and self.waiting:
            heapq.heappop(self.waiting)
            self.held.append(heapq.heappop(self.free))
            matched += 1
        return matched
