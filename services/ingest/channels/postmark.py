"""Postmark: inbound mail as JSON, and the hooks for bounces, deliveries, opens and complaints.

https://postmarkapp.com/developer/webhooks/inbound-webhook. There is no signature: the address holds basic
auth, and a wrong password is answered 401, for 403 would end all redelivery. Dedup key: MessageID (Postmark's
own, not the mail's) and OriginalRecipient. `RawEmail` is read where it is enabled.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.common import DeliveryStatus
from services.chassis.accounts import Account
from services.ingest.channels.mail_events import consent, enhanced_code, iso_time, status
from services.ingest.channels.mails import Delivered, mail_items
from services.ingest.channels.shapes import items, mapping, read_json, text
from services.ingest.channels.signatures import is_basic
from services.ingest.mail.composed import File, Header, compose, header
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "postmark"
_STATUSES = {
    "Delivery": DeliveryStatus.DELIVERED,
    "Open": DeliveryStatus.READ,
    "Click": DeliveryStatus.READ,
    "Bounce": DeliveryStatus.FAILED,
}
_TRIED_AGAIN = frozenset({"Transient", "DnsError", "AutoResponder", "Subscribe", "AddressChange"})
"""Bounces that say nothing final; https://postmarkapp.com/developer/api/bounce-api#bounce-types."""
_COMPLAINTS = frozenset({"SpamComplaint"})
_UNSUBSCRIBED = frozenset({"Unsubscribe", "ManualSuppression"})
_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


def verify(webhook: Webhook, account: Account) -> bool:
    """Check the basic auth of the address."""
    return is_basic(webhook.headers.get("authorization", ""), account)


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the mail, or what a hook tells of one of ours."""
    try:
        document = read_json(webhook.body)
        if not isinstance(document, dict):
            raise BadItem("JSON, but no object")
        kind = text(document.get("RecordType")) or "Inbound"
        return _mail(document, arrival) if kind == "Inbound" else _event(kind, document, arrival)
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]


# --- mail ---------------------------------------------------------------------------------------


def _mail(document: Mapping[str, Any], arrival: Arrival) -> Sequence[Item]:
    identity, recipient = text(document.get("MessageID")), text(document.get("OriginalRecipient"))
    if not identity:
        raise BadItem("a mail without a MessageID")
    raw = text(document.get("RawEmail"))
    known = Delivered(
        recipients=(recipient,) if recipient else _people(document, "ToFull", "CcFull", "BccFull"),
        dedup=f"{identity}:{recipient}",
        automatic=_first(document, "Return-Path").strip() == "<>",
    )
    mail = (
        raw.encode("utf-8", "surrogateescape" if raw.isascii() else "replace") if raw else _composed(document)
    )
    return mail_items(mail, arrival, known, shared="password")


def _people(document: Mapping[str, Any], *fields: str) -> tuple[str, ...]:
    people = (mapping(each) for field in fields for each in items(document.get(field)))
    return tuple(address for one in people if (address := text(one.get("Email"))))


def _first(document: Mapping[str, Any], name: str) -> str:
    """Return the first header of that name: Postmark's own, which comes before the sender's."""
    headers = (mapping(each) for each in items(document.get("Headers")))
    return next((text(each.get("Value")) for each in headers if text(each.get("Name")) == name), "")


def _composed(document: Mapping[str, Any]) -> bytes:
    headers: list[Header] = [
        header(text(mapping(each).get("Name")), text(mapping(each).get("Value")))
        for each in items(document.get("Headers"))
    ]
    sender = mapping(document.get("FromFull"))
    address = text(sender.get("Email")) or text(document.get("From"))
    name = text(sender.get("Name")) or text(document.get("FromName"))
    quoted = name.replace("\\", "").replace('"', "")
    headers.append(header("From", f'"{quoted}" <{address}>' if quoted else address))
    headers += [
        header(field, text(document.get(key)))
        for field, key in (("To", "To"), ("Cc", "Cc"), ("Subject", "Subject"), ("Date", "Date"))
        if text(document.get(key))
    ]
    if reply_to := text(document.get("ReplyTo")):
        headers.append(header("Reply-To", reply_to))
    files = [_file(mapping(each)) for each in items(document.get("Attachments"))]
    return compose(headers, text(document.get("TextBody")), text(document.get("HtmlBody")), files)


def _file(attachment: Mapping[str, Any]) -> File:
    encoded = text(attachment.get("Content")) or text(attachment.get("Data"))  # `Data`: its test button's
    try:
        content = base64.b64decode(encoded.encode("ascii", "replace"))
    except binascii.Error:
        content = encoded.encode("utf-8", "replace")
    return File(
        text(attachment.get("Name")),
        text(attachment.get("ContentType")),
        content,
        text(attachment.get("ContentID")).strip("<>"),
    )


# --- hooks --------------------------------------------------------------------------------------


def _event(kind: str, document: Mapping[str, Any], arrival: Arrival) -> Sequence[Item]:
    bounce = text(document.get("Type"))
    about = text(document.get("MessageID"))
    at = next((when for name in _TIMES if (when := iso_time(text(document.get(name))))), None)
    address = text(document.get("Email")) or text(document.get("Recipient"))
    identity = f"{about}:{kind}:{bounce}:{text(document.get('ID')) or address}"
    if kind == "SubscriptionChange":
        return _subscription(document, arrival, address, at)
    if kind in _COMPLAINTS or bounce in _COMPLAINTS:
        return [consent(arrival, arrival.account, "complaint", address=address, event=identity, at=at)]
    if kind not in _STATUSES:
        raise BadItem("an unknown RecordType")
    if kind == "Bounce" and bounce in _UNSUBSCRIBED:
        return [consent(arrival, arrival.account, "unsubscribe", address=address, event=identity, at=at)]
    if kind == "Bounce" and bounce in _TRIED_AGAIN:
        return []
    code, detail = _failure(kind, document)
    report = status(
        arrival,
        arrival.account,
        _STATUSES[kind],
        about=about,
        event=identity,
        at=at,
        ours=mapping(document.get("Metadata")).get("parley_id"),
        code=code,
        detail=detail,
    )
    return [report]


def _subscription(
    document: Mapping[str, Any],
    arrival: Arrival,
    address: str,
    at: Any,  # noqa: ANN401  (datetime or None)
) -> Sequence[Item]:
    reason = text(document.get("SuppressionReason"))
    stopped = document.get("SuppressSending") is True
    if stopped and reason == "HardBounce":  # the address is dead; nobody opted out
        return []
    kind: Any = "resubscribe"
    if stopped:
        kind = "complaint" if reason == "SpamComplaint" else "unsubscribe"
    identity = f"{address}:{kind}:{text(document.get('ChangedAt'))}"
    return [consent(arrival, arrival.account, kind, address=address, event=identity, at=at)]


def _failure(kind: str, document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    if kind != "Bounce":
        return None, None
    words = (text(document.get("Details")), text(document.get("Description")))
    return enhanced_code(*words), "the recipient's mail system refused it"
