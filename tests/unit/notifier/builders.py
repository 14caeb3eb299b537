"""Replies and receipts as the other services would publish them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.common import Channel, DeliveryStatus, Identifier, IdentifierKind
from schemas.inbound import (
    DeliveryData,
    DeliveryEcho,
    DeliveryReported,
    DeliveryWatermark,
    InboundData,
    InboundPersonal,
    WatermarkData,
    WatermarkPersonal,
)
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.delivery import Delivery

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CHANNELS = {
    "twilio-sms": Channel.SMS,
    "whatsapp": Channel.WHATSAPP,
    "webchat": Channel.CHAT,
    "messenger": Channel.MESSENGER,
    "instagram": Channel.INSTAGRAM,
}
KINDS = {
    "twilio-sms": IdentifierKind.PHONE,
    "whatsapp": IdentifierKind.WHATSAPP,
    "webchat": IdentifierKind.VISITOR,
    "messenger": IdentifierKind.MESSENGER,
    "instagram": IdentifierKind.INSTAGRAM,
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


def watermark(
    status: DeliveryStatus,
    up_to: float,
    *,
    seconds: float | None = None,
    provider: str = "messenger",
    to: str = "PSID1",
) -> DeliveryWatermark:
    own = ids.derive("watermark", status, up_to, to)
    return DeliveryWatermark.model_validate(
        {
            "id": own,
            "occurred_at": at(up_to),
            "correlation": own,
            "data": WatermarkData.model_validate(
                {
                    "provider": provider,
                    "account": "demo",
                    "status": status,
                    "up_to": at(up_to),
                    "at": at(up_to if seconds is None else seconds),
                }
            ),
            "personal": WatermarkPersonal(recipient=Identifier(kind=KINDS[provider], value=to)),
        }
    )


def echo(provider_id: str, *, seconds: float = 1, to: str = "IGSID1") -> DeliveryEcho:
    own = ids.derive("message", "instagram", provider_id)
    person = Identifier(kind=IdentifierKind.INSTAGRAM, value=to, verified=True)
    return DeliveryEcho(
        id=own,
        occurred_at=at(seconds),
        correlation=own,
        data=InboundData(
            provider="instagram",
            account="demo",
            channel=Channel.INSTAGRAM,
            inbox="support",
            direction="outbound",
            sent_at=at(seconds),
            received_at=at(seconds),
        ),
        personal=InboundPersonal(
            sender=person, identifiers=(person,), text="hello", provider_message_id=provider_id
        ),
    )


def batch(topic: str, *records: Any) -> list[Delivery]:
    return [Delivery(topic, 0, offset, record) for offset, record in enumerate(records)]
