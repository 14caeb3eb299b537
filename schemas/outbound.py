"""From a reply to what became of it: `messages.outbound` and `messages.status`, key: Customer."""

from typing import Literal
from uuid import UUID

from schemas.common import Attachment, Channel, DeliveryStatus, Identifier
from schemas.envelope import Envelope, Model, Personal, Time, Whole


class OutboundData(Model):
    """Where a reply goes."""

    message_id: UUID
    conversation_id: str
    provider: str
    account: str
    channel: Channel
    agent: str | None = None
    automatic: bool = False


class OutboundPersonal(Personal):
    """To whom, and what."""

    to: Identifier
    text: str
    subject: str | None = None
    in_reply_to: str | None = None
    """The provider's id of the Customer's last message on this account."""
    references: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class MessageSend(Envelope):
    """A message to be sent once. `seq` orders those of one Customer."""

    type: Literal["message.send"] = "message.send"
    customer_id: str
    home: str
    seq: Whole
    data: OutboundData
    personal: OutboundPersonal


class StatusData(Model):
    """The delivery status after merging by rank and time; it never regresses."""

    message_id: UUID
    conversation_id: str
    status: DeliveryStatus
    at: Time
    provider_message_id: str | None = None
    error_code: str | None = None
    error_detail: str | None = None


class MessageStatus(Envelope):
    """What became of a message we sent. `seq` counts the changes of one message."""

    type: Literal["message.status"] = "message.status"
    customer_id: str
    home: str
    seq: Whole
    data: StatusData
