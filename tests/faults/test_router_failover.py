"""Three router replicas share two pools; whoever owns one is killed, frozen and killed again under load."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic

import httpx
import pytest
import yaml

from schemas.envelope import Envelope
from schemas.routing import Capacity
from schemas.topics import ROUTING_DECISIONS
from services.chassis.settings import Settings
from tests.faults.conftest import LONG
from tests.servers.apache_kafka import Cluster
from tests.system.client import Client, client_of
from tests.system.crowd import Bursts
from tests.system.evidence import Wrote
from tests.system.launch import Process, System, running_system
from tests.system.play import Diary, number, profile, sign_on, sms_from
from tests.system.shift import ROOM, begin
from tests.system.topics import records
from tests.system.waiting import until

LOAD = Bursts(messages=30, at_once=2, pause=0.3, twice=0.2)
MOST_SECONDS = 15.0
"""From the death of a pool's owner to the first decision of another."""
FROZEN_SECONDS = 14.0
PROBES = {"probe": "main", "west": "west"}
"""Inboxes whose only Agent has room for everybody, and their pools."""
ROOMY = Capacity(total=1000, messaging=1000)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def system(
    own_kafka: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give three routers, and two of each other service."""
    directory = tmp_path_factory.mktemp("failover")
    accounts, agents = _files(directory)
    with running_system(
        directory,
        own_kafka.bootstrap,
        embedded_mongo,
        each={"router": 3},
        MONGO_DATABASE="t_failover",
        REOPEN_WINDOW_SECONDS="5",
        ACCOUNTS_FILE=str(accounts),
        AGENTS_FILE=str(agents),
    ) as running:
        yield running


def _files(directory: Path) -> tuple[Path, Path]:
    """Write the local stack's accounts and Inboxes, with a number and an Inbox for each probe."""
    settings = Settings()
    accounts = yaml.safe_load(Path(settings.accounts_file).read_text())["accounts"]
    (sms,) = [each for each in accounts if each["provider"] == "twilio-sms"]
    for each, inbox in enumerate(PROBES):
        accounts.append({**sms, "account": inbox, "inbox": inbox, "address": number(9900 + each)})
    inboxes = [
        {"name": "support"},
        {"name": "fallback"},
        *({"name": name, "pool": pool} for name, pool in PROBES.items()),
    ]
    files = directory / "accounts.yaml", directory / "agents.yaml"
    files[0].write_text(yaml.safe_dump({"accounts": accounts}))
    files[1].write_text(yaml.safe_dump({"inboxes": inboxes, "agents": []}))
    return files


async def owner(system: System, http: httpx.AsyncClient, pool: str) -> Process:
    """Return the replica that runs the pool: the one that counts its Agents."""

    async def look() -> list[Process]:
        found = []
        for process in system.replicas["router"]:
            try:
                text = (await http.get(f"{process.url}/metrics", timeout=2)).text
            except httpx.TransportError:
                continue
            line = re.search(rf'^parley_router_agents_signed_on{{pool="{pool}"}} (\S+)', text, re.MULTILINE)
            if line and float(line[1]) > 0:
                found.append(process)
        return found

    return (await until(look, lambda found: len(found) == 1, seconds=40))[0]


class Probe:
    """Writes to an Inbox twice a second, each time as somebody new."""

    people = count(2000)

    def __init__(self, client: Client, diary: Diary, inbox: str) -> None:
        self.client, self.diary, self.inbox = client, diary, inbox

    async def granted(self) -> str:
        """Return the first, of those who write from now on, who has an Agent."""
        written: list[str] = []
        while True:
            sender = number(next(self.people))
            text = f"is anybody there for {sender}?"
            webhook = sms_from(self.client, sender, text, account=self.inbox)
            posted = await self.client.webhook(webhook, retry_seconds=30)
            assert posted.status == 200
            self.diary.wrote.append(Wrote(f"sms:{sender}", text, posted.tried_at, posted.answered_at))
            written.append(sender)
            found = await self.client.get("/conversation/v1/conversations", inbox=self.inbox, limit=50)
            numbers = {
                each["customer_id"]: each["status"] for each in found["items"] if each["status"] == "open"
            }
            for each in written:
                customers = await self.client.customers(f"sms:{each}")
                if any(customer in numbers for customer in customers):
                    return each
            await asyncio.sleep(0.3)


async def seconds_until_decided(
    system: System, ended: Mapping[str, tuple[str, datetime]]
) -> dict[str, float]:
    """Return how long each pool was without decisions after its owner's end."""
    decisions = [
        each for each in await records(system.kafka, ROUTING_DECISIONS) if isinstance(each, Envelope)
    ]
    return {
        what: min(
            (each.occurred_at - moment).total_seconds()
            for each in decisions
            if each.occurred_at > moment and getattr(each, "data").pool == pool  # noqa: B009
        )
        for what, (pool, moment) in ended.items()
    }


async def test_another_replica_goes_on_within_15_s_and_the_frozen_one_harms_nothing(
    system: System, random: Random
) -> None:
    async with client_of(system.site, timeout=20) as client, httpx.AsyncClient(trust_env=False) as http:
        for inbox in PROBES:
            await system.ready()
            await profile(client, f"agent-{inbox}", ROOMY, [inbox])
            await sign_on(client, f"agent-{inbox}")
        shift = await begin(client, system, random, customers=120)
        shift.room = {**ROOM, **{f"agent-{inbox}": ROOMY for inbox in PROBES}}
        owners = {pool: await owner(system, http, pool) for pool in PROBES.values()}
        assert owners["main"] is not owners["west"], "two pools run on two replicas"
        ended: dict[str, tuple[str, datetime]] = {}
        async with shift.load(LOAD):
            for turn in range(6 if LONG else 3):
                deed, inbox = ("freeze" if turn % 2 else "kill"), list(PROBES)[turn // 2 % 2]
                victim = await owner(system, http, PROBES[inbox])
                began = monotonic()
                if deed == "freeze":
                    os.kill(victim.pid, signal.SIGSTOP)
                else:
                    victim.kill()
                ended[f"{turn + 1}: {deed} the owner of {PROBES[inbox]}"] = (PROBES[inbox], datetime.now(UTC))
                await Probe(client, shift.diary, inbox).granted()
                if deed == "freeze":
                    await asyncio.sleep(max(FROZEN_SECONDS - (monotonic() - began), 0))
                    os.kill(victim.pid, signal.SIGCONT)
                else:
                    victim.start()
                await victim.ready(http, 120)
        took = await seconds_until_decided(system, ended)
        print({what: f"{seconds:.1f} s" for what, seconds in took.items()})
        assert await shift.verdict(settle_seconds=180) == []
    assert max(took.values()) < MOST_SECONDS, took
