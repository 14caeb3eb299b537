"""MongoDB slow, narrow, cut off, silent and gone, under load: two replicas of each service, from outside.

What must hold: webhooks of channels that need no database are taken; whatever needs it is answered in
bounded time; nobody leaves a consumer group; memory stays bounded; afterwards all goes on by itself.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.webhooks import chat_session
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from tests.servers.apache_kafka import Cluster
from tests.servers.toxiproxy import Proxy, Toxiproxy
from tests.system.checker import faults
from tests.system.client import Client, client_of
from tests.system.gather import gather
from tests.system.launch import System, running_system
from tests.system.play import Diary, number, reply, shown, write
from tests.system.waiting import until
from tests.system.watch import MEGABYTE, Watch, rebalances, watching

pytestmark = pytest.mark.timeout(240)

REQUEST_SECONDS = 8.0
"""REQUEST_TIMEOUT_SECONDS of the services."""
ANSWERED_WITHIN = REQUEST_SECONDS + 4
"""A machine that is busy answers a little later."""
FACTOR, MORE = 1.5, 50 * MEGABYTE
"""A stage holds one batch (at most 500 records of at most 1 MB, here of 2 kB), a service at most 50
connections and what its requests hold for as long as they may take: nothing that grows with the outage."""

_customers = count(3000)


@pytest.fixture(scope="module")
def mongo_path(faulty_network: Toxiproxy, embedded_mongo: str) -> Proxy:
    return faulty_network.proxy("mongo", embedded_mongo.removeprefix("mongodb://"))


@pytest.fixture(scope="module")
def system(
    own_kafka: Cluster, mongo_path: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    settings = {
        "MONGO_DATABASE": "t_slow",
        "SESSION_TIMEOUT_SECONDS": "6",
        "REQUEST_TIMEOUT_SECONDS": str(REQUEST_SECONDS),
    }
    # members tell clients where to find them: only a direct connection stays on the way through the proxy
    url = f"mongodb://{mongo_path.address}/?directConnection=true"
    with running_system(tmp_path_factory.mktemp("slow"), own_kafka.bootstrap, url, **settings) as running:
        yield running


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    await system.ready()
    async with client_of(system.site) as made:
        yield made


@dataclass
class Load:
    """Customers who write by SMS and WhatsApp, and requests that need the database."""

    client: Client
    conversation: str
    diary: Diary
    answers: list[tuple[str, int, float]] = field(default_factory=list)
    """What was asked, the status, the seconds."""
    first_tries: list[int] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Seven messages a second of twenty Customers, four requests a second; waits for all answers."""
        began, ways = monotonic(), cycle(("sms", "whatsapp"))
        senders = cycle([number(next(_customers)) for _ in range(20)])
        running: list[asyncio.Task[None]] = []
        while monotonic() - began < seconds:
            running += [asyncio.create_task(self._write(next(senders), next(ways))) for _ in range(2)]
            running.append(asyncio.create_task(self._ask()))
            await asyncio.sleep(0.28)
        await asyncio.gather(*running)

    async def _write(self, sender: str, way: str) -> None:
        posted = await write(self.client, self.diary, sender, f"load {uuid4().hex}", by=way)
        self.first_tries.append(posted.status if posted.tries == 1 else 503)

    async def _ask(self) -> None:
        path = f"/conversation/v1/conversations/{self.conversation}"
        visit = chat_session(self.client.site.account("webchat"), {})
        asked: list[tuple[str, Any]] = [
            ("read", lambda: self.client.send("GET", path, by="lea")),
            ("command", lambda: self.client.act("lea", "PUT", f"{path}/priority", {"priority": 1})),
            (
                "with a key",
                lambda: self.client.act("lea", "POST", f"{path}/no-reply-needed", key=uuid4().hex),
            ),
            ("search", lambda: self.client.send("GET", "/identity/v1/customers?q=nobody", by="lea")),
            ("queues", lambda: self.client.send("GET", "/router/v1/queues", by="lea")),
            (
                "visit",
                lambda: self.client.send("POST", visit.path, headers=visit.headers, content=visit.body),
            ),
        ]
        what, ask = asked[len(self.answers) % len(asked)]
        began = monotonic()
        self.answers.append((what, 0, 0.0))
        place = len(self.answers) - 1
        answer: httpx.Response = await ask()
        self.answers[place] = (what, answer.status_code, monotonic() - began)
        if answer.status_code == 503 and answer.headers["content-type"] != "application/problem+json":
            self.odd.append(f"{what}: {answer.text[:200]}")

    def slowest(self) -> float:
        return max(seconds for _, _, seconds in self.answers)


@dataclass
class Outage:
    """One fault: how it is made, how long it lasts, and whether anything that needs the database works."""

    name: str
    begin: Callable[[Proxy], None]
    seconds: float
    works: bool


SLOW_MS = 30
OUTAGES = [
    Outage("ten times slower", lambda path: path.poison("latency", latency=SLOW_MS), 8, works=True),
    Outage("narrow (200 kB/s)", lambda path: path.poison("bandwidth", rate=200), 6, works=True),
    Outage("connections reset", lambda path: path.poison("reset_peer", timeout=50), 6, works=False),
    Outage("silent", lambda path: path.poison("timeout", timeout=0), 14, works=False),
    Outage("stopped", lambda path: path.cut(), 7, works=False),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=[each.name for each in OUTAGES])
async def test_the_database_is(outage: Outage, client: Client, system: System, mongo_path: Proxy) -> None:
    diary, sender = Diary(), number(next(_customers))
    load = Load(client, await a_conversation(client, diary), diary)
    watch = Watch(system.processes)
    watch.begin()
    joined = await rebalances(system)
    async with watching(watch):
        outage.begin(mongo_path)
        try:
            replying = asyncio.create_task(
                reply(client, load.diary, "lea", load.conversation, f"in the outage {uuid4().hex}")
            )
            loading = asyncio.create_task(load.run(outage.seconds))
            if not outage.works:
                await until(lambda: unready(system), lambda found: len(found) == len(system.processes))
            await asyncio.wait([loading], timeout=outage.seconds)
        finally:
            mongo_path.heal()
        back = monotonic()
        await system.ready()
        ready = monotonic() - back
        await write(client, load.diary, sender, text := f"after the outage {uuid4().hex}")
        await shown(client, sender, text, seconds=60)
        recovered = monotonic() - back
        await loading
        await replying
        evidence = await gather(client, system.kafka, load.diary)

    failed = [status for _, status, _ in load.answers if status >= 300]
    print(
        f"\n{outage.name}: {len(load.diary.wrote)} webhooks; {len(failed)} of {len(load.answers)} requests"
        f" that need the database failed, slowest {load.slowest():.1f} s; ready {ready:.1f} s and"
        f" working {recovered:.1f} s after it was back; {watch.growth()}"
    )
    assert faults(evidence) == []
    assert set(load.first_tries) == {200}, "a webhook that needs no database was not taken at once"
    assert load.odd == []
    assert {status for _, status, _ in load.answers} <= {200, 201, 204, *([] if outage.works else [503])}
    assert outage.works or failed
    assert load.slowest() < ANSWERED_WITHIN
    assert watch.looks > outage.seconds / 2
    assert watch.dead == []
    assert watch.swollen(FACTOR, MORE) == []
    assert await rebalances(system) == joined


async def test_the_proxy_makes_the_database_ten_times_slower(mongo_path: Proxy) -> None:
    database = connect(
        Settings(mongo_url=f"mongodb://{mongo_path.address}/?directConnection=true", mongo_database="t_slow"),
        "measured",
    )
    before = await typical_insert(database)
    mongo_path.poison("latency", latency=SLOW_MS)
    try:
        during = await typical_insert(database)
    finally:
        mongo_path.heal()
        await database.client.close()
    print(f"\nan insert takes {before * 1000:.1f} ms, slowed {during * 1000:.1f} ms")
    assert during > 10 * before


async def typical_insert(database: Database) -> float:
    """Return the median of 20, in seconds."""
    took = []
    for _ in range(20):
        began = monotonic()
        await database["probes"].insert_one({})
        took.append(monotonic() - began)
    return statistics.median(took)


async def a_conversation(client: Client, diary: Diary) -> str:
    """Return the id of a new Customer's Conversation."""
    sender, text = number(next(_customers)), f"hello {uuid4().hex}"
    await write(client, diary, sender, text)
    return str((await shown(client, sender, text))["conversation_id"])


async def unready(system: System) -> list[str]:
    """Return the replicas whose readiness fails and names the database."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        answers = await asyncio.gather(*(http.get(f"{each.url}/readyz") for each in system.processes))
    return [
        process.name
        for process, answer in zip(system.processes, answers, strict=True)
        if answer.status_code == 503 and answer.json()["checks"]["mongo"] != "ok"
    ]
