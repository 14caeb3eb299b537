"""A log of the feed's records, a hub that follows it, and streams on it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from sse_starlette import ServerSentEvent

from schemas import ids
from schemas.common import Channel, DeliveryStatus, Identifier, IdentifierKind
from schemas.conversations import (
    AssignedData,
    ConversationAssigned,
    ConversationTransferred,
    DeliveryChangedData,
    MessageAdded,
    MessageData,
    MessageDeliveryChanged,
    MessagePersonal,
    NoteAdded,
    NoteData,
    NotePersonal,
    Status,
    TransferredData,
)
from schemas.routing import OfferData, RoutingOffered
from schemas.signals import AgentTyping, AnySignal, VisitorTyping
from schemas.topics import CHATS_SIGNALS, CONVERSATIONS_EVENTS, ROUTING_DECISIONS
from services.chassis.delivery import Delivery
from services.notifier.feed.hub import Hub, Viewer
from services.notifier.feed.positions import PARTITIONS, Position
from services.notifier.feed.resume import Resume
from services.notifier.feed.stream import Streams

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
EVENTS, DECISIONS = CONVERSATIONS_EVENTS.name, ROUTING_DECISIONS.name
ANA = Viewer("ana", frozenset({"support"}))
BEN = Viewer("ben", frozenset({"sales"}))
LEA = Viewer("lea", None)


def base(name: str, customer: str = "c1") -> dict[str, Any]:
    return {
        "id": ids.derive("event", name),
        "occurred_at": NOW,
        "correlation": ids.derive("correlation", name),
        "customer_id": customer,
        "home": customer,
        "seq": 1,
    }


def ref(inbox: str = "support", conversation: str = "k1") -> dict[str, Any]:
    return {"conversation_id": conversation, "inbox": inbox, "status": Status.OPEN, "agent": "ana"}


def message(
    name: str,
    *,
    inbox: str = "support",
    channel: Channel = Channel.SMS,
    direction: str = "inbound",
    visitor: str | None = None,
    account: str = "demo",
    conversation: str = "k1",
) -> MessageAdded:
    kind, value = (IdentifierKind.VISITOR, visitor) if visitor else (IdentifierKind.PHONE, "+15551230001")
    data = {
        "message_id": ids.derive("message", name),
        "direction": direction,
        "channel": channel,
        "account": account,
        "sent_at": NOW,
        "received_at": NOW,
        "author": "ana" if direction == "outbound" else None,
        "delivery": DeliveryStatus.RECEIVED,
    }
    return MessageAdded(
        **base(name),
        data=MessageData(**ref(inbox, conversation), **data),
        personal=MessagePersonal(address=Identifier(kind=kind, value=value), text=f"text of {name}"),
    )


def chat(name: str, visitor: str, direction: str = "inbound", **more: Any) -> MessageAdded:
    return message(name, channel=Channel.CHAT, visitor=visitor, direction=direction, **more)


def delivered(name: str, of: str) -> MessageDeliveryChanged:
    data = DeliveryChangedData(
        **ref(),
        message_id=ids.derive("message", of),
        delivery=DeliveryStatus.FAILED,
        error_code="30008",
        error_detail="our secret",
    )
    return MessageDeliveryChanged(**base(name), data=data)


def assigned(name: str, conversation: str = "k1") -> ConversationAssigned:
    return ConversationAssigned(
        **base(name), data=AssignedData(**ref(conversation=conversation), reason="push")
    )


def note(name: str) -> NoteAdded:
    data = NoteData(**ref(), note_id=ids.derive("note", name), author="ana")
    return NoteAdded(**base(name), data=data, personal=NotePersonal(text="between us"))


def transferred(name: str, before: str, inbox: str) -> ConversationTransferred:
    return ConversationTransferred(**base(name), data=TransferredData(**ref(inbox), before=before))


def offered(name: str, agent: str) -> RoutingOffered:
    data = OfferData(
        pool="main",
        n=1,
        conversation_id="k1",
        epoch=1,
        agent=agent,
        offer_id=ids.derive("offer", name),
        inbox="support",
        channel=Channel.SMS,
        expires_at=NOW,
    )
    return RoutingOffered(**base(name), data=data)


def visitor_types(name: str, visitor: str, account: str = "demo") -> VisitorTyping:
    data, personal = {"account": account, "typing": True}, {"visitor": visitor}
    return VisitorTyping(
        id=ids.derive("signal", name),
        occurred_at=NOW,
        correlation=ids.derive("c", name),
        data=data,
        personal=personal,
    )


def agent_types(name: str, conversation: str = "k1", inbox: str = "support") -> AgentTyping:
    data = {"conversation_id": conversation, "inbox": inbox, "agent": "ana", "typing": True}
    return AgentTyping(
        id=ids.derive("signal", name),
        occurred_at=NOW,
        correlation=ids.derive("c", name),
        customer_id="c1",
        data=data,
    )


@dataclass
class Feed:
    """One replica. `log` is what Kafka has; `follow` brings the hub up to its end."""

    log: dict[Position, list[Any]] = field(default_factory=lambda: {place: [] for place in PARTITIONS})
    ring_records: int = 100
    queue: int = 100
    most_records: int = 1000
    catch_up_seconds: float = 5.0
    reads: int = 0
    gone: bool = False

    def __post_init__(self) -> None:
        self.hub = Hub({}, ring_records=self.ring_records, ring_bytes=1_000_000, queue=self.queue)
        ends = {place: len(records) for place, records in self.log.items()}
        self.hub.begin(ends, ends)
        self.streams = Streams(
            self.hub,
            Resume(self.hub, self, self.most_records, 5.0, 2),
            ping_seconds=0.05,
            catch_up_seconds=self.catch_up_seconds,
            clock=lambda: NOW,
        )

    def write(self, *records: Any, partition: int = 0) -> None:
        for record in records:
            topic = DECISIONS if record.type.startswith("routing.") else EVENTS
            self.log[topic, partition].append(record)

    def follow(self) -> None:
        for (topic, partition), records in self.log.items():
            for offset in range(self.hub.positions[topic, partition], len(records)):
                self.hub.receive(Delivery(topic, partition, offset, records[offset]))

    def happen(self, *records: Any, partition: int = 0) -> None:
        self.write(*records, partition=partition)
        self.follow()

    def signal(self, *signals: AnySignal) -> None:
        for each in signals:
            self.hub.signal(Delivery(CHATS_SIGNALS.name, 0, 0, each))

    async def read(
        self, ranges: Mapping[Position, tuple[int, int]], receive: Callable[[Delivery], None]
    ) -> bool:
        self.reads += 1
        for place, (first, end) in ranges.items():
            for offset in range(first, end):
                receive(Delivery(*place, offset, self.log[place][offset]))
        return not self.gone


class Listener:
    """Reads one stream, as a client does."""

    def __init__(self, feed: Feed, viewer: Viewer, last: str | None = None, seconds: float = 60) -> None:
        self._events = feed.streams.events(viewer, last, seconds)
        self.last = last
        self.got: list[tuple[str, dict[str, Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]

    async def next(self) -> ServerSentEvent:
        async with asyncio.timeout(5):
            event = await anext(self._events)
        self.last = event.id or self.last
        if event.data is not None:
            self.got.append((event.event or "", json.loads(event.data)))
        return event

    async def quiet(self) -> None:
        """Read until nothing more is there: up to the first ping."""
        while (await self.next()).comment != "ping":
            pass

    def events(self) -> list[UUID]:
        return [UUID(data["id"]) for name, data in self.got if name not in {"ready", "reset"}]

    def names(self) -> list[str]:
        return [name for name, _ in self.got]


async def listen(feed: Feed, viewer: Viewer, last: str | None = None) -> Listener:
    listener = Listener(feed, viewer, last)
    await listener.quiet()
    return listener
