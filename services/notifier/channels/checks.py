"""Whether an account works, asked of its provider by cheap requests that change nothing.

A check returns what it found out in a few words, or raises Trouble. The newest of each secret is tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from schemas.common import Channel
from services.chassis.accounts import Account
from services.notifier.channels import graph
from services.notifier.channels.sending import Refused, base_url, document, secret

_INVALID_TOKEN = 190


class Trouble(Exception):  # noqa: N818  (an outcome, raised)
    """The account does not work: what is wrong, and what to do about it. Never quotes a secret."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Asking:
    """What an account is checked with."""

    client: httpx.AsyncClient
    webhook: str = ""
    """Our URL for what the provider tells of this account."""


class Check(Protocol):
    """Checks one account."""

    async def __call__(self, asking: Asking, account: Account, /) -> str:
        """Return what was found. Raises Trouble."""


async def twilio(asking: Asking, account: Account, /) -> str:
    """Ask for the Twilio account, then for the number: 2010-04-01/Accounts/{sid}.json."""
    sid = _secret(account, "account_sid")
    base = f"{base_url(account, 'https://api.twilio.com')}/2010-04-01/Accounts/{quote(sid, safe='')}"
    auth = httpx.BasicAuth(sid, _secret(account, "auth_token"))
    credentials = "compare `account_sid` and `auth_token` with the Twilio console"
    found = _expected(await _get(asking, f"{base}.json", auth=auth), credentials)
    if found.get("status") != "active":
        raise Trouble(
            f"the Twilio account is {_word(found.get('status'))}", "see to it in the Twilio console"
        )
    query = {"PhoneNumber": account.address}
    answer = await _get(asking, f"{base}/IncomingPhoneNumbers.json", auth=auth, params=query)
    numbers = _expected(answer, credentials).get("incoming_phone_numbers")
    ours = next((each for each in _objects(numbers) if each.get("phone_number") == account.address), None)
    if ours is None:
        remedy = (
            "buy or move the number, or correct `address`; short codes and WhatsApp senders are not listed"
        )
        raise Trouble(f"{account.address} is not a number of this Twilio account", remedy)
    need = "voice" if account.channel is Channel.VOICE else "sms"
    capabilities = ours.get("capabilities")
    if isinstance(capabilities, dict) and capabilities.get(need) is False:
        raise Trouble(f"{account.address} is not capable of {need}", "use a number that is")
    return "active, number found"


async def whatsapp(asking: Asking, account: Account, /) -> str:
    """Ask for the number: GET /{phone_number_id}."""
    found = await _graph(asking, account, quote(account.address, safe=""), "id,quality_rating")
    quality = found.get("quality_rating")
    return f"number found, quality {quality.lower()}" if isinstance(quality, str) else "number found"


async def messenger(asking: Asking, account: Account, /) -> str:
    """Ask whose token it is: GET /me; it must be the page that is the address."""
    found = await _graph(asking, account, "me", "id,name")
    if found.get("id") != account.address:
        raise Trouble("`access_token` is of another page", "correct `address`, or make a token of this page")
    return "page found"


async def instagram(asking: Asking, account: Account, /) -> str:
    """Ask whether the token is one: GET /me, which names the account, its page, or an id of the app's."""
    found = await _graph(asking, account, "me", "id", graph.INSTAGRAM_BASE)
    return "account found" if found.get("id") == account.address else "token works"


async def telegram(asking: Asking, account: Account, /) -> str:
    """Ask who the bot is (getMe), and where its updates go (getWebhookInfo)."""
    base = f"{base_url(account, 'https://api.telegram.org')}/bot{_secret(account, 'token')}"
    remedy = "compare `token` with what @BotFather gives"
    _expected(
        await _get(asking, f"{base}/getMe"), remedy, wrong_when_missing=f"`token` is refused (404); {remedy}"
    )
    info = _expected(await _get(asking, f"{base}/getWebhookInfo"), remedy).get("result")
    info = info if isinstance(info, dict) else {}
    if info.get("url") != asking.webhook:
        what = "to another URL" if info.get("url") else "nowhere"
        raise Trouble(f"updates go {what}", f"setWebhook with {asking.webhook} and the `secret_token`")
    waiting = info.get("pending_update_count")
    return f"bot found, {waiting} updates wait" if isinstance(waiting, int) else "bot found"


async def line(asking: Asking, account: Account, /) -> str:
    """Ask who the bot is: GET /v2/bot/info."""
    headers = {"Authorization": f"Bearer {_secret(account, 'channel_access_token')}"}
    answer = await _get(asking, f"{base_url(account, 'https://api.line.me')}/v2/bot/info", headers=headers)
    _expected(answer, "issue a `channel_access_token` in the LINE developers console")
    return "bot found"


async def sendgrid(asking: Asking, account: Account, /) -> str:
    """Ask what the key may do: GET /v3/scopes."""
    headers = {"Authorization": f"Bearer {_secret(account, 'api_key')}"}
    answer = await _get(asking, f"{base_url(account, 'https://api.sendgrid.com')}/v3/scopes", headers=headers)
    scopes = _expected(answer, "make an `api_key` in SendGrid").get("scopes")
    if not isinstance(scopes, list) or "mail.send" not in scopes:
        raise Trouble("`api_key` may not send mail", "give it the scope `mail.send`")
    return "key may send"


async def mailgun(asking: Asking, account: Account, /) -> str:
    """Ask for the domain that is sent from: GET /v4/domains/{domain}."""
    domain = account.secrets.get("domain") or account.address.rpartition("@")[2]
    url = f"{base_url(account, 'https://api.mailgun.net')}/v4/domains/{quote(domain, safe='')}"
    answer = await _get(asking, url, auth=httpx.BasicAuth("api", _secret(account, "api_key")))
    missing = f"Mailgun knows no domain {domain} here"
    remedy = (
        "compare `api_key` with Mailgun's; a domain in the EU needs `api_base` https://api.eu.mailgun.net"
    )
    found = _expected(answer, remedy, wrong_when_missing=missing).get("domain")
    state = found.get("state") if isinstance(found, dict) else None
    if state != "active":
        raise Trouble(
            f"the domain {domain} is {_word(state)}", "set its DNS records, then verify it in Mailgun"
        )
    return "domain active"


async def postmark(asking: Asking, account: Account, /) -> str:
    """Ask for the server: GET /server."""
    headers = {"X-Postmark-Server-Token": _secret(account, "server_token"), "Accept": "application/json"}
    answer = await _get(asking, f"{base_url(account, 'https://api.postmarkapp.com')}/server", headers=headers)
    found = _expected(answer, "compare `server_token` with the server's API tokens in Postmark")
    if found.get("DeliveryType") == "Sandbox":
        raise Trouble("it is a sandbox server: nothing is delivered", "use a token of a live server")
    return "server found"


async def _graph(
    asking: Asking, account: Account, node: str, fields: str, base: str = graph.BASE
) -> Mapping[str, Any]:
    url = f"{base_url(account, base)}/{graph.VERSION}/{node}"
    headers = {"Authorization": f"Bearer {_secret(account, 'access_token')}"}
    answer = await _get(asking, url, headers=headers, params={"fields": fields})
    error = document(answer).get("error")
    if isinstance(error, dict):
        code = error.get("code")
        if code == _INVALID_TOKEN:
            raise Trouble(
                "`access_token` is expired or revoked (190)", "make a permanent token of a system user"
            )
        remedy = "correct `address`, or give the token's user access to it"
        raise Trouble(f"the Graph API does not show it (code {_word(code)})", remedy)
    return _expected(answer, "see Meta's status page")


async def _get(asking: Asking, url: str, **options: Any) -> httpx.Response:  # noqa: ANN401  (httpx's own)
    """Return the answer. Raises Trouble when there is none; never with the URL, which may bear a secret."""
    try:
        return await asking.client.get(url, follow_redirects=False, **options)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        remedy = "see that it is reachable from here, and that `api_base` is right if it is set"
        raise Trouble(f"the provider does not answer ({type(error).__name__})", remedy) from None


def _expected(answer: httpx.Response, remedy: str, wrong_when_missing: str = "") -> Mapping[str, Any]:
    """Return the answer's object. Raises Trouble for any but a success."""
    status = answer.status_code
    if answer.is_success:
        return document(answer)
    if status in (401, 403):
        raise Trouble(f"the credentials are refused ({status})", remedy)
    if status == httpx.codes.NOT_FOUND:
        raise Trouble(wrong_when_missing or "the provider does not know it (404)", remedy)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise Trouble("too many requests (429)", "try again later")
    raise Trouble(f"the provider answers {status}", "see its status page, then try again")


def _secret(account: Account, name: str) -> str:
    try:
        return secret(account, name)
    except Refused:
        raise Trouble(f"it has no secret `{name}`", "add it to the accounts file") from None


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _word(value: object) -> str:
    """Return a provider's word or code, made fit to be shown."""
    text = str(value if value is not None else "in an unknown state")[:40]
    return "".join(each for each in text if each.isalnum() or each in " _-")
