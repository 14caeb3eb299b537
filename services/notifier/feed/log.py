"""Topics in Kafka read without a group: for streams that resume from before memory, and for replays."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from schemas.topics import TOPICS, Topic
from services.chassis.broker import Subscription
from services.chassis.deadletters.letter import Record, meant_for
from services.chassis.delivery import Delivery
from services.chassis.sealing import Seals, Unopened
from services.chassis.settings import Settings
from services.notifier.feed.positions import FEED_TOPICS, Position

Range = tuple[int, int]
"""First offset, and the one after the last."""
Chunk = tuple[list[Delivery], dict[Position, int]]
"""Records, and the next offset of every partition after them."""
_TOPICS = {topic.name: topic for topic in TOPICS}
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Log:
    """Reads by a consumer of its own each time."""

    settings: Settings
    topics: Sequence[Topic] = FEED_TOPICS
    seals: Seals | None = None

    async def bounds(self) -> dict[Position, Range]:
        """Return the first offset that is there, and the next to be written, of every partition."""
        async with self._connected("notifier-bounds") as kafka:
            wanted = self._partitions()
            firsts, ends = await kafka.beginning_offsets(wanted), await kafka.end_offsets(wanted)
            return {(tp.topic, tp.partition): (firsts[tp], ends[tp]) for tp in wanted}

    async def since(self, moment: datetime) -> dict[Position, int]:
        """Return, of every partition that has such, the first offset written at `moment` or later."""
        async with self._connected("notifier-since") as kafka:
            millis = max(int(moment.timestamp() * 1000), 0)
            found = await kafka.offsets_for_times(dict.fromkeys(self._partitions(), millis))
            return {(tp.topic, tp.partition): place.offset for tp, place in found.items() if place}

    async def read(self, ranges: Mapping[Position, Range], receive: Callable[[Delivery], None]) -> bool:
        """Give the records of `ranges` to `receive`, each partition in order.

        Returns False, with nothing read, when the log does not reach back that far.
        """
        async with self._connected("notifier-resume") as kafka:
            firsts = await kafka.beginning_offsets([TopicPartition(*place) for place in ranges])
            if any(firsts[TopicPartition(*place)] > first for place, (first, _) in ranges.items()):
                return False
            async with aclosing(_follow(kafka, ranges, 2000, self.seals)) as chunks:
                async for chunk, _ in chunks:
                    for delivery in chunk:
                        receive(delivery)
        return True

    async def chunks(self, ranges: Mapping[Position, Range], records: int) -> AsyncGenerator[Chunk, None]:
        """Yield the records of `ranges`, at most `records` at a time, each partition in order.

        With them comes the next offset of every partition. What the log does not hold any more is left out.
        """
        async with (
            self._connected("notifier-replay") as kafka,
            aclosing(_follow(kafka, ranges, records, self.seals)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    def _partitions(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic.name, number) for topic in self.topics for number in range(topic.partitions)
        ]

    @asynccontextmanager
    async def _connected(self, name: str) -> AsyncIterator[AIOKafkaConsumer]:
        subscription = Subscription(self.settings, name, self.topics, group=None)
        try:
            kafka = await subscription.start()
            wanted = set(self._partitions())
            async with asyncio.timeout(_CONNECT_SECONDS):
                while not kafka.assignment() >= wanted:  # noqa: ASYNC110  (no event tells, without a group)
                    await asyncio.sleep(0.02)
            yield kafka
        finally:
            await subscription.stop()


async def _follow(
    kafka: AIOKafkaConsumer, ranges: Mapping[Position, Range], records: int, seals: Seals | None
) -> AsyncGenerator[Chunk, None]:
    """Yield what is polled until every partition is at the end of its range, and where each is."""
    ends = {TopicPartition(*place): end for place, (first, end) in ranges.items() if first < end}
    places = {place: first for place, (first, _) in ranges.items()}
    kafka.pause(*(kafka.assignment() - set(ends)))
    for tp in ends:
        kafka.seek(tp, places[tp.topic, tp.partition])
    while ends:
        polled = await kafka.getmany(*ends, timeout_ms=100, max_records=records)
        wanted = [
            record
            for tp, of_partition in polled.items()
            for record in of_partition
            if record.offset < ends[tp] and meant_for(record, None)
        ]
        chunk = await _decoded(wanted, seals)
        for tp in list(ends):
            place = await kafka.position(tp)
            places[tp.topic, tp.partition] = min(place, ends[tp])
            if place >= ends[tp]:
                kafka.pause(tp)
                del ends[tp]
        yield chunk, dict(places)


async def _decoded(records: Sequence[Record], seals: Seals | None) -> list[Delivery]:
    """Return what can be read of the records; what is of erased Customers is passed over."""
    values: Sequence[bytes | Unopened] = [record.value or b"" for record in records]
    if seals is not None:
        values = await seals.open([(record.topic, record.value or b"") for record in records])
    chunk = []
    for record, value in zip(records, values, strict=True):
        if isinstance(value, Unopened):
            continue
        try:
            message = _TOPICS[record.topic].adapter.validate_json(value)
        except (ValidationError, ValueError):
            continue
        chunk.append(Delivery(record.topic, record.partition, record.offset, message))
    return chunk
