"""SendGrid: Inbound Parse (a multipart form, the mail raw or taken apart) and the Event Webhook.

https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook,
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event. Signature: ECDSA P-256 over
timestamp and raw body, where a security policy is set; without one the address has basic
auth in it. Dedup key: a hash of Message-ID, envelope and body, since SendGrid gives none; for an event
`sg_event_id`. Each text field is in a charset of its own, which `charsets` tells.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from schemas.common import DeliveryStatus
from services.chassis.accounts import Account
from services.ingest.channels.mail_events import consent, enhanced_code, status
from services.ingest.channels.mails import Delivered, mail_items
from services.ingest.channels.shapes import as_bytes, items, mapping, moment, read_json, text
from services.ingest.channels.signatures import is_basic
from services.ingest.mail.charsets import to_text
from services.ingest.mail.composed import File, compose, header, header_block
from services.ingest.webhook import Arrival, BadItem, Field, Item, Unreadable, Webhook

PROVIDER = "sendgrid"
_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
_DKIM = re.compile(r"@([^\s:{},]{1,255})\s*:\s*pass\b")
_STATUSES = {
    "processed": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "open": DeliveryStatus.READ,
    "click": DeliveryStatus.READ,
    "bounce": DeliveryStatus.FAILED,
    "blocked": DeliveryStatus.FAILED,
    "dropped": DeliveryStatus.FAILED,
}
_CONSENT = {
    "spamreport": "complaint",
    "unsubscribe": "unsubscribe",
    "group_unsubscribe": "unsubscribe",
    "group_resubscribe": "resubscribe",
}
_SAYS_NOTHING = frozenset({"deferred", "account_status_change"})
_OPTED_OUT = frozenset({"unsubscribed address", "spam reporting address"})


def verify(webhook: Webhook, account: Account) -> bool:
    """Check the signature with `public_key`; of an account without one the basic auth in the address."""
    keys = account.valid("public_key")
    if not keys:
        return is_basic(webhook.headers.get("authorization", ""), account)
    signed = webhook.headers.get(_TIMESTAMP, "").encode("latin-1", "replace") + webhook.body
    try:
        signature = base64.b64decode(
            webhook.headers.get(_SIGNATURE, "").encode("latin-1", "replace"), validate=True
        )
    except (binascii.Error, ValueError):
        return False
    return bool(signature) and any(_signed_by(key, signature, signed) for key in keys)


def _signed_by(key: str, signature: bytes, signed: bytes) -> bool:
    public = _public_key(key)
    if public is None:
        return False
    try:
        public.verify(signature, signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=64)
def _public_key(key: str) -> ec.EllipticCurvePublicKey | None:
    try:
        public = load_der_public_key(base64.b64decode(key.encode(), validate=True))
    except ValueError:
        return None
    return public if isinstance(public, ec.EllipticCurvePublicKey) else None


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the mail of a form, or the events of a JSON array."""
    try:
        if webhook.content_type == "application/json":
            return list(_events(read_json(webhook.body), arrival))
        return _mail(webhook, arrival)
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]


# --- mail ---------------------------------------------------------------------------------------


def _mail(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    fields: dict[str, Field] = {}
    for field in webhook.fields:
        fields.setdefault(field.name, field)
    if not {"email", "headers", "from"} & fields.keys():
        raise BadItem("a form without a mail")
    form = _Form(fields)
    raw = fields["email"].value if "email" in fields else form.composed([*webhook.fields])
    envelope = form.json("envelope")
    recipients = tuple(text(each) for each in items(envelope.get("to")) if text(each))
    known = Delivered(
        recipients=recipients,
        dedup=f"sha256:{_digest(raw, recipients)}",
        dkim_domains=tuple(_DKIM.findall(form.text("dkim")[:4000])),
        automatic=text(envelope.get("from")) == "" and "from" in envelope,
    )
    return mail_items(raw, arrival, known, shared=_proof(arrival.account))


def _digest(raw: bytes, recipients: Sequence[str]) -> str:
    return hashlib.sha256(
        "\n".join(sorted(recipients)).encode("utf-8", "replace") + b"\n\n" + raw
    ).hexdigest()


def _proof(account: Account) -> str:
    return "public_key" if account.valid("public_key") else "password"


class _Form:
    """The fields of a mail, each decoded as `charsets` says."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self._fields = fields
        self._charsets = self.json("charsets")

    def json(self, name: str) -> Mapping[str, Any]:
        """Return the JSON object that the field holds, or an empty one."""
        field = self._fields.get(name)
        try:
            return mapping(read_json(field.value)) if field else {}
        except BadItem:
            return {}

    def text(self, name: str) -> str:
        """Return the field as text."""
        field = self._fields.get(name)
        if field is None:
            return ""
        charset = self._charsets.get(name) if name != "charsets" else None
        return to_text(field.value, charset if isinstance(charset, str) else None)

    def composed(self, fields: Sequence[Field]) -> bytes:
        """Return the mail that was taken apart."""
        block = self._fields["headers"].value if "headers" in self._fields else b""
        headers = header_block(block)
        known = {name.lower() for name, _ in headers}
        headers += [
            header(name.title(), self.text(name))
            for name in ("from", "to", "cc", "subject")
            if name in self._fields and name.encode() not in known
        ]
        return compose(headers, self.text("text"), self.text("html"), list(self._files(fields)))

    def _files(self, fields: Sequence[Field]) -> Iterator[File]:
        told = self.json("attachment-info")
        ids = {text(field): name for name, field in self.json("content-ids").items()}
        for field in fields:
            if field.filename is None and not re.fullmatch(r"attachment\d{1,4}", field.name):
                continue
            info = mapping(told.get(field.name))
            yield File(
                text(info.get("filename")) or text(info.get("name")) or field.filename or "",
                text(info.get("type")) or field.content_type or "",
                field.value,
                text(info.get("content-id")) or ids.get(field.name, ""),
            )


# --- events -------------------------------------------------------------------------------------


def _events(value: object, arrival: Arrival) -> Iterator[Item]:
    events = items(value)
    if not events:
        raise BadItem("no array of events")
    for each in events:
        try:
            yield from _event(mapping(each), arrival)
        except BadItem as error:
            yield Unreadable(str(error), as_bytes(each))


def _event(event: Mapping[str, Any], arrival: Arrival) -> Iterator[Item]:
    name, at = text(event.get("event")), moment(event.get("timestamp"))
    identity = text(event.get("sg_event_id")) or f"{text(event.get('sg_message_id'))}:{name}"
    if name in _CONSENT:
        kind: Any = _CONSENT[name]
        yield consent(arrival, arrival.account, kind, address=text(event.get("email")), event=identity, at=at)
    elif name in _STATUSES:
        if event.get("sg_machine_open") is True:  # a mail program that loads images for nobody
            return
        code, detail = _failure(name, event)
        yield status(
            arrival,
            arrival.account,
            _STATUSES[name],
            about=text(event.get("sg_message_id")).partition(".")[0],
            event=identity,
            at=at,
            ours=event.get("parley_id"),
            code=code,
            detail=detail,
        )
    elif name not in _SAYS_NOTHING:
        raise BadItem("an unknown event")


def _failure(name: str, event: Mapping[str, Any]) -> tuple[str | None, str | None]:
    reason = text(event.get("reason"))
    if name == "dropped":
        known = reason.strip().lower()
        code = "opted_out" if known in _OPTED_OUT else enhanced_code(text(event.get("status")))
        return code, "SendGrid does not send to this address any more"
    if name not in ("bounce", "blocked"):
        return None, None
    blocked = name == "blocked" or text(event.get("type")) == "blocked"
    detail = "the recipient's mail system refused it" + (", for now" if blocked else "")
    return enhanced_code(text(event.get("status")), reason), detail
