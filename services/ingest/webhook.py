"""What a provider module gets, and what it makes of it: plain values, no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol
from urllib.parse import unquote
from uuid import UUID

from schemas.envelope import rfc3339
from schemas.inbound import DeliveryEcho, DeliveryReported, DeliveryWatermark, MessageReceived
from schemas.topics import MESSAGES_DELIVERY
from services.chassis.accounts import Account, Accounts
from services.ingest.multipart import MOST_PARTS, BadItem, Field, read_multipart
from services.ingest.voice.menus import Menus

__all__ = ["BadItem", "Field"]


def form_fields(text: str, errors: str = "replace") -> list[tuple[str, str]]:
    """Return what `parse_qsl(text, keep_blank_values=True)` does, in a third of its time.

    Most names and values bear no escapes: it looks at each of them all the same.
    """
    pieces = (piece.partition("=") for piece in text.replace("+", " ").split("&") if piece)
    return [(_unescaped(name, errors), _unescaped(value, errors)) for name, _, value in pieces]


def _unescaped(text: str, errors: str) -> str:
    return unquote(text, errors=errors) if "%" in text else text


@dataclass(frozen=True)
class Webhook:
    """One request exactly as received, since that is what its signature covers."""

    method: str
    path: str
    """As in the request line, percent-encoding untouched."""
    query: str
    """Without the `?`, percent-encoding untouched."""
    headers: Mapping[str, str]
    """Names in lower case; values decoded as latin-1."""
    body: bytes
    public_url: str
    """Our address as the provider knows it, without a path or with the prefix a proxy takes off."""
    certificate: bytes = b""
    """PEM of the certificate that the request says it is signed with, fetched for it."""

    @property
    def url(self) -> str:
        """The URL the provider called. The request's Host plays no part: anyone can set it."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.public_url.rstrip('/')}{self.path}{query}"

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The names and values of a body in `application/x-www-form-urlencoded`, blank ones included."""
        return form_fields(self.body.decode("utf-8", "replace"))

    @cached_property
    def fields(self) -> Sequence[Field]:
        """The fields of a form of either media type, as bytes. Raises BadItem."""
        if self.content_type == "multipart/form-data":
            return read_multipart(self.headers["content-type"], self.body)
        if self.body.count(b"&") >= MOST_PARTS:
            raise BadItem("a form of too many fields")
        return [
            Field(name, value.encode("utf-8", "surrogateescape"))
            for name, value in form_fields(self.body.decode("utf-8", "surrogateescape"), "surrogateescape")
        ]


@dataclass(frozen=True)
class Arrival:
    """The circumstances of a webhook."""

    account: Account
    """The one the URL names."""
    accounts: Accounts
    received_at: datetime
    correlation: UUID
    menus: Menus | None = None
    """What callers are asked; None where nothing is configured."""

    @cached_property
    def at(self) -> str:
        """`received_at` as records tell it."""
        return rfc3339(self.received_at)


@dataclass(frozen=True, slots=True)
class Received:
    """A message to publish under `key`: `value` is its record; `raw` is to be kept in the blob store."""

    id: str
    value: bytes
    key: str
    raw: bytes | None = None

    @property
    def record(self) -> MessageReceived:
        """The record as whoever consumes it reads it."""
        return MessageReceived.model_validate_json(self.value)


@dataclass(frozen=True, slots=True)
class Reported:
    """A provider's word on messages of ours, to publish under `key`: `value` is its record."""

    value: bytes
    key: str

    @property
    def record(self) -> DeliveryReported | DeliveryWatermark | DeliveryEcho:
        """The record as whoever consumes it reads it."""
        record: DeliveryReported | DeliveryWatermark | DeliveryEcho
        record = MESSAGES_DELIVERY.adapter.validate_json(self.value)
        return record


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A verified webhook, or an item of one, to keep aside. `reason` never quotes the input."""

    reason: str
    body: bytes


Item = Received | Reported | Unreadable


@dataclass(frozen=True, slots=True)
class Nonce:
    """What a signature that does not cover the body can be used for again, with another body."""

    value: str
    signed_at: datetime
    content: str
    """Hash of what the request says: the same in a redelivery."""


class Verify(Protocol):
    """Tells whether a webhook comes from who it says. Never raises for any request."""

    def __call__(self, webhook: Webhook, account: Account, /) -> bool:
        """Return True only for a request signed with the account's secret."""


class Parse(Protocol):
    """Reads a verified webhook. Never raises for any body: what it can't read is Unreadable."""

    def __call__(self, webhook: Webhook, arrival: Arrival, /) -> Sequence[Item]:
        """Return the webhook's items in their order."""


class Answer(Protocol):
    """Says what a verified webhook is answered with, where that depends on it. Never raises."""

    def __call__(self, webhook: Webhook, arrival: Arrival, /) -> str:
        """Return the body of our 200."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The answer to a provider's GET that checks the address is ours."""

    status: int
    text: str


Greet = Callable[[Webhook, Account], Handshake]
