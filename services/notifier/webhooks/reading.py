"""What an endpoint missed while it was paused, and replays: read from the log, which is kept for ever.

While an endpoint has a stretch to be read nothing is sent to it, so that what is read goes before what is
new. One replica at a time reads for it, in chunks; how far it is stands with the subscription.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import Delivery
from services.chassis.logging import log
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.intake import Wake, make_posts
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.rules import CLOCKS_DIFFER, Endpoint, Place, Reading, earliest

LEASE = timedelta(seconds=30)
RECORDS = 200
"""Most records in memory at a time."""


class Past(Protocol):
    """The log."""

    async def bounds(self) -> Mapping[Place, tuple[int, int]]:
        """Return the first offset that is there, and the next to be written, of every partition."""

    async def since(self, moment: datetime) -> Mapping[Place, int]:
        """Return, of every partition that has such, the first offset written at `moment` or later."""

    def chunks(
        self, ranges: Mapping[Place, tuple[int, int]], records: int
    ) -> AsyncGenerator[tuple[list[Delivery], dict[Place, int]], None]:
        """Yield the records of `ranges`, each partition in order, and the next offset of each."""


class Readings:
    """Reads stretches of the log into posts."""

    def __init__(
        self,
        endpoints: Endpoints,
        posts: Posts,
        past: Past,
        most_bytes: int,
        wake: Wake,
        clock: Clock = utc_now,
    ) -> None:
        self._endpoints, self._posts, self._past = endpoints, posts, past
        self._most_bytes = most_bytes
        self._wake = wake
        self._clock = clock

    async def round(self) -> None:
        """Read all that is to be read and that nobody reads."""
        while True:
            owner = str(uuid4())
            endpoint = await self._endpoints.claim_reading(owner, self._clock(), LEASE)
            if endpoint is None or endpoint.reading is None:
                return
            await self._read(endpoint, endpoint.reading, owner)

    async def _read(self, endpoint: Endpoint, reading: Reading, owner: str) -> None:
        log.info("webhook_reading", webhook=endpoint.id, replay=reading.since is not None)
        bounds = await self._past.bounds()
        starts = await self._starts(reading)
        ranges = {
            place: (max(first, bounds[place][0]), bounds[place][1])
            for place, first in starts.items()
            if place in bounds
        }
        async with aclosing(self._past.chunks(ranges, RECORDS)) as chunks:
            async for chunk, positions in chunks:
                await self._enqueue(endpoint, reading, chunk)
                until = self._clock() + LEASE
                if not await self._endpoints.save_reading(endpoint.id, owner, positions, until):
                    log.info("webhook_reading_left", webhook=endpoint.id)
                    return
        await self._endpoints.end_reading(endpoint.id, owner)
        self._wake()

    async def _starts(self, reading: Reading) -> Mapping[Place, int]:
        if reading.positions is not None:
            return reading.positions
        found = await self._past.since(reading.since - CLOCKS_DIFFER) if reading.since else {}
        return earliest(found, reading.missed)

    async def _enqueue(self, endpoint: Endpoint, reading: Reading, chunk: list[Delivery]) -> None:
        wanted = [
            (delivery, endpoint)
            for delivery in chunk
            if endpoint.wants(delivery.message.type)
            and reading.wants(
                (delivery.topic, delivery.partition), delivery.offset, delivery.message.occurred_at
            )
        ]
        if wanted:
            posts = make_posts(wanted, self._clock(), self._most_bytes)
            again = {post.id for post in posts if reading.again(post.at)}
            await self._posts.enqueue_read(posts, reading.id, again)
