"""The delivery core on a real Apache Kafka."""

import asyncio

import pytest

from services.chassis.settings import Settings
from services.chassis.topics import create_topics
from tests.servers.apache_kafka import Cluster
from tests.suites.delivery import RebalanceSuite


@pytest.fixture(scope="module")
def bootstrap(real_kafka: Cluster) -> str:
    asyncio.run(create_topics(Settings(kafka_bootstrap_servers=real_kafka.bootstrap)))
    return real_kafka.bootstrap


class TestDelivery(RebalanceSuite):
    """See tests/suites/delivery.py."""
