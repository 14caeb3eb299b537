"""Replies and receipts as the other services would publish them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.common import Channel, DeliveryStatus, Identifier, IdentifierKind
from schemas.inbound import DeliveryData, DeliveryReported
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.delivery import Delivery

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CHANNELS = {"twilio-sms": Channel.SMS, "whatsapp": Channel.WHATSAPP, "webchat": Channel.CHAT}
KINDS = {
    "twilio-sms": IdentifierKind.PHONE,
    "whatsapp": IdentifierKind.WHATSAPP,
    "webchat": IdentifierKind.VISITOR,
}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def message_id(name: str) -> UUID:
    return ids.derive("message", name)


def reply(
    name: str,
    *,
    customer: str = "c1",
    seq: int = 1,
    provider: str = "twilio-sms",
    account: str = "demo",
    to: str = "+15551230001",
) -> MessageSend:
    return MessageSend(
        id=ids.derive("send", name),
        occurred_at=START,
        correlation=ids.derive("correlation", name),
        customer_id=customer,
        home=customer,
        seq=seq,
        data=OutboundData(
            message_id=message_id(name),
            conversation_id=f"conversation-of-{customer}",
            provider=provider,
            account=account,
            channel=CHANNELS.get(provider, Channel.SMS),
            agent="ana",
        ),
        personal=OutboundPersonal(
            to=Identifier(kind=KINDS.get(provider, IdentifierKind.PHONE), value=to), text=name
        ),
    )


def receipt(
    provider_id: str,
    status: DeliveryStatus,
    *,
    seconds: float = 1,
    name: str | None = None,
    provider: str = "twilio-sms",
    account: str = "demo",
    error_code: str | None = None,
) -> DeliveryReported:
    own = ids.derive("receipt", provider, account, provider_id, status, seconds)
    return DeliveryReported(
        id=own,
        occurred_at=at(seconds),
        correlation=own,
        data=DeliveryData(
            provider=provider,
            account=account,
            provider_message_id=provider_id,
            status=status,
            at=at(seconds),
            message_id=message_id(name) if name else None,
            error_code=error_code,
        ),
    )


def batch(topic: str, *records: Any) -> list[Delivery]:
    return [Delivery(topic, 0, offset, record) for offset, record in enumerate(records)]
