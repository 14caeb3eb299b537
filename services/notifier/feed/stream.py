"""A stream as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

`id` is the client's place in the log after the event. `ready` comes first on a stream that starts now,
so that a client that hears nothing more can resume; `reset` says that what was missed can't be told: the
client loads anew and goes on from there. Comments keep the connection open and move the place along.
"""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message, Receive, Scope, Send

from schemas.envelope import rfc3339
from services.chassis.clock import Clock, utc_now
from services.notifier import metrics
from services.notifier.feed.hub import Hub, Stream, Viewer
from services.notifier.feed.items import Item
from services.notifier.feed.positions import Vector, decode, encode
from services.notifier.feed.resume import Resume, TooFar


@dataclass
class Streams:
    """Makes streams."""

    hub: Hub
    resume: Resume
    ping_seconds: float
    catch_up_seconds: float
    """Longest time this replica may be behind what a client has seen; after it the client is reset."""
    clock: Clock = utc_now

    async def events(
        self, viewer: Viewer, last_event_id: str | None, seconds_left: float = float("inf")
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield a viewer's events, from the place `last_event_id` or from now, for at most `seconds_left`."""
        wanted = decode(last_event_id) if last_event_id else None
        kind = "agent" if viewer.visitor is None else "visitor"
        stream = self.hub.open(viewer, wanted)
        metrics.CLIENTS.labels(kind).inc()
        try:
            if wanted is not None:
                async for event in self._missed(stream, wanted):
                    yield event
            else:
                if last_event_id:
                    metrics.RESUMES.labels("reset").inc()
                yield self._notice("reset" if last_event_id else "ready", stream.place(stream.start))
            async for event in self._present(stream, time.monotonic() + seconds_left):
                yield event
        finally:
            self.hub.close(stream)
            metrics.CLIENTS.labels(kind).dec()

    async def _missed(self, stream: Stream, wanted: Vector) -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(comment="resuming")
        try:
            items = await self.resume.missed(stream, wanted)
        except TooFar:
            metrics.RESUMES.labels("reset").inc()
            yield self._notice("reset", stream.place(stream.start))
            return
        place = dict(wanted)
        for item in items:
            place[item.position] = item.offset + 1
            if stream.seen.first(item.id):
                yield _event(stream, item, encode(place))

    async def _present(self, stream: Stream, end: float) -> AsyncIterator[ServerSentEvent]:
        late = time.monotonic() + self.catch_up_seconds
        while (left := end - time.monotonic()) > 0:
            got = await stream.next(min(self.ping_seconds, left))
            if stream.slow:
                metrics.CLOSED_STREAMS.labels("slow").inc()
                return
            if got is not None and stream.seen.first(got[0].id):
                yield _event(stream, *got)
            elif got is None and stream.idle:
                yield ServerSentEvent(comment="ping", id=stream.place(self.hub.vector()))
            if stream.ahead and time.monotonic() > late:
                # the place was not of this log: it has begun anew
                stream.ahead = {}
                yield self._notice("reset", stream.place(self.hub.vector()))
        metrics.CLOSED_STREAMS.labels("expired").inc()

    def _notice(self, name: str, place: str) -> ServerSentEvent:
        body = {"id": str(uuid4()), "type": name, "at": rfc3339(self.clock())}
        return ServerSentEvent(
            event=name, id=place, data=json.dumps({**body, "customer_id": None, "conversation_id": None})
        )


def _event(stream: Stream, item: Item, place: str) -> ServerSentEvent:
    return ServerSentEvent(event=item.name, id=place, data=stream.viewer.data(item))


class EventStream(EventSourceResponse):
    """Ends quietly when the client reads nothing for too long; it resumes when it is back.

    When the server stops it ends in order: to the client that is an end, not a broken connection.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        goes_on = False

        async def noting(message: Message) -> None:
            nonlocal goes_on
            goes_on = message["type"] == "http.response.start" or bool(message.get("more_body"))
            await send(message)

        try:
            await super().__call__(scope, receive, noting)
        except SendTimeoutError:
            metrics.CLOSED_STREAMS.labels("slow").inc()
            return
        if goes_on:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
