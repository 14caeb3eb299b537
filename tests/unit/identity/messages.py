"""Builders of messages for the tests of identity. All people are invented."""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.common import Channel, Identifier, IdentifierKind
from schemas.ids import derive
from schemas.inbound import InboundData, InboundPersonal, MessageReceived
from services.chassis.delivery import Delivery

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PHONE = Identifier(kind=IdentifierKind.PHONE, value="+15551230001", verified=True)
OTHER_PHONE = Identifier(kind=IdentifierKind.PHONE, value="+15551230002", verified=True)
WHATSAPP = Identifier(kind=IdentifierKind.WHATSAPP, value="15551230001", verified=True)
USER = Identifier(kind=IdentifierKind.WHATSAPP, value="US.13491208655302741918", verified=True)
EMAIL = Identifier(kind=IdentifierKind.EMAIL, value="ada@example.org", verified=True)
MAIL_FROM = EMAIL.model_copy(update={"verified": False})


def shown(
    *identifiers: Identifier,
    number: int = 1,
    name: str | None = None,
    channel: Channel = Channel.SMS,
    direction: str = "inbound",
    thread: str | None = None,
) -> MessageReceived:
    """Return a message whose sender is the first identifier and that shows the others too."""
    return MessageReceived(
        id=derive("test-message", *(known.value for known in identifiers), number),
        occurred_at=NOW,
        correlation=derive("test-webhook", number),
        data=InboundData.model_validate(
            {
                "provider": "twilio-sms",
                "account": "demo",
                "channel": channel,
                "inbox": "support",
                "direction": direction,
                "sent_at": NOW,
                "received_at": NOW,
                "thread": thread,
            }
        ),
        personal=InboundPersonal(
            sender=identifiers[0],
            identifiers=identifiers,
            name=name,
            text=f"message {number}",
            provider_message_id=f"SM{number}",
        ),
    )


def batch(*messages: MessageReceived) -> Sequence[Delivery]:
    return [Delivery("messages.inbound", 0, offset, message) for offset, message in enumerate(messages)]
