"""Every replica of every service restarts in order, as a deployment does, while webhooks come in."""

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from time import monotonic

import httpx
import pytest

from tests.faults.conftest import LONG
from tests.servers.apache_kafka import Cluster
from tests.system.client import client_of
from tests.system.crowd import Bursts
from tests.system.launch import Process, System, running_system
from tests.system.shift import begin

OFFERED = Bursts(messages=100, at_once=10, pause=0.1, twice=0.1)
LEAST_A_SECOND = 15
"""Two cores that restart services, and carry the messages through all of them, leave little for those who
write: some 30 to 50 a second get out."""
STOP_SECONDS = 25.0

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def system(
    own_kafka: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give two replicas of each service."""
    settings = {"MONGO_DATABASE": "t_rolling", "DRAIN_TIMEOUT_SECONDS": "8", "REOPEN_WINDOW_SECONDS": "5"}
    directory = tmp_path_factory.mktemp("rolling")
    with running_system(directory, own_kafka.bootstrap, embedded_mongo, **settings) as running:
        yield running


@pytest.mark.parametrize(
    "order",
    [
        "all services at once",
        pytest.param("one service after another", marks=pytest.mark.skipif(not LONG, reason="FAULTS=long")),
    ],
)
async def test_a_rolling_restart_of_everything_under_load_loses_and_doubles_nothing(
    system: System, random: Random, order: str
) -> None:
    async with client_of(system.site, timeout=15) as client, httpx.AsyncClient(trust_env=False) as http:
        shift = await begin(client, system, random, customers=300)
        for each, person in enumerate(shift.people):
            person.patient = each % 10 == 0  # the others keep up the rate however long answers take
        async with shift.load(OFFERED):
            if order == "all services at once":
                rolls = await asyncio.gather(*(roll(each, http) for each in system.replicas.values()))
            else:
                rolls = [await roll(each, http) for each in system.replicas.values()]
        took = [seconds for of_service in rolls for seconds in of_service]
        tried = sorted(each.tried_at for each in shift.diary.wrote)
        most = tried[: len(tried) * 9 // 10]  # the last ones are of those who had to wait for answers
        rate = len(most) / (most[-1] - most[0]).total_seconds()
        print(f"{rate:.0f} webhooks/s; SIGTERM to exit: {min(took):.1f} to {max(took):.1f} s")
        assert await shift.verdict(settle_seconds=180) == []
    assert shift.diary.refused == []
    assert max(took) < STOP_SECONDS
    assert rate > LEAST_A_SECOND


async def roll(replicas: Sequence[Process], http: httpx.AsyncClient) -> list[float]:
    """Restart one after the other, the next when the last is ready."""
    return [await restart(process, http) for process in replicas]


async def restart(process: Process, http: httpx.AsyncClient) -> float:
    """Stop it as Kubernetes does, start it again, and return the seconds that stopping took."""
    started = monotonic()
    assert await asyncio.to_thread(process.stop) == 0, f"{process.name} did not end by itself"
    took = monotonic() - started
    process.start()
    await process.ready(http, seconds=120)
    return took
