"""From a reply to what became of it: `messages.outbound` and `messages.status`, key: Customer."""

from typing import Literal
from uuid import UUID

from schemas.common import Attachment, Channel, DeliveryStatus, Identifier, TemplateUse
from schemas.envelope import Envelope, Model, Personal, Time, Whole


class OutboundData(Model):
    """Where a reply goes."""

    message_id: UUID
    conversation_id: str
    """Empty for an automatic answer to somebody without a Conversation."""
    provider: str
    account: str
    channel: Channel
    agent: str | None = None
    automatic: bool = False
    human_agent: bool = False
    """The Customer has been silent for over 24 hours: Meta wants the tag HUMAN_AGENT."""
    consent_at: Time | None = None
    """Of the last word on consent that was known when it was written; a later one may forbid it."""


class OutboundPersonal(Personal):
    """To whom, and what."""

    to: Identifier
    text: str
    subject: str | None = None
    in_reply_to: str | None = None
    """The provider's id of the Customer's last message on this account."""
    references: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    template: TemplateUse | None = None
    """To be sent as this template, which `text` is the wording of."""


class MessageSend(Envelope):
    """A message to be sent once. `seq` orders those of one Customer."""

    type: Literal["message.send"] = "message.send"
    customer_id: str
    home: str
    seq: Whole
    data: OutboundData
    personal: OutboundPersonal


OPTED_OUT = "opted_out"
"""`error_kind` of a refusal for want of consent; as `error_code` too where no provider was asked."""


class StatusData(Model):
    """The delivery status after merging by rank and time; it never regresses."""

    message_id: UUID
    conversation_id: str
    status: DeliveryStatus
    at: Time
    provider_message_id: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    error_kind: str | None = None
    """What the refusal is about, the same for all providers: `opted_out`, `outside_window`, …"""


class MessageStatus(Envelope):
    """What became of a message we sent. `seq` counts the changes of one message."""

    type: Literal["message.status"] = "message.status"
    customer_id: str
    home: str
    seq: Whole
    data: StatusData
