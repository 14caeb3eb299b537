"""What all senders share: the outcomes, and how a request's fate is told from its failure."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import httpx

from schemas.common import Attachment
from schemas.outbound import MessageSend
from services.chassis.accounts import Account, AccountsError
from services.chassis.text import PROVIDER_ID_CHARACTERS, clean

RefusalKind = Literal["invalid_recipient", "opted_out", "outside_window", "account_broken", "rejected"]

REFUSALS: Mapping[RefusalKind, str] = {
    "invalid_recipient": "the recipient's address cannot be reached on this channel",
    "opted_out": "the recipient has opted out of messages from us",
    "outside_window": "the time for free replies is over; only a template may be sent",
    "account_broken": "our account at the provider does not work; an admin must see to it",
    "rejected": "the provider rejected the message",
}
"""What people read. Providers' own texts quote numbers and addresses, so they are not passed on."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider accepted the message under this id.

    Whatever it sends is made fit to store, as ingest does with the same id in receipts. Raises Unknown
    when nothing is left of it.
    """

    provider_message_id: str

    def __post_init__(self) -> None:
        fit = clean(self.provider_message_id).strip()[:PROVIDER_ID_CHARACTERS]
        if not fit:
            raise Unknown("accepted, but without a message id")
        object.__setattr__(self, "provider_message_id", fit)


class Refused(Exception):  # noqa: N818  (an outcome, raised)
    """The provider will not send this message; sending it again will not help.

    `partly`: some of it was taken, so it does not even wait for a broken account to be mended.
    """

    def __init__(self, code: str, detail: str, kind: RefusalKind, *, partly: bool = False) -> None:
        super().__init__(f"{kind} ({code})")
        self.code = code
        self.detail = detail
        self.kind: RefusalKind = kind
        self.partly = partly


def refused(code: object, kind: RefusalKind) -> Refused:
    """Return the refusal with words of ours."""
    return Refused(str(code), REFUSALS[kind], kind)


def refused_for_size(most_bytes: int) -> Refused:
    """Return the refusal of files that are too large together."""
    detail = f"its files are larger together than {most_bytes // 1_000_000} MB; send them in parts"
    return Refused("too_large", detail, "rejected")


class Retry(Exception):  # noqa: N818  (an outcome, raised)
    """The provider certainly did not take it; try again, after `after_seconds` if it says so.

    `whole_account`: it takes nothing from the account until then, whoever the recipient.
    """

    def __init__(self, after_seconds: float | None, code: str, *, whole_account: bool = False) -> None:
        super().__init__(code)
        self.after_seconds = after_seconds
        self.code = code
        self.whole_account = whole_account


class Unknown(Exception):  # noqa: N818  (an outcome, raised)
    """The request left, and nothing tells whether it was taken. Do not send it again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often an account may be used: `burst` requests at once, then `per_second`."""

    per_second: float
    burst: int


class Files(Protocol):
    """Where the bytes of a message's attachments come from."""

    async def read(self, attachment: Attachment, /) -> bytes:
        """Return the bytes. Raises Refused when there are none."""

    def link(self, attachment: Attachment, /) -> str:
        """Return a URL at which the provider can fetch the bytes for a while."""


class NoFiles:
    """For messages without attachments."""

    async def read(self, _attachment: Attachment, /) -> bytes:
        """Raise Refused."""
        raise refused("no file", "rejected")

    def link(self, _attachment: Attachment, /) -> str:
        """Raise Refused."""
        raise refused("no file", "rejected")


class Preparation(Protocol):
    """Surrounds what must be done before the first request for the message: a failure in it sends nothing."""

    def __call__(self) -> AbstractContextManager[None]:
        """Give what is done inside its own time; it may be entered again inside."""

    async def room(self, size: int, /) -> None:
        """Wait until so many bytes may be held, until the message's end. Raises Refused for too many."""


class NoLimit:
    """Time and room for everything."""

    def __call__(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    async def room(self, _size: int, /) -> None:
        """Do nothing."""


async def nobody_is_told(_provider_message_id: str, _part: str, /) -> None:
    """For messages that are sent in one request."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a message is sent with."""

    client: httpx.AsyncClient
    callback: str = ""
    """The URL for the provider's reports on this account's messages."""
    files: Files = field(default_factory=NoFiles)
    preparing: Preparation = field(default_factory=NoLimit)
    took: Callable[[str, str], Awaitable[None]] = nobody_is_told
    """Told at once of each part that was taken but the last: the provider's id, and which (`1 of 2`)."""


class Send(Protocol):
    """Sends one message, once."""

    async def __call__(self, means: Means, account: Account, message: MessageSend, /) -> Sent:
        """Return once the provider accepted it. Raises Refused, Retry or Unknown."""


ANSWER_BYTES = 1_000_000
"""Longest answer that is read; none that means something comes near."""
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CANNOT_LEAVE = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError)


async def post(
    client: httpx.AsyncClient,
    url: str,
    **content: Any,  # noqa: ANN401  (httpx's own parameters)
) -> httpx.Response:
    """Return the provider's answer to a POST; of one above ANSWER_BYTES only the status and headers.

    Raises Retry when the request never left, Refused when it cannot be built, else Unknown.
    """
    try:
        async with client.stream("POST", url, follow_redirects=False, **content) as answer:
            body = await _read(answer)
            headers = [pair for pair in answer.headers.raw if pair[0].lower() != b"content-encoding"]
            return httpx.Response(answer.status_code, headers=headers, content=body)
    except _NEVER_LEFT as error:
        raise Retry(None, type(error).__name__) from error
    except _CANNOT_LEAVE as error:
        raise refused(type(error).__name__, "account_broken") from error
    except httpx.HTTPError as error:
        raise Unknown(f"no answer: {type(error).__name__}") from error


async def _read(answer: httpx.Response) -> bytes:
    """Return the body, unless it is too long; asked for uncompressed, its size is what comes."""
    body = b""
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > ANSWER_BYTES:
            return b""
    return body


def secret(account: Account, name: str) -> str:
    """Return the account's secret. Raises Refused when it has none."""
    try:
        return account.secret(name)
    except AccountsError:
        raise refused(f"no {name}", "account_broken") from None


def base_url(account: Account, default: str) -> str:
    """Return where the account's requests go, without a slash at the end."""
    base = account.api_base or default
    if not base:
        raise refused("no api_base", "account_broken")
    return base.rstrip("/")


def document(answer: httpx.Response) -> Mapping[str, Any]:
    """Return the answer's JSON object; an empty one if it has none."""
    try:
        value = answer.json()
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After header, if it holds any."""
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None  # noqa: PLR2004  (days)


def unexplained(answer: httpx.Response) -> Exception:
    """Return what an answer without the provider's own error code means.

    429 and 503 say it was not taken. Other server errors can come from a gateway after the provider
    took it. A client error, or a redirect, was refused.
    """
    status = answer.status_code
    if status in (429, 503):
        return Retry(retry_after(answer), str(status), whole_account=True)
    if answer.is_success:
        return Unknown("accepted, but without a message id")
    if answer.is_server_error:
        return Unknown(f"HTTP {status}")
    broken = status in (401, 402, 403, 404, 407) or answer.is_redirect
    return refused(status, "account_broken" if broken else "rejected")
