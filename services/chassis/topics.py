"""Creates the topics of `schemas.topics` where they are missing, with their retention."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.topics import TOPICS, Topic
from services.chassis.settings import Settings

_READY_SECONDS = 30.0


async def create_topics(
    settings: Settings, topics: Sequence[Topic] = TOPICS, *, replication_factor: int = 1
) -> None:
    """Create those of `topics` that do not exist, and wait until every partition has a leader.

    Partitions and settings of existing topics are left alone. Raises KafkaError when the cluster
    refuses a topic, TimeoutError when leaders are not elected in time.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers, request_timeout_ms=20_000)
    await admin.start()
    try:
        missing = await _missing(admin, topics)
        answer = await admin.create_topics([_new(topic, replication_factor) for topic in missing])
        for name, code, *reason in answer.topic_errors:
            _raise_for(name, code, reason[0] if reason else None)
        async with asyncio.timeout(_READY_SECONDS):
            while not await _led(admin, topics):  # noqa: ASYNC110 - the broker sends no event to wait for
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def _missing(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> list[Topic]:
    existing = set(await admin.list_topics())
    return [topic for topic in topics if topic.name not in existing]


def _new(topic: Topic, replication_factor: int) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=topic_configs(topic))


def topic_configs(topic: Topic) -> dict[str, str]:
    """Return Kafka's topic settings (`retention.ms` in milliseconds, -1 for ever) of `topic`."""
    retention = -1 if topic.retention is None else topic.retention // timedelta(milliseconds=1)
    policy = "compact" if topic.compact else "delete"
    return {"cleanup.policy": policy, "retention.ms": str(retention)}


def _raise_for(name: str, code: int, reason: str | None) -> None:
    if code in {0, TopicAlreadyExistsError.errno}:
        return
    error: type[KafkaError] = for_code(code)
    message = f"topic {name}: {reason or error.__name__}"
    raise error(message)


async def _led(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> bool:
    described = await admin.describe_topics([topic.name for topic in topics])
    led = {
        topic["topic"]
        for topic in described
        if topic["error_code"] == 0 and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }
    return led >= {topic.name for topic in topics}
