"""Twilio Programmable Messaging: incoming SMS and MMS, and status callbacks.

Signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security; the rules follow
twilio-python's request_validator.py. Dedup key: MessageSid; for a status (MessageSid, status,
ErrorCode), since callbacks carry no time. A status callback's URL may hold our own
`message_id`; it is covered by the signature.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit

from schemas.common import Attachment, Channel, DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier, normalise
from services.chassis.text import line
from services.ingest.channels.items import ConsentWord, Said, our_id, received, reported
from services.ingest.channels.shapes import mapping, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "twilio-sms"
_SIGNATURE = "x-twilio-signature"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_INCOMING = frozenset({"received", "receiving"})
_MOST_MEDIA = 20
_STATUSES = {
    "accepted": DeliveryStatus.QUEUED,
    "scheduled": DeliveryStatus.QUEUED,
    "queued": DeliveryStatus.QUEUED,
    "sending": DeliveryStatus.QUEUED,
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "partially_delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "undelivered": DeliveryStatus.FAILED,
    "failed": DeliveryStatus.FAILED,
    "canceled": DeliveryStatus.FAILED,
}
_CONSENTS: dict[str, ConsentWord] = {"STOP": "stop", "START": "start", "HELP": "help"}
"""OptOutType of a Messaging Service with Advanced Opt-Out, whose keywords can be any words."""


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


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the one message or status that the webhook holds."""
    try:
        parameters = _parameters(webhook)
        account = _addressee(parameters, arrival)
        if _is_status(parameters):
            return [_status(parameters, webhook, arrival, account)]
        return [_message(parameters, arrival, account)]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body or webhook.query.encode())]


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


def _parameters(webhook: Webhook) -> Mapping[str, str]:
    """Return the parameters; of a repeated one the first."""
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


def _addressee(parameters: Mapping[str, str], arrival: Arrival) -> Account:
    """Return the account that has the number written to, if it has the same secret; else the URL's."""
    ours = parameters.get("From" if _is_status(parameters) else "To", "")
    account = arrival.account
    try:
        number = normalise("phone", ours.rpartition(":")[2], account.region)
    except InvalidIdentifier:
        return account
    other = arrival.accounts.by_address(PROVIDER, number)
    return other if other and other.shares("auth_token", account) else account


def _is_status(parameters: Mapping[str, str]) -> bool:
    status = parameters.get("MessageStatus") or parameters.get("SmsStatus", "received")
    return status not in _INCOMING


def _status(parameters: Mapping[str, str], webhook: Webhook, arrival: Arrival, account: Account) -> Item:
    word = parameters.get("MessageStatus") or parameters.get("SmsStatus", "")
    if word not in _STATUSES:
        reason = "unknown message status"
        raise BadItem(reason)
    code = parameters.get("ErrorCode") or None
    ours = parse_qs(webhook.query).get("message_id", [None])[0]
    return reported(
        arrival,
        account,
        _STATUSES[word],
        dedup=(word, code or ""),
        provider_message_id=_sid(parameters),
        ours=our_id(ours),
        error_code=code or ("canceled" if word == "canceled" else None),
        error_detail=parameters.get("ErrorMessage"),
    )


def _message(parameters: Mapping[str, str], arrival: Arrival, account: Account) -> Item:
    sid = _sid(parameters)
    identifiers = _sender(parameters, account)
    return received(
        arrival,
        account,
        _said(parameters),
        dedup=sid,
        provider_message_id=sid,
        identifiers=identifiers,
        key=next((known.value for known in identifiers if known.kind == "phone"), identifiers[0].value),
        name=parameters.get("ProfileName"),
        consent=_CONSENTS.get(parameters.get("OptOutType", "").upper()),
    )


def _sid(parameters: Mapping[str, str]) -> str:
    sid = parameters.get("MessageSid") or parameters.get("SmsSid") or parameters.get("SmsMessageSid", "")
    if not sid.strip():
        reason = "no MessageSid"
        raise BadItem(reason)
    return sid


def _sender(parameters: Mapping[str, str], account: Account) -> list[Identifier]:
    """Return the sender's identifiers; Twilio vouches for them. WhatsApp senders come as `whatsapp:…`."""
    prefix, _, address = parameters.get("From", "").rpartition(":")
    try:
        if prefix != "whatsapp":
            return [identifier("phone", address, account.region, verified=True)]
        whatsapp = identifier("whatsapp", address, verified=True)
        if not whatsapp.value.isdigit():
            return [whatsapp]
        phone = identifier("phone", f"+{whatsapp.value}", verified=True)
    except InvalidIdentifier as error:
        reason = f"From: {error}"
        raise BadItem(reason) from None
    return [whatsapp, phone] if account.channel is Channel.WHATSAPP else [phone, whatsapp]


def _said(parameters: Mapping[str, str]) -> Said:
    body = parameters.get("Body", "")
    reply_to = parameters.get("OriginalRepliedMessageSid")
    attachments = _media(parameters)
    if attachments and not body.strip():
        kinds = ", ".join((each.content_type or "file").partition("/")[0] for each in attachments)
        return Said(f"[{kinds}]", "media", attachments, reply_to)
    if parameters.get("Latitude") and parameters.get("Longitude"):
        place = f"[location] {parameters['Latitude']}, {parameters['Longitude']}"
        label = parameters.get("Label") or parameters.get("Address") or body
        return Said(f"{place} {label}".strip(), "location", attachments, reply_to)
    return Said(body, "media" if attachments else "text", attachments, reply_to)


def _media(parameters: Mapping[str, str]) -> tuple[Attachment, ...]:
    number = parameters.get("NumMedia", "0")
    count = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0  # noqa: PLR2004  (3 digits: more is no count)
    return tuple(
        Attachment(
            content_type=line(parameters.get(f"MediaContentType{n}", ""), 100) or None, url=line(url, 2000)
        )
        for n in range(min(count, _MOST_MEDIA))
        if (url := parameters.get(f"MediaUrl{n}"))
    )
