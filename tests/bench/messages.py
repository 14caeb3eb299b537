"""Messages of invented people, all alike but for their ids."""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from schemas.common import Channel, Identifier, IdentifierKind
from schemas.inbound import InboundData, InboundPersonal, MessageIdentified

TEXT = "Hello, my order 4711 has not arrived yet. Could you look where it is? Thank you, and kind regards"


def identified(customer: str, number: int, at: datetime) -> MessageIdentified:
    """Return the SMS `number` of `customer`, an id of its own in every run that gives it the same number."""
    message_id = uuid5(NAMESPACE_URL, f"{customer}/{number}")
    sender = Identifier(kind=IdentifierKind.PHONE, value="+15550100001", verified=True)
    return MessageIdentified(
        id=message_id,
        occurred_at=at,
        correlation=message_id,
        causation=message_id,
        customer_id=customer,
        home=customer,
        data=InboundData(
            provider="twilio-sms",
            account="demo",
            channel=Channel.SMS,
            inbox="support",
            sent_at=at,
            received_at=at,
        ),
        personal=InboundPersonal(
            sender=sender, identifiers=(sender,), text=TEXT, provider_message_id=f"SM{message_id.hex}"
        ),
    )
