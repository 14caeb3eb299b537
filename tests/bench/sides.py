"""The pipeline and the relay, side by side: started, fed, and watched in the same way."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.routing import Capacity
from schemas.topics import CONVERSATIONS_EVENTS, MESSAGES_INBOUND, PARTITIONS
from services.chassis.topics import create_topics
from tests.bench import relay
from tests.bench.setup import Setup
from tests.bench.traffic import Message, Sender, Watch, message, sending, watching
from tests.servers.stack import ROOT
from tests.system.client import client_of
from tests.system.launch import Process, System, launched
from tests.system.play import profile, sign_on

PIPELINE = ("identity", "conversation", "router", "notifier")
ON_TIMELINE, GRANTED = "message.added", "conversation.assigned"
"""Events that end a returning Customer's message, and a new one's."""
_NUMBERS = count()
"""One for each message of a run, whichever systems come and go: a repeated one would be a duplicate."""
ROOM = 1000
"""Most Conversations of an Agent that the router allows."""


@dataclass
class Side:
    """One of the two: where messages go in, and where one sees what became of them."""

    name: str
    topic: str
    sender: Sender
    watch: Watch
    pids: Mapping[str, int]

    def messages(self, customers: Sequence[int]) -> list[Message]:
        """Return a message of each of these, unlike any before."""
        return [message(customer, next(_NUMBERS)) for customer in customers]

    async def rate(self, messages: Sequence[Message], end: str) -> float:
        """Send all at once; return messages/s from the first produced to the last `end`."""
        already = self.watch.seen(end)
        began = monotonic()
        await self.sender.send(self.topic, messages)
        return len(messages) / (await self.watch.until(end, already + len(messages)) - began)


@asynccontextmanager
async def pipeline(
    setup: Setup, *, services: Sequence[str] = PIPELINE, agents: int = 20, **options: str
) -> AsyncIterator[tuple[Side, System]]:
    """Run a replica of each service, with Agents who have room for `agents` thousand Conversations."""
    await create_topics(setup.settings)
    directory = setup.directory / "services"
    with launched(directory, setup.kafka, setup.mongo, services=services, each=1, **options) as system:
        await system.ready()
        async with client_of(system.site) as client:
            for number in range(agents):
                await profile(client, f"agent{number}", Capacity(total=ROOM, messaging=ROOM))
                await sign_on(client, f"agent{number}")
        pids = {process.name.partition("-")[0]: process.pid for process in system.processes}
        async with (
            sending(setup.kafka) as sender,
            watching(setup.kafka, CONVERSATIONS_EVENTS.name, PARTITIONS) as watch,
        ):
            yield Side("pipeline", MESSAGES_INBOUND.name, sender, watch, pids), system


@asynccontextmanager
async def control(setup: Setup) -> AsyncIterator[Side]:
    """Run the relay's four processes."""
    await _create(setup.kafka, list(relay.TOPICS.values()))
    with _relays(setup) as pids:
        async with (
            sending(setup.kafka) as sender,
            watching(setup.kafka, relay.TOPICS["events"], PARTITIONS) as watch,
        ):
            yield Side("relay", relay.TOPICS["inbound"], sender, watch, pids)


@asynccontextmanager
async def both(setup: Setup) -> AsyncIterator[tuple[Side, Side]]:
    """Run pipeline and relay, each warmed up with 100 Customers (those from 9,000,000 on)."""
    async with AsyncExitStack() as stack:
        side, _ = await stack.enter_async_context(pipeline(setup))
        beside = await stack.enter_async_context(control(setup))
        for each in (side, beside):
            people = range(9_000_000, 9_000_100)
            await each.rate(each.messages(people), GRANTED)
            await each.rate(each.messages(people), ON_TIMELINE)
        yield side, beside


async def _create(kafka: str, names: Sequence[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    finally:
        await admin.close()


@contextmanager
def _relays(setup: Setup) -> Iterator[dict[str, int]]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KAFKA_BOOTSTRAP_SERVERS": setup.kafka,
        "MONGO_URL": setup.mongo,
    }
    processes = [
        Process(role, "tests.bench.relay", 0, environment, setup.directory / f"relay-{role}.log", (role,))
        for role in PIPELINE
    ]
    try:
        for process in processes:
            process.start()
        yield {process.name: process.pid for process in processes}
    finally:
        for process in processes:
            process.stop()
