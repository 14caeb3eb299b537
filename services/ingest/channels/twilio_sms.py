"""Twilio Programmable Messaging: incoming SMS, MMS, RCS and WhatsApp, and status callbacks.

Format: https://www.twilio.com/docs/messaging/guides/webhook-request; the signature is in
`twilio.py`. Dedup key: MessageSid; for a status (MessageSid, status, ErrorCode), since callbacks
carry no time. A status callback's URL may hold our own `message_id`; it is covered by the signature.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from schemas.common import Attachment, Channel, DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.chassis.text import line
from services.ingest.channels.items import ConsentWord, Said, our_id, received, reported
from services.ingest.channels.twilio import addressee, parameters, verify
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

__all__ = ["PROVIDER", "parse", "verify"]

PROVIDER = "twilio-sms"
_INCOMING = frozenset({"received", "receiving"})
_NUMBERED = frozenset({"", "sms", "rcs"})
"""What stands before a sender's number; WhatsApp's senders have rules of their own."""
_MEDIA_URL = re.compile(r"MediaUrl(0|[1-9][0-9]{0,2})")
_MOST_MEDIA = 50
_FILES = {"text/vcard": "contact", "text/x-vcard": "contact", "text/calendar": "event"}
_SHOWN = frozenset({"image", "video", "audio"})
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


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the one message or status that the webhook holds."""
    try:
        given = parameters(webhook)
        if _is_status(given):
            return [_status(given, webhook, arrival, addressee(given.get("From", ""), arrival))]
        return [_message(given, arrival, addressee(given.get("To", ""), arrival))]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body or webhook.query.encode())]


def _is_status(given: Mapping[str, str]) -> bool:
    status = given.get("MessageStatus") or given.get("SmsStatus", "received")
    return status not in _INCOMING


def _status(given: Mapping[str, str], webhook: Webhook, arrival: Arrival, account: Account) -> Item:
    word = given.get("MessageStatus") or given.get("SmsStatus", "")
    if word not in _STATUSES:
        reason = "unknown message status"
        raise BadItem(reason)
    code = given.get("ErrorCode") or None
    ours = parse_qs(webhook.query).get("message_id", [None])[0]
    return reported(
        arrival,
        account,
        _STATUSES[word],
        dedup=(word, code or ""),
        provider_message_id=_sid(given),
        ours=our_id(ours),
        error_code=code or ("canceled" if word == "canceled" else None),
        error_detail=given.get("ErrorMessage"),
    )


def _message(given: Mapping[str, str], arrival: Arrival, account: Account) -> Item:
    sid = _sid(given)
    identifiers = _sender(given, account)
    return received(
        arrival,
        account,
        _said(given),
        dedup=sid,
        provider_message_id=sid,
        identifiers=identifiers,
        key=next((known.value for known in identifiers if known.kind == "phone"), identifiers[0].value),
        name=given.get("ProfileName"),
        consent=_CONSENTS.get(given.get("OptOutType", "").upper()),
    )


def _sid(given: Mapping[str, str]) -> str:
    sid = given.get("MessageSid") or given.get("SmsSid") or given.get("SmsMessageSid", "")
    if not sid.strip():
        reason = "no MessageSid"
        raise BadItem(reason)
    return sid


def _sender(given: Mapping[str, str], account: Account) -> list[Identifier]:
    """Return the sender's identifiers; Twilio vouches for them. WhatsApp senders come as `whatsapp:…`."""
    prefix, _, address = given.get("From", "").rpartition(":")
    try:
        if prefix in _NUMBERED:
            return [identifier("phone", address, account.region, verified=True)]
        if prefix != "whatsapp":
            reason = "From: an address of a kind that is not known"
            raise BadItem(reason)
        whatsapp = identifier("whatsapp", address, verified=True)
        if not whatsapp.value.isdigit():
            return [whatsapp]
        phone = identifier("phone", f"+{whatsapp.value}", verified=True)
    except InvalidIdentifier as error:
        reason = f"From: {error}"
        raise BadItem(reason) from None
    return [whatsapp, phone] if account.channel is Channel.WHATSAPP else [phone, whatsapp]


def _said(given: Mapping[str, str]) -> Said:
    """Return the words, whatever the type: a caption, a place, the label of a button, a reaction."""
    body = given.get("Body", "")
    reply_to = given.get("OriginalRepliedMessageSid")
    attachments = _media(given)
    chosen = given.get("ButtonText") or given.get("ListTitle")
    if given.get("Latitude") and given.get("Longitude"):
        place = f"[location] {given['Latitude']}, {given['Longitude']}"
        label = given.get("Label") or given.get("Address") or body
        return Said(f"{place} {label}".strip(), "location", attachments, reply_to)
    if chosen:
        return Said(body if body.strip() else chosen, "button", attachments, reply_to)
    if attachments:
        kinds = ", ".join(map(_kind, attachments))
        return Said(body if body.strip() else f"[{kinds}]", "media", attachments, reply_to)
    return Said(body, "reaction" if given.get("MessageType") == "reaction" else "text", (), reply_to)


def _kind(file: Attachment) -> str:
    content_type = (file.content_type or "").partition(";")[0].strip().lower()
    family = content_type.partition("/")[0]
    return _FILES.get(content_type) or (family if family in _SHOWN else "file")


def _media(given: Mapping[str, str]) -> tuple[Attachment, ...]:
    """Return every file there is, in order; `NumMedia` is not needed to find them."""
    numbers = sorted(int(match[1]) for name in given if (match := _MEDIA_URL.fullmatch(name)))
    return tuple(
        Attachment(content_type=line(given.get(f"MediaContentType{n}", ""), 100) or None, url=line(url, 2000))
        for n in numbers[:_MOST_MEDIA]
        if (url := given.get(f"MediaUrl{n}"))
    )
