"""What a record looks like on the feed, and who may see it."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import catalogue
from schemas.common import Channel, IdentifierKind
from schemas.conversations import (
    AnyConversationEvent,
    ConversationAssigned,
    ConversationMerged,
    ConversationOpened,
    ConversationSplit,
    ConversationStatusChanged,
    ConversationTransferred,
    ConversationUnassigned,
    MessageAdded,
    MessageDeliveryChanged,
)
from schemas.envelope import Envelope, rfc3339
from schemas.signals import AnySignal, VisitorTyping
from schemas.topics import ROUTING_DECISIONS
from services.chassis.delivery import Delivery
from services.notifier.feed.chats import Chats, Place, visitor_key
from services.notifier.feed.positions import Position

_STATUS_EVENTS = (
    ConversationOpened,
    ConversationStatusChanged,
    ConversationAssigned,
    ConversationUnassigned,
    ConversationTransferred,
)
_VISITOR_FIELDS = frozenset(
    {
        "conversation_id",
        "status",
        "message_id",
        "direction",
        "channel",
        "account",
        "kind",
        "sent_at",
        "received_at",
        "delivery",
        "reopened",
    }
)
"""What a visitor may know of an event. No Agent, Inbox, reason or error of ours is among it."""


@dataclass(frozen=True, slots=True)
class Item:
    """A record on the feed: where it stands in the log, its JSON, and who may see it. Leads see all."""

    position: Position
    offset: int
    id: UUID
    name: str
    data: str
    inboxes: tuple[str, ...] = ()
    agent: str | None = None
    customer: str | None = None
    visitors: tuple[str, ...] = ()
    visitor_data: str | None = None
    heard: tuple[Channel, datetime] | None = None
    """Of a Customer's message: its channel, and when its webhook came."""

    @property
    def size(self) -> int:
        """Bytes it takes, roughly."""
        return 600 + len(self.data) + len(self.visitor_data or "")


def item_of(delivery: Delivery, chats: Chats) -> Item:
    """Return the record as it is on the feed. Visitors' chats are learnt on the way."""
    message = delivery.message
    decision = delivery.topic == ROUTING_DECISIONS.name
    data: dict[str, Any] = message.data.model_dump(mode="json", exclude_none=True)
    if decision and message.data.kind == "task":
        data["task_id"] = data.pop("conversation_id")
    common = catalogue.place(message, data.get("conversation_id"))
    words = catalogue.words(message)
    visitors = _visitors(message, chats)
    if not decision and "conversation_id" in data:
        chats.sits(data["conversation_id"], message.customer_id, data["inbox"])
    return Item(
        (delivery.topic, delivery.partition),
        delivery.offset,
        message.id,
        message.type,
        _json({**data, **words, **common}),
        inboxes=() if decision else _inboxes(message),
        agent=data.get("agent") if decision else None,
        customer=message.home or message.customer_id,
        visitors=visitors,
        visitor_data=_json({**_visible(data), **words, **common}) if visitors else None,
        heard=_heard(message),
    )


def signal_item(delivery: Delivery, chats: Chats) -> Item:
    """Return a signal as it is on the feed: Agents see a visitor's; visitors and Agents an Agent's."""
    message: AnySignal = delivery.message
    visitors: tuple[str, ...] = ()
    if isinstance(message, VisitorTyping):
        key = visitor_key(message.data.account, message.personal.visitor)
        place = chats.of_visitor(key) or Place(None)
    else:
        place = Place(message.data.conversation_id, message.customer_id, message.data.inbox)
        visitors = chats.of_conversation(message.data.conversation_id)
    common = {
        "id": str(message.id),
        "type": message.type,
        "at": rfc3339(message.occurred_at),
        "customer_id": place.customer_id,
        "conversation_id": place.conversation_id,
    }
    return Item(
        (delivery.topic, delivery.partition),
        delivery.offset,
        message.id,
        message.type,
        _json({**message.data.model_dump(), **common}),
        inboxes=(place.inbox,) if place.inbox is not None else (),
        visitors=visitors,
        visitor_data=_json({"typing": message.data.typing, **common}) if visitors else None,
    )


def _inboxes(event: AnyConversationEvent) -> tuple[str, ...]:
    if isinstance(event, ConversationTransferred):
        return (event.data.inbox, event.data.before)
    return (event.data.inbox,)


def _visitors(message: Envelope, chats: Chats) -> tuple[str, ...]:
    match message:
        case MessageAdded(data=data, personal=personal):
            address = personal.address
            if data.channel is not Channel.CHAT or address.kind is not IdentifierKind.VISITOR:
                return ()
            key = visitor_key(data.account, address.value)
            chats.learn(data.conversation_id, str(data.message_id), key)
            return (key,)
        case ConversationMerged() | ConversationSplit():
            return _moved(message, chats)
        case MessageDeliveryChanged(data=data):
            return chats.of_message(str(data.message_id))
        case _ if isinstance(message, _STATUS_EVENTS):
            return chats.of_conversation(message.data.conversation_id)
        case _:
            return ()


def _moved(message: ConversationMerged | ConversationSplit, chats: Chats) -> tuple[str, ...]:
    if isinstance(message, ConversationSplit):
        chats.forget(message.data.before)
        return ()
    chats.unite(message.data.merged, message.data.conversation_id)
    return chats.of_conversation(message.data.conversation_id)


def _heard(message: Envelope) -> tuple[Channel, datetime] | None:
    if isinstance(message, MessageAdded) and message.data.direction == "inbound":
        return message.data.channel, message.data.received_at
    return None


def _visible(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name in _VISITOR_FIELDS}


def _json(value: dict[str, Any]) -> str:
    # in ASCII: some clients take U+2028 and the like for the end of a line
    return json.dumps(value, separators=(",", ":"))
