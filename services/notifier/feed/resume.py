"""What a stream missed: from memory when that reaches back far enough, else from Kafka, within bounds."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.chassis.delivery import Delivery
from services.chassis.faults import is_transient
from services.chassis.logging import log
from services.notifier import metrics
from services.notifier.feed.hub import Hub, Stream
from services.notifier.feed.items import Item, item_of
from services.notifier.feed.positions import PARTITIONS, Position, Vector

Range = tuple[int, int]


class Past(Protocol):
    """The log."""

    async def read(self, ranges: Mapping[Position, Range], receive: Callable[[Delivery], None]) -> bool:
        """Give the records of `ranges`, each partition in order; False when they are not there any more."""


class TooFar(Exception):  # noqa: N818  (a state, raised)
    """The client's place is too long ago: it must load anew."""


@dataclass
class Resume:
    """Fills the gap between a client's place and the hub's."""

    hub: Hub
    past: Past
    most_records: int
    seconds: float
    at_once: int
    _reading: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._reading = asyncio.Semaphore(self.at_once)

    async def missed(self, stream: Stream, wanted: Vector) -> list[Item]:
        """Return what the stream's viewer may see from `wanted` up to where the stream joined.

        Raises TooFar when that is too much, takes too long, or is gone from the log.
        """
        rings = self.hub.rings
        gaps = {place: stream.start[place] for place in PARTITIONS if wanted[place] < stream.start[place]}
        old = {
            place: (wanted[place], min(rings[place].start, end))
            for place, end in gaps.items()
            if wanted[place] < rings[place].start
        }
        # before any await: what memory holds now may be pushed out while Kafka is read
        found = {
            place: [item for item in rings[place].between(wanted[place], end) if stream.viewer.sees(item)]
            for place, end in gaps.items()
        }
        if old:
            before = await self._before(stream, old)
            found = {place: before.get(place, []) + items for place, items in found.items()}
        metrics.RESUMES.labels("kafka" if old else "memory").inc()
        return [item for items in found.values() for item in items]

    async def _before(self, stream: Stream, old: Mapping[Position, Range]) -> dict[Position, list[Item]]:
        if sum(end - first for first, end in old.values()) > self.most_records:
            raise TooFar
        found: dict[Position, list[Item]] = {}

        def receive(delivery: Delivery) -> None:
            try:
                item = item_of(delivery, self.hub.chats)
            except Exception as error:  # noqa: BLE001  (one record must not end every stream that resumes over it)
                log.error("feed_failed", topic=delivery.topic, error=type(error).__name__, exc_info=error)
                return
            if stream.viewer.sees(item):
                found.setdefault(item.position, []).append(item)

        try:
            async with asyncio.timeout(self.seconds), self._reading:
                there = await self.past.read(old, receive)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("resume_failed", error=type(error).__name__)
            raise TooFar from error
        if not there:
            raise TooFar
        return found
