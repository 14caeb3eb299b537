"""Mailgun: routes that forward mail (a form, parsed or with the whole mail as `body-mime`), and events.

https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http,
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks. The HMAC covers only
timestamp and token, so a captured triple would carry any body: `nonce` names the triple, which is
good for one content only. Dedup key: Message-Id and recipient, with a hash of the text since anybody
can make up the former; for an event its id.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from schemas.common import DeliveryStatus
from services.chassis.accounts import Account
from services.ingest.channels.mail_events import consent, enhanced_code, status
from services.ingest.channels.mails import Delivered, mail_items
from services.ingest.channels.shapes import items, mapping, moment, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.mail.charsets import to_text
from services.ingest.mail.composed import File, Header, compose, header
from services.ingest.multipart import MOST_PARTS
from services.ingest.webhook import Arrival, BadItem, Field, Item, Nonce, Unreadable, Webhook

PROVIDER = "mailgun"
_PROOF = frozenset({"timestamp", "token", "signature"})
_PROOF_NAMES = frozenset(name.encode() for name in _PROOF)
_LONGEST_PROOF = 200
_MOST_EVENT_BYTES = 1_000_000
"""Its events have a few kilobytes. The proof is in the body, so whatever is read for it is read unproven."""
_STATUSES = {
    "accepted": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "opened": DeliveryStatus.READ,
    "clicked": DeliveryStatus.READ,
    "failed": DeliveryStatus.FAILED,
    "rejected": DeliveryStatus.FAILED,
}
_OPTED_OUT = frozenset({"suppress-unsubscribe", "suppress-complaint"})


def verify(webhook: Webhook, account: Account) -> bool:
    """Check the HMAC over timestamp and token. Whether it was used before is checked by its nonce."""
    try:
        timestamp, token, claimed = _proof(webhook)
    except BadItem:
        return False
    signed = (timestamp + token).encode("utf-8", "surrogatepass")
    return bool(timestamp and token) and any(
        same(claimed, hmac.digest(key.encode(), signed, "sha256").hex())
        for key in account.valid("signing_key")
    )


def nonce(webhook: Webhook) -> Nonce | None:
    """Return the triple, when it was signed, and a hash of what it came with; None for an absurd time."""
    timestamp, token, _ = _proof(webhook)
    signed_at = moment(timestamp)
    if signed_at is None or len(token) > _LONGEST_PROOF:
        return None
    return Nonce(token, signed_at, _content(webhook))


def _proof(webhook: Webhook) -> tuple[str, str, str]:
    if webhook.content_type == "application/json":
        if len(webhook.body) > _MOST_EVENT_BYTES:
            raise BadItem("an event that is too large")
        given = mapping(mapping(read_json(webhook.body)).get("signature"))
        return text(given.get("timestamp")), text(given.get("token")), text(given.get("signature"))
    multipart = webhook.content_type == "multipart/form-data"
    fields = _last(webhook.fields) if multipart else _proof_fields(webhook.body)
    return text_of(fields, "timestamp"), text_of(fields, "token"), text_of(fields, "signature")


def _proof_fields(form: bytes) -> dict[str, bytes]:
    """Decode the proof alone: to decode all takes seconds and gigabytes where every byte is escaped."""
    if form.count(b"&") >= MOST_PARTS:
        raise BadItem("a form of too many fields")
    pieces = (piece.partition(b"=") for piece in form.split(b"&"))
    return {
        name.decode("latin-1"): unquote_to_bytes(value[: 3 * _LONGEST_PROOF + 1].replace(b"+", b" "))
        for name, _, value in pieces
        if name in _PROOF_NAMES
    }


def _content(webhook: Webhook) -> str:
    """Hash what the request says besides its proof; a redelivery may have another boundary and proof."""
    digest = hashlib.sha256()
    if webhook.content_type == "application/json":
        digest.update(repr(mapping(read_json(webhook.body)).get("event-data")).encode("utf-8", "replace"))
        return digest.hexdigest()
    for field in webhook.fields:
        if field.name not in _PROOF:
            for part in (field.name.encode("utf-8", "replace"), field.value):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _last(fields: Sequence[Field]) -> dict[str, bytes]:
    """Return each field's last value: Mailgun's own comes after user variables of the same name."""
    return {field.name: field.value for field in fields if field.filename is None}


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the mail of a form, or the event of a JSON document."""
    try:
        if webhook.content_type == "application/json":
            return _event(mapping(mapping(read_json(webhook.body)).get("event-data")), arrival)
        return _mail(webhook.fields, arrival)
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]


# --- mail ---------------------------------------------------------------------------------------


def _mail(fields: Sequence[Field], arrival: Arrival) -> Sequence[Item]:
    values = _last(fields)
    if not {"body-mime", "body-plain", "message-headers", "from"} & values.keys():
        raise BadItem("a form without a mail")
    if text_of(values, "attachments"):
        raise BadItem("the route stores the attachments; let it forward the mail instead")
    raw = values.get("body-mime") or _composed(values, fields)
    recipient = text_of(values, "recipient")
    known = Delivered(
        recipients=tuple(each.strip() for each in recipient.split(",") if each.strip()),
        dedup=_dedup(values, raw, recipient),
        automatic="sender" in values and text_of(values, "sender").strip() in ("", "<>"),
    )
    return mail_items(raw, arrival, known, shared="signing_key")


def _dedup(values: Mapping[str, bytes], raw: bytes, recipient: str) -> str:
    message_id = text_of(values, "Message-Id") or next(
        (
            value.decode("utf-8", "replace")
            for name, value in _headers(values)
            if name.lower() == b"message-id"
        ),
        "",
    )
    said = hashlib.sha256(values.get("body-plain") or raw).hexdigest()
    return f"{message_id.strip()}:{recipient}:{said}"


def text_of(values: Mapping[str, bytes], name: str) -> str:
    """Return a field as text; Mailgun's forms are UTF-8, whatever the mail was in."""
    return to_text(values.get(name, b""), "utf-8")


def _headers(values: Mapping[str, bytes]) -> list[Header]:
    try:
        pairs = items(read_json(values.get("message-headers", b"[]")))
    except BadItem:
        pairs = ()
    return [header(text(pair[0]), text(pair[1])) for pair in map(items, pairs) if pair[1:]]


def _composed(values: Mapping[str, bytes], fields: Sequence[Field]) -> bytes:
    headers = _headers(values)
    known = {name.lower() for name, _ in headers}
    headers += [
        header(name.title(), text_of(values, name))
        for name in ("from", "to", "subject")
        if name in values and name.encode() not in known
    ]
    ids = _content_ids(text_of(values, "content-id-map"))
    files = [
        File(field.filename, field.content_type or "", field.value, ids.get(field.name, ""))
        for field in fields
        if field.filename is not None
    ]
    return compose(headers, text_of(values, "body-plain"), text_of(values, "body-html"), files)


def _content_ids(document: str) -> dict[str, str]:
    """Return field to Content-ID."""
    try:
        ids = mapping(read_json(document.encode("utf-8", "replace")))
    except BadItem:
        return {}
    return {text(name): content_id for content_id, name in ids.items()}


# --- events -------------------------------------------------------------------------------------


def _event(event: Mapping[str, Any], arrival: Arrival) -> Sequence[Item]:
    name, identity, at = text(event.get("event")), text(event.get("id")), _at(event.get("timestamp"))
    if not identity:
        raise BadItem("an event without an id")
    if name in ("complained", "unsubscribed"):
        kind: Any = "complaint" if name == "complained" else "unsubscribe"
        recipient = text(event.get("recipient"))
        return [consent(arrival, arrival.account, kind, address=recipient, event=identity, at=at)]
    if name not in _STATUSES:
        raise BadItem("an unknown event")
    if name == "failed" and text(event.get("severity")) == "temporary":
        return []
    if text(mapping(event.get("client-info")).get("bot")):  # a mail program that loads images for nobody
        return []
    code, detail = _failure(name, event)
    headers = mapping(mapping(event.get("message")).get("headers"))
    return [
        status(
            arrival,
            arrival.account,
            _STATUSES[name],
            about=_bracketed(text(headers.get("message-id"))),
            event=identity,
            at=at,
            ours=mapping(event.get("user-variables")).get("parley_id"),
            code=code,
            detail=detail,
        )
    ]


def _at(value: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(value, UTC) if isinstance(value, float | int) else None
    except (ValueError, OverflowError, OSError):
        return None


def _bracketed(message_id: str) -> str:
    bare = message_id.strip().strip("<>")
    return f"<{bare}>" if bare else ""


def _failure(name: str, event: Mapping[str, Any]) -> tuple[str | None, str | None]:
    if name == "rejected":
        return "rejected", "Mailgun rejected the message"
    if name != "failed":
        return None, None
    if text(event.get("reason")) in _OPTED_OUT:
        return "opted_out", "the recipient has opted out of messages from us"
    told = mapping(event.get("delivery-status"))
    words = (text(told.get("enhanced-code")), text(told.get("message")), text(told.get("description")))
    return enhanced_code(*words), "the recipient's mail system refused it"
