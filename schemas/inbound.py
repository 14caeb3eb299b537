"""From a provider's webhook to an identified message.

Topics `messages.inbound`, `messages.identified`, `messages.delivery` and `webhooks.quarantine`.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.common import Attachment, BlobRef, Channel, DeliveryStatus, Identifier
from schemas.envelope import Envelope, Model, Personal, Time, Whole


class InboundData(Model):
    """What is known of a provider's message besides the person."""

    provider: str
    account: str
    channel: Channel
    inbox: str
    direction: Literal["inbound", "outbound"] = "inbound"
    """`outbound`: an echo of what was sent from the provider's own app."""
    kind: str = "text"
    """The provider's message type: `text`, `image`, `reaction`, `unsupported`, …"""
    sent_at: Time
    """The provider's time; ours for mail and for times in the future."""
    received_at: Time
    automatic: bool = False
    """An automatic mail (RFC 3834), a bounce, a system message: recorded, never answered."""
    consent: Literal["stop", "start", "help"] | None = None
    """What the provider says that the message asks for (Twilio's `OptOutType`), whatever its words."""
    thread: str | None = None
    """Home Customer whom the signed reply address names that a mail was sent to."""
    guest: bool | None = None
    """True where somebody else than the Customer wrote it, to a reply address of the Customer's.

    identity tells; before that nobody knows.
    """


class InboundPersonal(Personal):
    """Who wrote, and what."""

    sender: Identifier
    """The address a reply goes to."""
    identifiers: tuple[Identifier, ...] = Field(min_length=1)
    """All that the message shows about its sender, `sender` included."""
    name: str | None = None
    text: str = ""
    """For display: U+0000 and lone surrogates replaced by U+FFFD."""
    text_raw: str | None = None
    """The text as a JSON string literal in ASCII, only where `text` had to be changed."""
    text_rest: BlobRef | None = None
    """The whole text where `text` was cut."""
    html: str | None = None
    """A mail's HTML, made safe to show."""
    quoted: str | None = None
    """The earlier mail that a mail quotes below `text`; both together are all of its words."""
    subject: str | None = None
    attachments: tuple[Attachment, ...] = ()
    provider_message_id: str
    """A reply's thread is built from it (an RFC 5322 Message-ID on email)."""
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    raw: BlobRef | None = None
    """The message as received, for email."""


class MessageReceived(Envelope):
    """`messages.inbound`, key: the sender's address. `id` is the message's id."""

    type: Literal["message.received"] = "message.received"
    data: InboundData
    personal: InboundPersonal


class MessageIdentified(Envelope):
    """`messages.identified`, key: Customer. The same message with its Customer; `id` is the message's id."""

    type: Literal["message.identified"] = "message.identified"
    customer_id: str
    home: str
    data: InboundData
    personal: InboundPersonal


class DeliveryData(Model):
    """A provider's word on one of our messages."""

    provider: str
    account: str
    provider_message_id: str
    status: DeliveryStatus
    at: Time
    """The provider's time where it gives one, else when we received it."""
    message_id: UUID | None = None
    """Our own id, where the provider carries it along."""
    error_code: str | None = None
    error_detail: str | None = None


class DeliveryReported(Envelope):
    """`messages.delivery`, key: the provider's message id."""

    type: Literal["delivery.reported"] = "delivery.reported"
    data: DeliveryData


class WatermarkData(Model):
    """A provider's word on all our messages to one person up to a moment."""

    provider: str
    account: str
    status: Literal[DeliveryStatus.DELIVERED, DeliveryStatus.READ]
    up_to: Time
    """By the provider's clock; it covers what the provider took at this moment or before."""
    at: Time
    """When it happened, by the provider's clock."""


class WatermarkPersonal(Personal):
    """Whose receipt it is."""

    recipient: Identifier


class DeliveryWatermark(Envelope):
    """`messages.delivery`, key: the recipient's address. Messenger tells receipts so."""

    type: Literal["delivery.watermark"] = "delivery.watermark"
    data: WatermarkData
    personal: WatermarkPersonal


class DeliveryEcho(Envelope):
    """`messages.delivery`, key: the provider's message id.

    A message that left our account and does not tell who sent it: one of ours, or one from the
    provider's own app. `id` is the id it has as a MessageReceived if it turns out not to be ours.
    """

    type: Literal["delivery.echo"] = "delivery.echo"
    data: InboundData
    personal: InboundPersonal


AnyDelivery = Annotated[DeliveryReported | DeliveryWatermark | DeliveryEcho, Field(discriminator="type")]


class QuarantineData(Model):
    """Why a verified webhook, or an item of one, could not be read."""

    provider: str
    account: str
    reason: str
    received_at: Time
    content_type: str | None = None
    size: Whole


class QuarantinePersonal(Personal):
    """The bytes, either here (base64) or in the blob store."""

    body_base64: str | None = None
    blob: BlobRef | None = None


class WebhookQuarantined(Envelope):
    """`webhooks.quarantine`, key: provider/account."""

    type: Literal["webhook.quarantined"] = "webhook.quarantined"
    data: QuarantineData
    personal: QuarantinePersonal
