"""Two thousand webhooks while every service is killed and frozen again and again."""

import asyncio
from collections.abc import Iterator
from random import Random

import httpx
import pytest

from tests.faults.conftest import LONG
from tests.servers.apache_kafka import Cluster
from tests.system.chaos import Chaos
from tests.system.client import client_of
from tests.system.crowd import Bursts
from tests.system.launch import System, running_system
from tests.system.shift import begin

SESSION_SECONDS = 6.0
KILLS = 6 if LONG else 3
CUSTOMERS = 300
BURSTS = Bursts(messages=10_000 if LONG else 2_000, at_once=50, pause=1.8)

pytestmark = pytest.mark.timeout(1800 if LONG else 480)


@pytest.fixture
def system(
    own_kafka: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give two replicas of each service."""
    settings = {
        "MONGO_DATABASE": "t_storm",
        "SESSION_TIMEOUT_SECONDS": f"{SESSION_SECONDS:g}",
        "DRAIN_TIMEOUT_SECONDS": "5",
        "REOPEN_WINDOW_SECONDS": "5",
    }
    directory = tmp_path_factory.mktemp("storm")
    with running_system(directory, own_kafka.bootstrap, embedded_mongo, **settings) as running:
        yield running


async def test_what_was_answered_is_there_once_and_in_order_whatever_dies_or_freezes(
    system: System, random: Random
) -> None:
    async with client_of(system.site, timeout=10) as client, httpx.AsyncClient(trust_env=False) as http:
        shift = await begin(client, system, random, CUSTOMERS)
        chaos = Chaos(system, http, random, SESSION_SECONDS)
        async with shift.desk():
            writing = asyncio.create_task(shift.write(BURSTS))
            await asyncio.gather(*(chaos.torment(service, KILLS) for service in system.replicas))
            await writing
        print("\n".join(chaos.done))
        assert await shift.verdict() == []
    assert shift.diary.refused == []
    assert len(shift.diary.wrote) == BURSTS.messages
    assert len(shift.diary.replied) >= 50
