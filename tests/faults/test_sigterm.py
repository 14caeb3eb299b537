"""SIGTERM in the middle of work: out in time with code 0, and what is committed is what was done.

Each service is told to stop twice: one of two replicas, whose partitions the other takes over, and then the
last one, after which nothing moves and offsets can be compared with effects. Then the dependencies are away.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.faults.conftest import LONG
from tests.servers.apache_kafka import Cluster
from tests.servers.toxiproxy import Proxy, Toxiproxy
from tests.system.checker import faults
from tests.system.client import LEAD, Client, client_of
from tests.system.effects import STAGES, assert_committed_is_done
from tests.system.gather import gather
from tests.system.in_flight import InFlight
from tests.system.launch import Process, System, running_system
from tests.system.play import Diary, number, reply, shown, sms_from, write
from tests.system.stream import listening
from tests.system.waiting import until
from tests.system.watch import Metrics, in_a_batch

pytestmark = pytest.mark.timeout(300)

OUT_WITHIN = 25.0
SESSION_SECONDS = 16
TAKEN_OVER_WITHIN = SESSION_SECONDS / 2  # after the end of the process
"""Who leaves a group tells it: nobody waits for a session to run out."""
SLOW_MS = 50
DATABASE = "t_sigterm"
_customers = count(7000)


@pytest.fixture(scope="module")
def mongo_path(faulty_network: Toxiproxy, embedded_mongo: str) -> Proxy:
    return faulty_network.proxy("mongo-sigterm", embedded_mongo.removeprefix("mongodb://"))


@pytest.fixture(scope="module")
def system(
    own_kafka: Cluster, mongo_path: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    settings = {"MONGO_DATABASE": DATABASE, "SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS)}
    url = f"mongodb://{mongo_path.address}/?directConnection=true"
    with running_system(tmp_path_factory.mktemp("sigterm"), own_kafka.bootstrap, url, **settings) as running:
        yield running


@pytest.fixture
async def client(system: System, mongo_path: Proxy) -> AsyncIterator[Client]:
    mongo_path.heal()
    for process in system.processes:
        if process.running is None:  # left by a test that failed
            process.start()
    await system.ready()
    async with client_of(system.site) as made:
        yield made


# --- the work -----------------------------------------------------------------------------------


@dataclass
class Work:
    """Customers who write, a lead who answers, Agents who are made known: all services are busy."""

    client: Client
    conversations: list[str]
    diary: Diary = field(default_factory=Diary)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        senders, agents = cycle([number(next(_customers)) for _ in range(40)]), cycle(range(8))
        answered = cycle(self.conversations)
        running: set[asyncio.Task[Any]] = set()
        while not self.stopping.is_set():
            jobs: list[Awaitable[Any]] = [
                write(self.client, self.diary, next(senders), f"work {uuid4().hex}"),
                write(self.client, self.diary, next(senders), f"work {uuid4().hex}"),
                self._make_known(f"agent-{next(agents)}"),
                reply(self.client, self.diary, "lea", next(answered), f"work {uuid4().hex}"),
            ]
            running |= {asyncio.ensure_future(job) for job in jobs}
            await asyncio.sleep(0.25)
            while len(running) > 60 and not self.stopping.is_set():
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=0.5)
                running = {job for job in running if not job.done() or job.exception()}
        await asyncio.gather(*running)

    async def _make_known(self, agent: str) -> None:
        """Patiently: a router that could not say that it leaves is missed only after its session."""
        body = {"name": agent, "inboxes": ["support"]}
        answer = await self.client.insist(LEAD, "PUT", f"/router/v1/agents/{agent}", body, seconds=90)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def working(client: Client) -> AsyncIterator[Work]:
    diary = Diary()

    async def met() -> str:
        sender, text = number(next(_customers)), f"hello {uuid4().hex}"
        await write(client, diary, sender, text)
        return str((await shown(client, sender, text))["conversation_id"])

    work = Work(client, await asyncio.gather(*(met() for _ in range(12))), diary)
    running = asyncio.create_task(work.run())
    try:
        yield work
    finally:
        work.stopping.set()
        await running


# --- stopping -----------------------------------------------------------------------------------


async def out(process: Process) -> tuple[int, float]:
    """Send SIGTERM; return the exit code and the seconds until the process was gone."""
    assert process.running is not None
    began = monotonic()
    process.running.send_signal(signal.SIGTERM)
    while (code := process.running.poll()) is None:
        assert monotonic() - began < OUT_WITHIN, f"{process.name} is not out after {OUT_WITHIN:g} s"
        await asyncio.sleep(0.02)
    process.running = None
    return code, monotonic() - began


async def takes_over(http: httpx.AsyncClient, process: Process, before: Metrics) -> float:
    """Return the moment at which every group of the replica has been given partitions anew."""
    await until(
        lambda: Metrics.of(http, process),
        lambda seen: all(seen.taken[group] > times for group, times in before.taken.items()),
    )
    return monotonic()


# --- requests in flight -------------------------------------------------------------------------


async def request_to(client: Client, process: Process, work: Work) -> InFlight | None:
    """Begin a request of the kind that the service is for; None for notifier, which has streams only."""
    service, as_lead = (
        process.name.rpartition("-")[0],
        {"Authorization": f"Bearer {client.site.token('lea')}"},
    )
    headers = {**as_lead, "Content-Type": "application/json"}
    if service == "ingest":
        webhook = sms_from(client, number(next(_customers)), f"in flight {uuid4().hex}")
        return await InFlight.begin(process, "POST", webhook.path, dict(webhook.headers), webhook.body)
    known: dict[str, tuple[str, str, Any]] = {
        "identity": ("POST", "/identity/v1/customers", {"name": "In Flight"}),
        "conversation": (
            "PUT",
            f"/conversation/v1/conversations/{work.conversations[0]}/priority",
            {"priority": 2},
        ),
        "router": ("PUT", "/router/v1/agents/in-flight", {"name": "In Flight", "inboxes": ["support"]}),
    }
    if service not in known:
        return None
    method, path, body = known[service]
    return await InFlight.begin(process, method, path, headers, json.dumps(body).encode())


async def refuses(process: Process) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", process.port)
    except OSError:
        return True
    writer.close()
    return False


# --- the tests ----------------------------------------------------------------------------------


async def test_what_is_committed_is_what_was_done(
    client: Client, system: System, mongo_path: Proxy, embedded_mongo: str
) -> None:
    notes: list[str] = []
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http, working(client) as work:
        mongo_path.poison("latency", latency=SLOW_MS)
        for stage in STAGES:
            replicas = system.replicas[stage.service]
            before = {process.name: await Metrics.of(http, process) for process in replicas}
            first = await in_a_batch(http, replicas)
            last = replicas[first is replicas[0]]
            began = monotonic()
            (code, seconds), moment = await asyncio.gather(
                out(first), takes_over(http, last, before[last.name])
            )
            taken = moment - began - seconds
            assert code == 0
            assert taken < TAKEN_OVER_WITHIN, f"{stage.service}: taken over {taken:.1f} s after the end"

            request = await request_to(client, last, work)
            await in_a_batch(http, [last])
            leaving = asyncio.create_task(out(last))
            if request is not None:
                await until(lambda last=last: refuses(last), seconds=2, pause=0.02)
                assert await request.finish() // 100 == 2
            code, alone = await leaving
            assert code == 0
            await assert_committed_is_done(stage, system.kafka, embedded_mongo, DATABASE)
            notes.append(f"{stage.service} {seconds:.1f} and {alone:.1f} s, taken over {taken:.1f} s later")
            for replica in (last, first):
                replica.start()
            await asyncio.gather(*(replica.ready(http) for replica in (last, first)))
        ingest = system.replicas["ingest"][0]
        request = await request_to(client, ingest, work)
        leaving = asyncio.create_task(out(ingest))
        await until(lambda: refuses(ingest), seconds=2, pause=0.02)
        assert request is not None
        assert await request.finish() == 200
        code, seconds = await leaving
        assert code == 0
        notes.append(f"ingest {seconds:.1f} s")
        ingest.start()
        await ingest.ready(http)
        mongo_path.heal()
    evidence = await gather(client, system.kafka, work.diary)
    print("\nout after: " + "; ".join(notes))
    assert faults(evidence) == []


async def test_a_stream_ends_at_once(client: Client, system: System) -> None:
    replica, other = system.replicas["notifier"]
    async with listening(f"{replica.url}/notifier/v1/stream", client.site.token("lea")) as heard:
        code, seconds = await out(replica)
        await until(lambda: ended(heard), seconds=2)
        assert (code, seconds < 10) == (0, True), f"out after {seconds:.1f} s with code {code}"
    replica.start()
    async with httpx.AsyncClient(trust_env=False) as http:
        await replica.ready(http)
        await other.ready(http)


async def ended(heard: Any) -> bool:
    return bool(heard.ended)


@pytest.mark.parametrize(
    "away", ["the database is silent", "Kafka is gone", *(["the database is gone"] if LONG else ())]
)
async def test_a_stop_does_not_wait_for_what_is_away(
    away: str, client: Client, system: System, mongo_path: Proxy, own_kafka: Cluster
) -> None:
    victims = [replicas[0] for replicas in system.replicas.values()]
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http, working(client) as work:
        busy = system.replicas["identity"][0]
        await in_a_batch(http, [busy])
        if away == "Kafka is gone":
            own_kafka.kill()
        elif away == "the database is gone":
            mongo_path.cut()
        else:
            mongo_path.poison("timeout", timeout=0)
        try:
            await until(lambda: unready(http, busy))
            ends = await asyncio.gather(*(out(victim) for victim in victims))
        finally:
            own_kafka.start()
            mongo_path.heal()
        for victim in victims:
            victim.start()
        await asyncio.gather(*(victim.ready(http) for victim in victims))
    evidence = await gather(client, system.kafka, work.diary)
    took = ", ".join(
        f"{victim.name} {seconds:.1f} s" for victim, (_, seconds) in zip(victims, ends, strict=True)
    )
    print(f"\n{away}: {took}")
    assert {code for code, _ in ends} == {0}
    assert faults(evidence) == []


async def unready(http: httpx.AsyncClient, process: Process) -> bool:
    return (await http.get(f"{process.url}/readyz")).status_code == 503
