"""Invented messages and the shortest way to apply them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas import ids
from schemas import routing as contract
from schemas.common import Channel, Identifier, IdentifierKind
from schemas.inbound import InboundData, InboundPersonal, MessageIdentified
from services.chassis.inboxes import Inbox
from services.conversation.domain.draft import Draft
from services.conversation.domain.inbound import receive
from services.conversation.domain.model import Thread

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
INBOXES = {
    "support": Inbox(name="support"),
    "fallback": Inbox(name="fallback"),
    "vip": Inbox(name="vip", pool="vip"),
}
CUSTOMER = "c-1"
PROVIDERS = {
    Channel.SMS: "twilio-sms",
    Channel.EMAIL: "mime",
    Channel.WHATSAPP: "whatsapp",
    Channel.CHAT: "webchat",
}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def message(
    key: object,
    text: str = "My parcel is broken",
    *,
    seconds: float = 0,
    sent: float | None = None,
    channel: Channel = Channel.SMS,
    kind: str = "text",
    automatic: bool = False,
    direction: Any = "inbound",
    customer: str = CUSTOMER,
    inbox: str = "support",
    number: str = "+15551230001",
) -> MessageIdentified:
    sender = Identifier(kind=IdentifierKind.PHONE, value=number, verified=True)
    return MessageIdentified(
        id=ids.derive("message", key),
        occurred_at=at(seconds),
        correlation=ids.derive("webhook", key),
        customer_id=customer,
        home=customer,
        data=InboundData(
            provider=PROVIDERS[channel],
            account="demo",
            channel=channel,
            inbox=inbox,
            kind=kind,
            automatic=automatic,
            direction=direction,
            sent_at=at(seconds if sent is None else sent),
            received_at=at(seconds),
        ),
        personal=InboundPersonal(
            sender=sender, identifiers=(sender,), text=text, provider_message_id=f"SM{key}", name="Zoë Quill"
        ),
    )


def draft(thread: Thread, seconds: float, cause: object = None) -> Draft:
    identity = cause if isinstance(cause, UUID) else ids.derive("cause", cause, seconds, thread.seq)
    return Draft(thread, identity, identity, at(seconds), thread.customer_id)


def received(thread: Thread, item: MessageIdentified) -> Draft:
    change = Draft(thread, item.id, item.correlation, item.data.received_at, item.home)
    receive(change, item, INBOXES)
    return change


def empty(customer: str = CUSTOMER) -> Thread:
    return Thread(customer_id=customer)


def commands(change: Draft, kind: type) -> list[Any]:
    return [item for item in change.caused if isinstance(item, kind)]


def grant(
    thread: Thread, agent: str = "ana", *, n: int = 1, epoch: int | None = None, reason: Any = "push"
) -> contract.RoutingGranted:
    conversation = thread.current
    assert conversation is not None
    routing = conversation.routing
    return contract.RoutingGranted(
        id=ids.derive("decision", routing.pool, n),
        occurred_at=at(n),
        correlation=ids.derive("x"),
        customer_id=thread.customer_id,
        home=thread.customer_id,
        seq=n,
        data=contract.GrantData(
            pool=routing.pool,
            n=n,
            conversation_id=conversation.id,
            epoch=routing.current if epoch is None else epoch,
            agent=agent,
            reason=reason,
            explanation=contract.Explanation(policy="least_loaded", why="only_one"),
        ),
    )
