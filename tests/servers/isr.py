"""What a cluster says of its replicas, and settings of topics."""

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from services.chassis.topics import topic_configs


async def in_sync(bootstrap: str, topics: Sequence[Topic]) -> int:
    """Return how many replicas are in sync where they are fewest; 0 while nobody answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        described = await admin.describe_topics([topic.name for topic in topics])
    except (KafkaError, OSError):
        return 0
    finally:
        await admin.close()
    return min(len(partition["isr"]) for topic in described for partition in topic["partitions"])


async def set_topic(bootstrap: str, topic: Topic, settings: Mapping[str, str]) -> None:
    """Give the topic these settings besides its own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = {**topic_configs(topic), **settings}
        (answer,) = await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=wanted)]
        )
        assert all(code == 0 for code, *_ in answer.resources), answer
    finally:
        await admin.close()
