"""Three brokers with replicated topics, of which one, two or all go away under load."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest
import pytest_asyncio

from schemas.topics import MESSAGES_INBOUND, TOPICS
from tests.servers.apache_kafka import Cluster, Node
from tests.servers.isr import in_sync, set_topic
from tests.system.client import client_of
from tests.system.crowd import Bursts
from tests.system.launch import System, running_system
from tests.system.play import number, shown, write
from tests.system.shift import Shift, begin
from tests.system.waiting import until

CUSTOMERS = 30
LOAD = Bursts(messages=30, at_once=5, pause=0.4, retry_seconds=90)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def system(
    real_kafka_cluster: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    settings = {
        "MONGO_DATABASE": "t_brokers",
        "SESSION_TIMEOUT_SECONDS": "10",
        "DRAIN_TIMEOUT_SECONDS": "5",
        "REOPEN_WINDOW_SECONDS": "5",
    }
    directory = tmp_path_factory.mktemp("brokers")
    with running_system(
        directory, real_kafka_cluster.bootstrap, embedded_mongo, each=1, replication=3, **settings
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shift(system: System) -> AsyncIterator[Shift]:
    """Give one shift for all tests: what an earlier one wrote must still be there after a later one."""
    async with client_of(system.site, timeout=10) as client:
        yield await begin(client, system, Random(1), CUSTOMERS)  # noqa: S311  (choices, not secrets)


async def whole(cluster: Cluster) -> None:
    """Wait until every partition has all three replicas in sync again."""
    await until(lambda: in_sync(cluster.bootstrap, TOPICS), lambda found: found == 3, seconds=60, pause=0.3)


async def test_one_broker_after_the_other_dies_the_controller_among_them(
    shift: Shift, real_kafka_cluster: Cluster
) -> None:
    controller = real_kafka_cluster.controller
    other = next(node for node in real_kafka_cluster.nodes if node is not controller)
    async with shift.load(LOAD):
        for node in (controller, other):
            node.kill()
            await new_customer(shift, 700 + node.number)
            assert real_kafka_cluster.controller is not node
            await back(node)
            await whole(real_kafka_cluster)
    assert await shift.verdict() == []
    assert shift.diary.refused == []
    assert len(shift.diary.wrote) > 100


async def test_nothing_is_taken_that_too_few_replicas_would_hold(
    shift: Shift, real_kafka_cluster: Cluster
) -> None:
    node = real_kafka_cluster.nodes[0]
    await set_topic(real_kafka_cluster.bootstrap, MESSAGES_INBOUND, {"min.insync.replicas": "3"})
    node.kill()
    await until(
        lambda: in_sync(real_kafka_cluster.bootstrap, [MESSAGES_INBOUND]),
        lambda found: found == 2,
        seconds=60,
    )
    answers = await asyncio.gather(
        *(
            write(shift.client, shift.diary, number(500 + of), f"too few {of}", retry_seconds=0)
            for of in range(10)
        )
    )
    assert {answer.status for answer in answers} == {503}
    assert max(answer.seconds for answer in answers) < 8
    waiting = asyncio.create_task(write(shift.client, shift.diary, number(510), "in sync again"))
    await back(node)
    assert (await waiting).status == 200
    await set_topic(real_kafka_cluster.bootstrap, MESSAGES_INBOUND, {"min.insync.replicas": "2"})
    await whole(real_kafka_cluster)
    assert await shift.verdict() == []


async def test_without_a_majority_of_brokers_nothing_is_taken_and_afterwards_all_goes_on(
    shift: Shift, real_kafka_cluster: Cluster
) -> None:
    controller = real_kafka_cluster.controller
    gone = [controller, next(node for node in real_kafka_cluster.nodes if node is not controller)]
    async with shift.load(LOAD):
        for node in gone:
            node.kill()
        answers = await asyncio.gather(
            *(
                write(shift.client, shift.diary, number(600 + of), f"two gone {of}", retry_seconds=0)
                for of in range(5)
            )
        )
        assert {answer.status for answer in answers} == {503}
        for node in gone:
            node.launch()
        await new_customer(shift, 710)
    await whole(real_kafka_cluster)
    real_kafka_cluster.kill()
    real_kafka_cluster.start()
    await whole(real_kafka_cluster)
    assert await shift.verdict() == []


async def back(node: Node) -> None:
    """Start the node again, and wait until it knows the two others."""
    node.launch()
    await asyncio.to_thread(node.wait, 3)


async def new_customer(shift: Shift, of: int) -> None:
    """Somebody new writes, and is shown: the whole way works again."""
    sender, text = number(of), f"is anybody there? {of}"
    await write(shift.client, shift.diary, sender, text, retry_seconds=90)
    await shown(shift.client, sender, text, seconds=60)
