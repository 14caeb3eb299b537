"""What a provider module gets, and what it makes of it: plain values, no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol
from urllib.parse import parse_qsl
from uuid import UUID

from schemas.inbound import DeliveryReported, MessageReceived
from services.chassis.accounts import Account, Accounts


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
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The circumstances of a webhook."""

    account: Account
    """The one the URL names."""
    accounts: Accounts
    received_at: datetime
    correlation: UUID


@dataclass(frozen=True, slots=True)
class Received:
    """A message to publish under `key`; `raw` is to be kept in the blob store."""

    record: MessageReceived
    key: str
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """A delivery report to publish under `key`."""

    record: DeliveryReported
    key: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A verified webhook, or an item of one, to keep aside. `reason` never quotes the input."""

    reason: str
    body: bytes


Item = Received | Reported | Unreadable


class BadItem(ValueError):  # noqa: N818  (the item is bad, nothing else failed)
    """One item cannot be read; its message is the reason, and never quotes the input."""


class Verify(Protocol):
    """Tells whether a webhook comes from who it says. Never raises for any request."""

    def __call__(self, webhook: Webhook, account: Account, /) -> bool:
        """Return True only for a request signed with the account's secret."""


class Parse(Protocol):
    """Reads a verified webhook. Never raises for any body: what it can't read is Unreadable."""

    def __call__(self, webhook: Webhook, arrival: Arrival, /) -> Sequence[Item]:
        """Return the webhook's items in their order."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """The answer to a provider's GET that checks the address is ours."""

    status: int
    text: str


Greet = Callable[[Webhook, Account], Handshake]
