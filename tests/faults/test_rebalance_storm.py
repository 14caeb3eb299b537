"""From one replica to four and back to another one, with handlers slower than a rebalance waits."""

import asyncio
from collections.abc import Iterator, Sequence
from random import Random

import httpx
import pytest

from tests.servers.apache_kafka import Cluster
from tests.system.client import client_of
from tests.system.crowd import Bursts
from tests.system.launch import Process, System, running_system
from tests.system.shift import begin

STORMED = ("identity", "conversation", "router")
DRAIN_SECONDS = 2
SLOW_SECONDS = 6
"""A batch takes up to this much longer: some drain in time, others are cut off in all places."""
LOAD = Bursts(messages=90, at_once=3, pause=0.1, twice=0.2)

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def system(
    own_kafka: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give up to four replicas of each service, one of each running."""
    settings = {
        "MONGO_DATABASE": "t_rebalance",
        "SESSION_TIMEOUT_SECONDS": "6",
        "DRAIN_TIMEOUT_SECONDS": f"{DRAIN_SECONDS}",
        "REOPEN_WINDOW_SECONDS": "5",
        "SLOW_SECONDS": f"{SLOW_SECONDS}",
    }
    with running_system(
        tmp_path_factory.mktemp("rebalance"),
        own_kafka.bootstrap,
        embedded_mongo,
        each=4,
        started=1,
        within=dict.fromkeys(STORMED, "tests.system.slow"),
        **settings,
    ) as running:
        yield running


async def test_one_to_four_to_one_with_slow_handlers_loses_and_doubles_nothing(
    system: System, random: Random
) -> None:
    async with client_of(system.site, timeout=30) as client, httpx.AsyncClient(trust_env=False) as http:
        shift = await begin(client, system, random, customers=90)
        async with shift.load(LOAD):
            await asyncio.gather(*(storm(system.replicas[name], http, random) for name in STORMED))
        assert await shift.verdict(settle_seconds=180) == []
    assert shift.diary.refused == []
    assert len(shift.diary.wrote) >= 300


async def storm(replicas: Sequence[Process], http: httpx.AsyncClient, random: Random) -> None:
    """Start three more, one after the other, and stop any three of the four."""
    for process in replicas[1:]:
        process.start()
        await asyncio.sleep(random.uniform(0.5, 3))
    await asyncio.gather(*(process.ready(http, 120) for process in replicas))
    for process in random.sample(replicas, 3):
        await asyncio.to_thread(process.stop)
        await asyncio.sleep(random.uniform(0, 2))
