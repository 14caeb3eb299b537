"""The feed's topics in Kafka, read without a group: for streams that resume from before memory."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import ValidationError

from schemas.topics import TOPICS
from services.chassis.broker import Subscription
from services.chassis.deadletters.letter import meant_for
from services.chassis.delivery import Delivery
from services.chassis.settings import Settings
from services.notifier.feed.positions import FEED_TOPICS, PARTITIONS, Position

Range = tuple[int, int]
"""First offset, and the one after the last."""
_TOPICS = {topic.name: topic for topic in TOPICS}
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Log:
    """Reads by a consumer of its own each time."""

    settings: Settings

    async def bounds(self) -> dict[Position, Range]:
        """Return the first offset that is there, and the next to be written, of every partition."""
        subscription = Subscription(self.settings, "notifier-bounds", FEED_TOPICS, group=None)
        try:
            kafka = await _connected(subscription)
            wanted = [TopicPartition(*place) for place in PARTITIONS]
            firsts, ends = await kafka.beginning_offsets(wanted), await kafka.end_offsets(wanted)
            return {(tp.topic, tp.partition): (firsts[tp], ends[tp]) for tp in wanted}
        finally:
            await subscription.stop()

    async def read(self, ranges: Mapping[Position, Range], receive: Callable[[Delivery], None]) -> bool:
        """Give the records of `ranges` to `receive`, each partition in order.

        Returns False, with nothing read, when the log does not reach back that far.
        """
        subscription = Subscription(self.settings, "notifier-resume", FEED_TOPICS, group=None)
        try:
            kafka = await _connected(subscription)
            wanted = {TopicPartition(*place): span for place, span in ranges.items()}
            firsts = await kafka.beginning_offsets(list(wanted))
            if any(firsts[tp] > first for tp, (first, _) in wanted.items()):
                return False
            kafka.pause(*(kafka.assignment() - set(wanted)))
            for tp, (first, _) in wanted.items():
                kafka.seek(tp, first)
            await _follow(kafka, {tp: end for tp, (_, end) in wanted.items()}, receive)
        finally:
            await subscription.stop()
        return True


async def _connected(subscription: Subscription) -> AIOKafkaConsumer:
    kafka = await subscription.start()
    wanted = {TopicPartition(*place) for place in PARTITIONS}
    async with asyncio.timeout(_CONNECT_SECONDS):
        while not kafka.assignment() >= wanted:  # noqa: ASYNC110  (aiokafka tells no event without a group)
            await asyncio.sleep(0.02)
    return kafka


async def _follow(
    kafka: AIOKafkaConsumer, ends: dict[TopicPartition, int], receive: Callable[[Delivery], None]
) -> None:
    while ends:
        polled = await kafka.getmany(*ends, timeout_ms=100, max_records=2000)
        for tp, records in polled.items():
            for record in records:
                if record.offset >= ends[tp] or not meant_for(record, None):
                    continue
                if (delivery := _decoded(record)) is not None:
                    receive(delivery)
        reached = [tp for tp, end in ends.items() if await kafka.position(tp) >= end]
        kafka.pause(*reached)
        for tp in reached:
            del ends[tp]


def _decoded(record: "ConsumerRecord[bytes, bytes]") -> Delivery | None:
    try:
        message = _TOPICS[record.topic].adapter.validate_json(record.value or b"")
    except (ValidationError, ValueError):
        return None
    return Delivery(record.topic, record.partition, record.offset, message)
