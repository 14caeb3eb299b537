"""Reading a topic from its beginning to its present end, and how far a group has committed it."""

from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic_core import from_json, to_json

from schemas.topics import Topic
from tests.contract import examples

Record: TypeAlias = ConsumerRecord[bytes, bytes]
Place = tuple[int, int]
"""Partition and offset."""
PLANTED = "planted"
"""Header of what a test wrote itself, past the services."""


async def records(bootstrap: str, topic: Topic) -> list[Any]:
    """Return all records of `topic` that services wrote, validated, each partition in its order.

    Where a personal part is sealed, that of a golden message stands in for it: what is judged here are ids
    and data.
    """
    return [record for _, record in await placed(bootstrap, topic)]


async def placed(bootstrap: str, topic: Topic) -> list[tuple[Place, Any]]:
    """Return the same with the place of each."""
    return [
        ((record.partition, record.offset), topic.adapter.validate_json(readable(topic, record.value)))
        for record in await raw_records(bootstrap, topic)
        if PLANTED not in dict(record.headers)
    ]


def readable(topic: Topic, value: bytes) -> bytes:
    """Return the record with a golden message's personal part where its own is sealed."""
    if not topic.sealed or b'"sealed":' not in value:
        return value
    record = from_json(value)
    del record["sealed"]
    name = next(each for each in examples.names(topic) if examples.type_of(each) == record["type"])
    return to_json({**record, "personal": examples.record(name).personal})


async def raw_records(bootstrap: str, topic: Topic) -> list[Record]:
    """Return all records of `topic` as they are in Kafka, each partition in its order."""
    # not by `seek_to_beginning`: the reset to the end that `assign` has begun may come after it
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        consumer.assign(partitions)
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        found: list[Record] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for polled in (await consumer.getmany(timeout_ms=200)).values():
                found += polled
    finally:
        await consumer.stop()
    expected = sum(ends[tp] - begins[tp] for tp in partitions)
    assert len(found) >= expected, f"{topic.name} has {expected} records, and {len(found)} were read"
    return found


async def committed(bootstrap: str, group: str, topic: Topic) -> dict[int, int]:
    """Return the group's committed offset of each partition; 0 where it has committed none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    known = {tp.partition: kept.offset for tp, kept in offsets.items() if tp.topic == topic.name}
    return {number: max(known.get(number, 0), 0) for number in range(topic.partitions)}
