"""The topics command on three brokers: copies are a setting of the deployment."""

import pytest

from tests.servers.apache_kafka import Cluster
from tests.suites.topics import TopicsSuite


@pytest.fixture
def bootstrap(real_kafka_cluster: Cluster) -> str:
    return real_kafka_cluster.bootstrap


@pytest.fixture
def copies() -> int:
    return 3


class TestTopics(TopicsSuite):
    """See tests/suites/topics.py."""
