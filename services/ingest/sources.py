"""How each provider gives a file: which URL, with which credentials.

Twilio: MediaUrl, with the account's credentials on twilio.com only; it redirects to storage elsewhere.
https://www.twilio.com/docs/messaging/api/media-resource. WhatsApp: GET /{media-id} gives a URL that lives
for minutes, both with the bearer token; Meta, Cloud API, Media. Telegram: getFile, then
/file/bot<token>/<file_path>; https://core.telegram.org/bots/api#getfile. LINE: the content of a message,
with the bearer token; it answers 202 while it prepares it. Other providers' URLs need nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import httpx

from services.chassis.accounts import Account
from services.chassis.exchange import TooLarge, exchange
from services.chassis.outside import MOST_REDIRECTS, Forbidden
from services.ingest.attachments import GivenUp, Job, Later, Place

_LOOK_UP_BYTES = 100_000
_EARLY_TRIES = 3
"""Twilio names media that its own storage has only some seconds later."""
_WHATSAPP, _TELEGRAM = "https://graph.facebook.com", "https://api.telegram.org"
_LINE = "https://api-data.line.me"
_WHATSAPP_VERSION = "v23.0"


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The file, and what its giver says of it."""

    data: bytes
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What a provider's files need."""

    hosts: tuple[str, ...] = ()
    """Domains of the provider's own, which alone get the account's credentials."""
    headers: Callable[[Account], Mapping[str, str]] = field(default=lambda _: {})
    look_up: Callable[["Downloads", Account, Job], Awaitable[str]] | None = None
    """Returns the URL behind a media id."""
    early: bool = False


@dataclass(frozen=True)
class Downloads:
    """Fetches files within limits. `providers` asks our accounts' own APIs, `outside` everybody else."""

    outside: httpx.AsyncClient
    providers: httpx.AsyncClient
    most_bytes: int
    seconds: float

    async def fetch(self, account: Account, job: Job) -> Downloaded:
        """Return the file of a job that names a URL or a media id. Raises GivenUp or Later."""
        source = SOURCES.get(job.provider, Source())
        try:
            async with asyncio.timeout(self.seconds):
                url = job.where
                if job.place is Place.MEDIA and source.look_up is not None:
                    url = await source.look_up(self, account, job)
                answer = await self.get(url, account, source, self.most_bytes)
        except Forbidden:
            raise GivenUp("address_not_allowed") from None
        except TooLarge:
            raise GivenUp("too_large") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError):
            raise GivenUp("address_not_allowed") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise Later(type(error).__name__) from None
        if answer.status_code != httpx.codes.OK:
            raise _meaning(answer, early=source.early and job.attempts <= _EARLY_TRIES)
        return Downloaded(answer.content, answer.headers.get("content-type"))

    async def get(self, url: str, account: Account, source: Source, most_bytes: int) -> httpx.Response:
        """Return the answer at the end of the redirects; every hop is judged.

        Credentials go with the first request alone: a redirect leads to storage, which takes none.
        """
        for hop in range(MOST_REDIRECTS + 1):
            ours = _under(url, account.api_base)
            own = hop == 0 and (ours or _of(url, source.hosts))
            answer = await exchange(
                self.providers if ours else self.outside,
                "GET",
                url,
                most_bytes=most_bytes,
                seconds=self.seconds,
                headers=dict(source.headers(account)) if own else {},
                follow_redirects=False,
            )
            if not answer.has_redirect_location:
                return answer
            url = str(answer.request.url.join(answer.headers["location"]))
        raise GivenUp("not_found")

    async def document(self, url: str, account: Account) -> Mapping[str, object]:
        """Return the JSON object that the provider's API gives. Raises GivenUp or Later."""
        answer = await self.get(url, account, SOURCES[account.provider], _LOOK_UP_BYTES)
        if not answer.is_success:
            raise _meaning(answer, early=False, looked_up=True)
        try:
            found = answer.json()
        except (ValueError, RecursionError):
            raise Later("no JSON") from None
        return found if isinstance(found, dict) else {}


def _under(url: str, base: str | None) -> bool:
    """Tell whether the URL is below the address that an admin gave for the account's API."""
    parsed = httpx.URL(url)  # as it is asked for: without `..`
    if base is None or not str(parsed).startswith(base.rstrip("/") + "/"):
        return False
    path = parsed.raw_path.decode("ascii", "replace")
    return not {"..", "."} & set(unquote(unquote(path)).replace("\\", "/").split("/"))


def _of(url: str, domains: tuple[str, ...]) -> bool:
    parsed = httpx.URL(url)
    host = parsed.host.lower().rstrip(".")
    return parsed.scheme == "https" and any(
        host == domain or host.endswith(f".{domain}") for domain in domains
    )


def _meaning(answer: httpx.Response, *, early: bool, looked_up: bool = False) -> GivenUp | Later:
    status = answer.status_code
    if status in (202, 408, 425, 429) or answer.is_server_error:
        after = answer.headers.get("retry-after", "")
        return Later(str(status), float(after) if after.isascii() and after.isdigit() else None)
    if status in (404, 410):
        return Later(str(status)) if early else GivenUp("expired" if looked_up else "not_found")
    if status in (401, 403) and (looked_up or "authorization" in answer.request.headers):
        return Later(str(status))  # our secret may be about to be changed
    return GivenUp("expired")


def _basic(account: Account) -> Mapping[str, str]:
    request = httpx.Request("GET", "https://auth.invalid")
    auth = httpx.BasicAuth(account.secrets.get("account_sid", ""), account.secrets.get("auth_token", ""))
    return {"Authorization": next(auth.auth_flow(request)).headers["authorization"]}


def _bearer(account: Account) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {account.secrets.get('access_token', '')}"}


def _line_bearer(account: Account) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {account.secrets.get('channel_access_token', '')}"}


async def _whatsapp_url(downloads: Downloads, account: Account, job: Job) -> str:
    base = (account.api_base or _WHATSAPP).rstrip("/")
    found = await downloads.document(f"{base}/{_WHATSAPP_VERSION}/{quote(job.where, safe='')}", account)
    _fits(found.get("file_size"), downloads)
    return _text(found.get("url"))


async def _telegram_url(downloads: Downloads, account: Account, job: Job) -> str:
    base = (account.api_base or _TELEGRAM).rstrip("/")
    token = quote(account.secrets.get("token", ""), safe=":")
    answer = await downloads.document(
        f"{base}/bot{token}/getFile?file_id={quote(job.where, safe='')}", account
    )
    found = answer.get("result")
    if not isinstance(found, dict):
        raise GivenUp("expired")
    _fits(found.get("file_size"), downloads)
    return f"{base}/file/bot{token}/{quote(_text(found.get('file_path')), safe='/')}"


async def _line_url(_: Downloads, account: Account, job: Job) -> str:
    base = (account.api_base or _LINE).rstrip("/")
    return f"{base}/v2/bot/message/{quote(job.where, safe='')}/content"


def _fits(size: object, downloads: Downloads) -> None:
    if isinstance(size, int | str) and str(size).isdecimal() and int(size) > downloads.most_bytes:
        raise GivenUp("too_large")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise GivenUp("expired")
    return value


_TWILIO = Source(("twilio.com",), _basic, early=True)
SOURCES: Mapping[str, Source] = {
    "twilio-sms": _TWILIO,
    "twilio-voice": _TWILIO,
    "whatsapp": Source(("facebook.com", "fbsbx.com", "whatsapp.net"), _bearer, _whatsapp_url),
    "telegram": Source(look_up=_telegram_url),
    "line": Source(("line.me",), _line_bearer, _line_url),
}
LOOKED_UP = frozenset(name for name, source in SOURCES.items() if source.look_up is not None)
