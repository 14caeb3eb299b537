"""Reading a topic from its beginning to its present end."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import Topic


async def records(bootstrap: str, topic: Topic) -> list[Any]:
    """Return all records of `topic`, validated, each partition in its order."""
    # not by seeking: a reset to the end that is under way would win over it, and nothing would be read
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        found: list[Any] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for polled in (await consumer.getmany(timeout_ms=200)).values():
                found += [topic.adapter.validate_json(record.value) for record in polled]
    finally:
        await consumer.stop()
    expected = sum(ends[tp] - begins[tp] for tp in partitions)
    assert len(found) >= expected, f"{topic.name} has {expected} records, and {len(found)} were read"
    return found
