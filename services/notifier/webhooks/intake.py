"""From the log to posts: what each endpoint is to get."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from schemas.envelope import Envelope
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.payload import body
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.rules import CLOCKS_DIFFER, Endpoint, EndpointState, Place, Post


class Wake(Protocol):
    """Told that there is something to send."""

    def __call__(self) -> None:
        """Look for it now."""


class Intake:
    """Consumer of the topics of the catalogue: stores posts before the offset is committed.

    For a paused endpoint nothing is stored: from where it misses events is noted, and read later.
    """

    def __init__(
        self, endpoints: Endpoints, posts: Posts, most_bytes: int, wake: Wake, clock: Clock = utc_now
    ) -> None:
        self._endpoints, self._posts = endpoints, posts
        self._most_bytes = most_bytes
        self._wake = wake
        self._clock = clock

    async def accept(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Store what is to be sent of these records."""
        while True:
            endpoints = await self._endpoints.all()
            wanting = [(endpoint, _wanted(endpoint, batch)) for endpoint in endpoints]
            if await self._miss(wanting):
                break
        active = [
            (delivery, endpoint)
            for endpoint, wanted in wanting
            if endpoint.state is EndpointState.ACTIVE
            for delivery in wanted
        ]
        if active:
            await self._posts.enqueue(make_posts(active, self._clock(), self._most_bytes))
            self._wake()
        return [HANDLED] * len(batch)

    async def _miss(self, wanting: Iterable[tuple[Endpoint, Sequence[Delivery]]]) -> bool:
        """Note what paused endpoints miss; False when one of them is not paused any more."""
        for endpoint, wanted in wanting:
            if endpoint.state is not EndpointState.PAUSED:
                continue
            lowest: dict[Place, int] = {}
            for delivery in wanted:
                place = (delivery.topic, delivery.partition)
                lowest[place] = min(delivery.offset, lowest.get(place, delivery.offset))
            new = {
                place: offset
                for place, offset in lowest.items()
                if offset < endpoint.missed.get(place, offset + 1)
            }
            if new and not await self._endpoints.miss(endpoint.id, new):
                return False
        return True


def _wanted(endpoint: Endpoint, batch: Sequence[Delivery]) -> list[Delivery]:
    """Return what the endpoint is to get; nothing from before it was made, should the log be read again."""
    begin = endpoint.created_at - CLOCKS_DIFFER
    return [
        delivery
        for delivery in batch
        if endpoint.wants(delivery.message.type) and delivery.message.occurred_at >= begin
    ]


def make_posts(wanted: Iterable[tuple[Delivery, Endpoint]], now: datetime, most_bytes: int) -> list[Post]:
    """Return posts in log order; the body of each record is made once."""
    bodies: dict[tuple[Place, int], bytes] = {}
    posts = []
    for delivery, endpoint in wanted:
        record: Envelope = delivery.message
        place = (delivery.topic, delivery.partition)
        key = (place, delivery.offset)
        if key not in bodies:
            bodies[key] = body(record, most_bytes)
        posts.append(
            Post(
                endpoint=endpoint.id,
                event=str(record.id),
                type=record.type,
                at=record.occurred_at,
                place=place,
                offset=delivery.offset,
                customer_id=record.customer_id,
                body=bodies[key],
                next_at=now,
            )
        )
    return posts
