"""Webhook ingest (verify, parse, produce, acknowledged by all) against a bare ASGI app.

Both run as one uvicorn process with uvloop and httptools, on the same Kafka, under the same load.
"""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local import webhooks
from deploy.local.ports import free_port
from deploy.local.webhooks import Webhook, WhatsAppSender
from schemas.topics import MESSAGES_INBOUND, TOPICS, Topic
from services.chassis.accounts import Account, Accounts
from services.chassis.topics import create_topics
from tests.bench.figures import Figure, Pair, at_least, compared
from tests.bench.load import LoadError, load, write_requests
from tests.bench.messages import TEXT
from tests.bench.profiles import cpu_seconds, profiled
from tests.bench.rounds import by_turns
from tests.bench.setup import Setup
from tests.system.launch import PUBLIC_URL, Process

RAW = Topic("bench.raw", "none", None, ("bench",), ())
PROVIDERS = ("twilio-sms", "whatsapp")
CONTROL = "bare ASGI app that verifies and produces"
_SENDERS = 1_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one stretch of load saw: requests a second, milliseconds, microseconds a request."""

    rate: float
    p50: float
    p99: float
    cpu: float


async def run(setup: Setup) -> list[Figure]:
    """Return rate and latencies for each provider, and how far the load itself could go."""
    await create_topics(setup.settings, [*TOPICS, RAW])
    accounts = Accounts.load(setup.settings.accounts_file)
    with serving(setup, "services.ingest") as subject, serving(setup, "tests.bench.bare") as control:
        async with httpx.AsyncClient(trust_env=False) as http:
            await subject.ready(http)
            await control.ready(http)
        figures = []
        for provider in PROVIDERS:
            requests = setup.directory / f"{provider}.requests"
            account = accounts.find(provider, "demo")
            assert account is not None
            write_requests(requests, made(account, setup.sized(smoke=500, small=20_000, full=50_000)))
            figures += await measured(setup, provider, requests, subject, control)
        figures.append(await headroom(setup, control, figures))
    return figures


async def measured(
    setup: Setup, provider: str, requests: Path, subject: Process, control: Process
) -> list[Figure]:
    """Return the figures of one provider, and leave the profiles of both processes."""
    seconds = setup.sized(smoke=1, small=6, full=12)

    async def stretch(process: Process, topic: Topic) -> Stretch:
        async with arriving(setup.kafka, topic) as arrived:
            before = cpu_seconds(process.pid)
            answered = await load(process.url, requests, seconds)
            worked = cpu_seconds(process.pid) - before
            arrived.append(answered.requests)
        return Stretch(answered.rate, answered.p50, answered.p99, worked / answered.requests * 1e6)

    async def of_subject() -> Stretch:
        return await stretch(subject, MESSAGES_INBOUND)

    async def of_control() -> Stretch:
        return await stretch(control, RAW)

    for warm_up in (of_subject, of_control):
        await warm_up()
    rounds = await by_turns(setup.sized(smoke=1, small=3, full=5), subject=of_subject, control=of_control)
    for process, name in ((subject, f"ingest-{provider}"), (control, f"ingest-{provider}-control")):
        async with profiled(setup.profiles, name, process.pid):
            await load(process.url, requests, seconds)
    return [
        _figure(f"ingest of {provider}", "requests/s", rounds, "rate", target=True),
        _figure(f"ingest of {provider}, processor time of the server", "µs/request", rounds, "cpu"),
        _figure(f"ingest of {provider}, median latency", "ms", rounds, "p50"),
        _figure(f"ingest of {provider}, 99th percentile", "ms", rounds, "p99"),
    ]


def _figure(
    name: str,
    unit: str,
    rounds: Sequence[tuple[Stretch, Stretch]],
    of: str,
    *,
    target: bool = False,
) -> Figure:
    pairs = [Pair(getattr(subject, of), getattr(control, of)) for subject, control in rounds]
    return compared(name, unit, pairs, control=CONTROL, target=at_least(0.6) if target else None)


async def headroom(setup: Setup, control: Process, figures: Sequence[Figure]) -> Figure:
    """Return what the load reaches where nothing is done; near the control's rate it would be the limit."""
    requests = setup.directory / "idle.requests"
    write_requests(requests, [Webhook("/idle", {}, TEXT.encode())])
    seconds = setup.sized(smoke=1, small=4, full=8)
    idle = [
        (await load(control.url, requests, seconds)).rate
        for _ in range(setup.sized(smoke=1, small=2, full=3))
    ]
    fastest = max(
        figure.control.value for figure in figures if figure.control and figure.unit == "requests/s"
    )
    pairs = [Pair(rate, fastest) for rate in idle]
    return compared(
        "the load, where nothing is done",
        "requests/s",
        pairs,
        control="the fastest control",
        target=at_least(1.5),
    )


def made(account: Account, number: int) -> Iterator[Webhook]:
    """Give `number` signed webhooks with ids, senders and texts of their own."""
    at = datetime.now(UTC)
    for count in range(number):
        sender, text = f"+1555{1_000_000 + count % _SENDERS}", f"{TEXT} {count}"
        if account.provider == "twilio-sms":
            yield webhooks.sms(account, PUBLIC_URL, sender, text, f"SM{count:032x}")
        else:
            content = {"type": "text", "text": {"body": text}}
            yield webhooks.whatsapp(
                account, WhatsAppSender(sender, "Robin"), content, f"wamid.{count:040x}", at
            )


@contextmanager
def serving(setup: Setup, module: str) -> Iterator[Process]:
    """Run `module` as a process on a free port."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": setup.kafka,
        "MONGO_URL": setup.mongo,
        "PUBLIC_URL": PUBLIC_URL,
        "VISITOR_TOKEN_SECRET": "x" * 32,
        "TOPIC": RAW.name,
    }
    process = Process(module, module, free_port(), environment, setup.directory / f"{module}.log")
    process.start()
    try:
        yield process
    finally:
        process.stop()


@asynccontextmanager
async def arriving(kafka: str, topic: Topic) -> AsyncIterator[list[int]]:
    """Check that at least as many records have come into `topic` as the block says were answered.

    Raises LoadError when there are fewer: then an answer came without its record.
    """
    before, answered = await _end(kafka, topic), list[int]()
    yield answered
    arrived = await _end(kafka, topic) - before
    if arrived < sum(answered):
        raise LoadError(f"{sum(answered)} answered, but only {arrived} records in {topic.name}")


async def _end(kafka: str, topic: Topic) -> int:
    """Return how many records the topic has had."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()
