"""One account's provider slow, failing, hanging, out of reach, answering nonsense: the others do not notice.

The account under test is reached through a proxy; its neighbours are another number of the same provider and
a WhatsApp number, served by the same replicas.
"""

import asyncio
import os
import statistics
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from deploy.local.ports import LOCALHOST, free_port
from tests.servers.apache_kafka import Cluster
from tests.servers.toxiproxy import Proxy, Toxiproxy
from tests.system.checker import faults
from tests.system.client import Client, Json, client_of
from tests.system.evidence import Wrote
from tests.system.gather import gather
from tests.system.launch import System, running_system
from tests.system.play import Diary, number, reply, shown, sms_from, write
from tests.system.watch import MEGABYTE, Watch, connections, rebalances, watching

pytestmark = pytest.mark.timeout(240)

AT_ONCE = 4
SEND_SECONDS = 3
SICK_CUSTOMERS, REPLIES_EACH, NEIGHBOURS = 10, 2, 6
PROBES, PAUSE = 12, 0.25
"""The embedded database does some 300 writes a second, and a reply with its receipts is some 25: probes come
slowly enough to wait for nothing but what is tested."""
FACTOR, MORE = 1.5, 50 * MEGABYTE
"""Of each answer at most 1 MB is read, by at most AT_ONCE requests an account."""
RATIO, SLACK = 3.0, 0.5
"""How much slower a neighbour's replies may be than just before, beside the same replies on the same account
while it is well, and seconds on top for what else the machine does."""
_customers = count(5000)

MODES = ["slow", "fail", "rate_limited", "hang", "refuse", "garbage", "huge", "lose_answer"]


@dataclass
class World:
    """The system, the way to the sick account's provider, and who writes to which account."""

    system: System
    sick_path: Proxy
    sick: list[str] = field(default_factory=list)
    """Conversations of Customers of the sick account."""
    neighbours: list[str] = field(default_factory=list)
    diary: Diary = field(default_factory=Diary)


def account(name: str, provider: str, api_base: str, **more: Any) -> Json:
    return {"provider": provider, "account": name, "inbox": "support", "api_base": api_base, **more}


def accounts_file(path: Path, simulator: str, sick: str) -> Path:
    twilio = {"account_sid": "AC1", "auth_token": "invented-token"}
    meta = {"app_secret": "invented-secret", "verify_token": "invented", "access_token": "invented-access"}
    sms, whatsapp = "/dev/providers/twilio-sms", "/dev/providers/whatsapp"
    entries = [
        account("demo", "twilio-sms", simulator + sms, channel="sms", address="+15550001111", secrets=twilio),
        account("sick", "twilio-sms", sick + sms, channel="sms", address="+15550002222", secrets=twilio),
        account(
            "demo",
            "whatsapp",
            simulator + whatsapp,
            channel="whatsapp",
            address="900100200300",
            secrets=meta,
        ),
    ]
    path.write_text(yaml.safe_dump({"accounts": entries}))
    return path


@pytest.fixture(scope="module")
def world(
    own_kafka: Cluster,
    embedded_mongo: str,
    faulty_network: Toxiproxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    directory, port = tmp_path_factory.mktemp("providers"), free_port()
    path = faulty_network.proxy("sick-provider", f"{LOCALHOST}:{port}")
    settings = {
        "MONGO_DATABASE": "t_providers",
        "SESSION_TIMEOUT_SECONDS": "6",
        "ACCOUNTS_FILE": str(
            accounts_file(directory / "accounts.yaml", f"http://{LOCALHOST}:{port}", f"http://{path.address}")
        ),
        "PROVIDER_API_BASE": "",
        "SENDS_AT_ONCE": str(AT_ONCE),
        "SEND_TIMEOUT_SECONDS": str(SEND_SECONDS),
        "FILES_TIMEOUT_SECONDS": "5",
        "SEND_LEASE_SECONDS": "10",
        "RETRY_FIRST_SECONDS": "0.5",
        "RETRY_MOST_SECONDS": "2",
    }
    with running_system(
        directory / "system", own_kafka.bootstrap, embedded_mongo, simulator_port=port, **settings
    ) as running:
        yield World(running, path)


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Give a client; with the first one the Customers write, and a usual day is measured."""
    await world.system.ready()
    async with client_of(world.system.site) as made:
        if not world.sick:
            world.sick = await asyncio.gather(*(met(made, world, "sick") for _ in range(SICK_CUSTOMERS)))
            ways = ["sms", "whatsapp"] * (NEIGHBOURS // 2)
            world.neighbours = await asyncio.gather(*(met(made, world, way) for way in ways))
            await probe(made, world)
        yield made


@pytest.mark.parametrize("mode", MODES)
async def test_one_accounts_provider_is(mode: str, client: Client, world: World) -> None:
    system, (first, second) = world.system, world.system.replicas["notifier"]
    watch = Watch(system.processes)
    watch.begin()
    joined = await rebalances(system)
    async with watching(watch), counting(world) as most:
        await burden(client, world, "well")
        usual = await probe(client, world)
        await sicken(client, world, mode)
        try:
            texts = await burden(client, world, mode)
            took = await probe(client, world)
        finally:
            await heal(client, world)
        evidence = await gather(client, system.kafka, world.diary)

    typical, before = statistics.median(took), statistics.median(usual)
    print(
        f"\n{mode}: neighbours' replies took {typical * 1000:.0f} ms at the median, {max(took) * 1000:.0f} at"
        f" most (before {before * 1000:.0f} and {max(usual) * 1000:.0f}; ratio {typical / before:.1f});"
        f" at most {max(most.values())} connections; {watch.growth()};"
        f" load of the machine {os.getloadavg()[0]:.1f}"
    )
    assert faults(evidence) == []
    assert_in_order(evidence.sent, texts)
    if mode in {"slow", "fail", "rate_limited", "refuse"}:
        assert {text for of_one in texts.values() for text in of_one} <= {
            each["text"] for each in evidence.sent
        }
    assert typical < RATIO * before + SLACK
    assert max(took) < RATIO * max(usual) + SEND_SECONDS
    assert max(most.get(first.name, 0), most.get(second.name, 0)) <= AT_ONCE
    assert watch.dead == []
    assert watch.swollen(FACTOR, MORE) == []
    assert await rebalances(system) == joined


async def met(client: Client, world: World, way: str) -> str:
    """Let a new Customer write to an account, and return the id of the Conversation."""
    sender, text = number(next(_customers)), f"hello {uuid4().hex}"
    if way == "sick":
        webhook, before = sms_from(client, sender, text, account="sick"), datetime.now(UTC)
        posted = await client.webhook(webhook)
        assert posted.status == 200
        world.diary.wrote.append(Wrote(f"sms:{sender}", text, before, posted.answered_at))
    else:
        await write(client, world.diary, sender, text, by=way)
    return str((await shown(client, sender, text))["conversation_id"])


async def burden(client: Client, world: World, mark: str) -> dict[str, list[str]]:
    """Reply to all Customers of the sick account; return the texts by Conversation."""
    texts = {each: [f"{mark} {uuid4().hex}" for _ in range(REPLIES_EACH)] for each in world.sick}
    await asyncio.gather(*(in_turn(client, world, each, of_one) for each, of_one in texts.items()))
    return texts


async def in_turn(client: Client, world: World, conversation: str, texts: list[str]) -> None:
    for text in texts:
        answer = await reply(client, world.diary, "lea", conversation, text)
        assert answer.status_code == 202, answer.text


async def probe(client: Client, world: World) -> list[float]:
    """Reply to neighbours, one after another; return the seconds until their providers had it."""
    began: dict[str, datetime] = {}
    running = []
    for _, conversation in zip(range(PROBES), cycle(world.neighbours), strict=False):
        text = f"probe {uuid4().hex}"
        began[text] = datetime.now(UTC)
        running.append(asyncio.create_task(in_turn(client, world, conversation, [text])))
        await asyncio.sleep(PAUSE)
    await asyncio.gather(*running)
    async with asyncio.timeout(30):
        while not began.keys() <= (arrived := await arrivals(client)).keys():
            await asyncio.sleep(0.2)
    return [(arrived[text] - at).total_seconds() for text, at in began.items()]


async def arrivals(client: Client) -> dict[str, datetime]:
    return {entry["text"]: datetime.fromisoformat(entry["at"]) for entry in await client.sent()}


async def sicken(client: Client, world: World, mode: str) -> None:
    if mode == "refuse":
        world.sick_path.cut()
    else:
        await behave(client, mode)


async def heal(client: Client, world: World) -> None:
    world.sick_path.heal()
    await behave(client, "ok")


async def behave(client: Client, mode: str) -> None:
    order = {"provider": "twilio-sms", "account": "sick", "mode": mode, "seconds": SEND_SECONDS - 1}
    answer = await client.http.post(f"{client.site.simulator}/dev/providers/behaviour", json=order)
    answer.raise_for_status()


class counting:  # noqa: N801  (used as a context manager)
    """Counts each replica's connections to the sick account's provider; gives the most at a time."""

    def __init__(self, world: World) -> None:
        self._replicas, self._port = world.system.replicas["notifier"], world.sick_path.port
        self._most: dict[str, int] = defaultdict(int)

    async def __aenter__(self) -> dict[str, int]:
        self._running = asyncio.create_task(self._count())
        return self._most

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def _count(self) -> None:
        while True:
            for replica in self._replicas:
                open_now = connections(replica, self._port)
                self._most[replica.name] = max(self._most[replica.name], open_now)
            await asyncio.sleep(0.1)


def assert_in_order(sent: Any, texts: dict[str, list[str]]) -> None:
    """What was sent to a Customer was sent in the order of the replies."""
    place = {entry["text"]: at for at, entry in enumerate(sent)}
    for of_one in texts.values():
        places = [place[text] for text in of_one if text in place]
        assert places == sorted(places), of_one
