"""Words that several contracts share."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.envelope import Model, Whole


class Channel(StrEnum):
    """How a Customer and we exchange words (domain: Channel)."""

    SMS = "sms"
    WHATSAPP = "whatsapp"
    EMAIL = "email"
    CHAT = "chat"
    MESSENGER = "messenger"
    INSTAGRAM = "instagram"
    TELEGRAM = "telegram"
    LINE = "line"
    VOICE = "voice"


class ChannelClass(StrEnum):
    """What an Agent's room is counted in; listed in the order in which queues are served."""

    VOICE = "voice"
    MESSAGING = "messaging"
    EMAIL = "email"
    TASKS = "tasks"


def channel_class(channel: Channel) -> ChannelClass:
    """Return the class whose room a Contact on `channel` takes."""
    if channel is Channel.VOICE:
        return ChannelClass.VOICE
    if channel is Channel.EMAIL:
        return ChannelClass.EMAIL
    return ChannelClass.MESSAGING


class IdentifierKind(StrEnum):
    """By what a Customer is known. `external` values read `<source>:<id>`."""

    EMAIL = "email"
    PHONE = "phone"
    WHATSAPP = "whatsapp"
    MESSENGER = "messenger"
    INSTAGRAM = "instagram"
    TELEGRAM = "telegram"
    LINE = "line"
    VISITOR = "visitor"
    EXTERNAL = "external"


class Identifier(Model):
    """One normalised identifier of a Customer (`services.chassis.identifiers` normalises)."""

    kind: IdentifierKind
    value: str = Field(min_length=1, max_length=998)
    verified: bool = False
    """True when the provider or a signed token vouches for it."""


class BlobRef(Model):
    """Bytes kept outside the record."""

    ref: str
    sha256: str
    size: Whole
    content_type: str | None = None
    filename: str | None = None


class Attachment(Model):
    """A file that came with a message: stored (`blob`), or still at the provider (`url`, `media_id`)."""

    id: UUID | None = None
    """That of an uploaded file. Other files' ids follow from the message: see `ids.attachment_id`."""
    content_type: str | None = None
    filename: str | None = None
    size: Whole | None = None
    url: str | None = None
    media_id: str | None = None
    blob: BlobRef | None = None

    SHOWN: ClassVar[frozenset[str]] = frozenset({"id", "content_type", "filename", "size"})
    """What people see of it: never where it is."""

    def shown(self) -> dict[str, str | int]:
        """Return what people see of it."""
        return self.model_dump(mode="json", exclude_none=True, include=set(self.SHOWN))


class DeliveryStatus(StrEnum):
    """Where a message is on its way. `unknown`: the request left, no answer came."""

    RECEIVED = "received"
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    UNKNOWN = "unknown"


class TemplateUse(Model):
    """A template of the account, and what fills its places in order."""

    name: str
    language: str
    parameters: tuple[str, ...] = ()
