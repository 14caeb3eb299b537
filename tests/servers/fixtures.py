"""Servers for tests, one set a test session (and xdist worker). `tests/conftest.py` registers them.

`embedded_mongo` and `embedded_kafka` come from wheels and are always there. `real_kafka` is an
Apache Kafka; where Java or Maven is missing its tests are skipped, unless PARLEY_REQUIRE_KAFKA is
set: then they fail. `faulty_network` needs Go in the same way.
"""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from deploy.local import servers
from deploy.local.pacing import pace_empty_fetches
from tests.servers.apache_kafka import Cluster, KafkaUnavailableError, apache_kafka
from tests.servers.toxiproxy import Toxiproxy, ToxiproxyUnavailableError, toxiproxy


@pytest.fixture(scope="session")
def embedded_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a MongoDB protocol server, a replica set of one."""
    with servers.mongo_server(tmp_path_factory.mktemp("mongo") / "data") as url:
        yield url


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the bootstrap address of a Kafka protocol server without topics."""
    pace_empty_fetches()
    with servers.kafka_server(tmp_path_factory.mktemp("kafka") / "data") as bootstrap:
        yield bootstrap


@pytest.fixture
def database_name() -> str:
    """Give a name that no other test uses, for `mongo_database`."""
    return f"t_{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give an Apache Kafka of one node without topics."""
    yield from _real(tmp_path_factory, 1)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give an Apache Kafka of one node that no other module writes to."""
    yield from _real(tmp_path_factory, 1)


@pytest.fixture(scope="session")
def real_kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give an Apache Kafka of three nodes, replication 3, min.insync.replicas 2."""
    yield from _real(tmp_path_factory, 3)


@pytest.fixture(scope="session")
def faulty_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    """Give a Toxiproxy that proxies nothing yet."""
    try:
        with toxiproxy(tmp_path_factory.mktemp("toxiproxy")) as running:
            yield running
    except ToxiproxyUnavailableError as missing:
        if os.environ.get("PARLEY_REQUIRE_KAFKA"):
            raise
        pytest.skip(str(missing))


def _real(tmp_path_factory: pytest.TempPathFactory, nodes: int) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("apache-kafka")
    try:
        with apache_kafka(directory, nodes) as cluster:
            yield cluster
    except KafkaUnavailableError as missing:
        if os.environ.get("PARLEY_REQUIRE_KAFKA"):
            raise
        pytest.skip(str(missing))
