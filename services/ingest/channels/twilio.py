"""What Twilio's products have in common: the signature, and parameters by form, JSON or query.

Signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security; the rules follow
twilio-python's request_validator.py.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qs, parse_qsl, urlsplit

from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, normalise
from services.ingest.channels.shapes import mapping, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.webhook import Arrival, BadItem, Webhook

_SIGNATURE = "x-twilio-signature"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def verify(webhook: Webhook, account: Account) -> bool:
    """Check X-Twilio-Signature over the URL and every parameter, blank and repeated ones included.

    A JSON body is covered by the `bodySHA256` in the signed URL. Twilio signs the URL with or
    without the default port, so both are tried.
    """
    claimed = webhook.headers.get(_SIGNATURE, "")
    if not claimed:
        return False
    body_hash = _body_hash(webhook)
    if body_hash is not None:
        if not same(body_hash.lower(), hashlib.sha256(webhook.body).hexdigest()):
            return False
        suffix = ""
    else:
        suffix = _signed_parameters(webhook)
    return any(
        same(claimed, signature(url + suffix, token))
        for token in account.valid("auth_token")
        for url in _spellings(webhook.url, webhook.public_url)
    )


def signature(signed: str, token: str) -> str:
    """Return base64(HMAC-SHA1(token, signed))."""
    digest = hmac.digest(token.encode(), signed.encode("utf-8", "surrogatepass"), "sha1")
    return base64.b64encode(digest).decode()


def signed_form(pairs: Iterable[tuple[str, str]]) -> str:
    """Return what the signature covers after the URL: each distinct (name, value), sorted."""
    return "".join(name + value for name, value in sorted(set(pairs)))


def parameters(webhook: Webhook) -> Mapping[str, str]:
    """Return the parameters; of a repeated one the first. Raises BadItem."""
    if webhook.method == "GET":
        pairs = parse_qsl(webhook.query, keep_blank_values=True)
    elif webhook.content_type == "application/json":
        value = read_json(webhook.body)
        if not isinstance(value, dict):
            reason = "JSON, but no object"
            raise BadItem(reason)
        pairs = [(name, text(content)) for name, content in mapping(value).items()]
    else:
        pairs = webhook.form
    return dict(reversed(pairs))


def addressee(ours: str, arrival: Arrival) -> Account:
    """Return the account that has the number `ours`, if it has the same secret; else the URL's."""
    account = arrival.account
    try:
        number = normalise("phone", ours.rpartition(":")[2], account.region)
    except InvalidIdentifier:
        return account
    other = arrival.accounts.by_address(account.provider, number)
    return other if other and other.shares("auth_token", account) else account


def _body_hash(webhook: Webhook) -> str | None:
    if "bodySHA256=" not in webhook.query:
        return None
    return parse_qs(webhook.query, keep_blank_values=True).get("bodySHA256", [None])[0]


def _signed_parameters(webhook: Webhook) -> str:
    return "" if webhook.method == "GET" else signed_form(webhook.form)


def _spellings(url: str, public_url: str) -> Iterator[str]:
    """Give `url` as configured, then with the scheme's default port added or taken away."""
    yield url
    parts = urlsplit(public_url)
    port = f":{_DEFAULT_PORTS.get(parts.scheme, '')}"
    if len(port) == 1:
        return
    if parts.netloc.endswith(port):
        yield url.replace(parts.netloc, parts.netloc.removesuffix(port), 1)
    elif not parts.netloc.rpartition("@")[2].rpartition("]")[2].count(":"):
        yield url.replace(parts.netloc, parts.netloc + port, 1)
