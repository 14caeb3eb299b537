"""The delivery core on the embedded Kafka protocol server."""

import asyncio

import pytest

from services.chassis.settings import Settings
from services.chassis.topics import create_topics
from tests.suites.delivery import DeliverySuite


@pytest.fixture(scope="module")
def bootstrap(embedded_kafka: str) -> str:
    asyncio.run(create_topics(Settings(kafka_bootstrap_servers=embedded_kafka)))
    return embedded_kafka


class TestDelivery(DeliverySuite):
    """See tests/suites/delivery.py."""
