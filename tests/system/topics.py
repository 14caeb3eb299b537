"""Reading a topic from its beginning to its present end."""

from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.topics import Topic

Record: TypeAlias = ConsumerRecord[bytes, bytes]


PLANTED = "planted"
"""Header of what a test wrote itself, past the services."""


async def records(bootstrap: str, topic: Topic) -> list[Any]:
    """Return all records of `topic` that services wrote, validated, each partition in its order."""
    return [
        topic.adapter.validate_json(record.value)
        for record in await raw_records(bootstrap, topic)
        if PLANTED not in dict(record.headers)
    ]


async def raw_records(bootstrap: str, topic: Topic) -> list[Record]:
    """Return all records of `topic` as they are in Kafka, each partition in its order."""
    # `earliest`: a reset to the end, begun at `assign`, may overtake `seek_to_beginning`
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for tp, first in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(tp, first)
        found: list[Record] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for polled in (await consumer.getmany(timeout_ms=200)).values():
                found += polled
        return found
    finally:
        await consumer.stop()
