"""What the system tests run on: an Apache Kafka of their own, and two replicas of each service."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from tests.servers.apache_kafka import Cluster
from tests.system.client import Client, client_of
from tests.system.launch import System, running_system


@pytest.fixture(scope="module")
def system(
    own_kafka: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give two replicas of each service, which notice a dead one after six seconds."""
    settings = {
        "MONGO_DATABASE": f"t_{uuid4().hex[:12]}",  # a module's keys and pools are of its own log
        "SESSION_TIMEOUT_SECONDS": "6",
        "DRAIN_TIMEOUT_SECONDS": "5",
        "REOPEN_WINDOW_SECONDS": "3",
        "LOG_LEVEL": "INFO",
    }
    directory = tmp_path_factory.mktemp("system")
    with running_system(directory, own_kafka.bootstrap, embedded_mongo, **settings) as running:
        yield running


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    """Give a client of the system once all replicas are ready."""
    await system.ready()
    async with client_of(system.site) as made:
        yield made
