"""Amazon SES: received mail, and what became of ours, as notifications of SNS.

https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html and …/event-publishing-
retrieving-sns-contents.html. Proof: the signature (sns.py) and a topic among the account's `topic_arn`:
anybody can let a topic of theirs post here, and Amazon will sign it. Dedup key: `mail.messageId` and
the recipients; SNS's own MessageId differs when both notifications and event publishing are on.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.common import DeliveryStatus
from services.chassis.accounts import Account
from services.ingest.channels import sns
from services.ingest.channels.mail_events import consent, enhanced_code, iso_time, status
from services.ingest.channels.mails import Delivered, mail_items
from services.ingest.channels.shapes import items, mapping, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "ses"
_STATUSES = {
    "Send": DeliveryStatus.SENT,
    "Delivery": DeliveryStatus.DELIVERED,
    "Open": DeliveryStatus.READ,
    "Click": DeliveryStatus.READ,
    "Reject": DeliveryStatus.FAILED,
    "Rendering Failure": DeliveryStatus.FAILED,
}
_SAYS_NOTHING = frozenset({"DeliveryDelay", "AmazonSnsSubscriptionSucceeded"})
_WELCOME = "Successfully validated SNS topic"


def certificate_url(webhook: Webhook, account: Account) -> str | None:
    """Return where the certificate is that the request names, if the request is worth fetching it."""
    try:
        document = mapping(read_json(webhook.body))
    except BadItem:
        return None
    return sns.certificate_url(document) if _is_expected(document, account) else None


def _is_expected(document: Mapping[str, Any], account: Account) -> bool:
    topic = text(document.get("TopicArn"))
    return any(same(topic, allowed) for allowed in account.valid("topic_arn"))


def verify(webhook: Webhook, account: Account) -> bool:
    """Check topic, certificate URL and signature, with the certificate that came with the webhook."""
    try:
        document = mapping(read_json(webhook.body))
    except BadItem:
        return False
    return (
        _is_expected(document, account)
        and sns.certificate_url(document) is not None
        and sns.is_signed(document, webhook.certificate)
    )


def confirmation_url(webhook: Webhook) -> str | None:
    """Return the request that answers a verified SubscriptionConfirmation; None for all else."""
    document = mapping(read_json(webhook.body))
    return sns.confirmation_url(document) if document.get("Type") == "SubscriptionConfirmation" else None


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return what the notification tells."""
    try:
        document = mapping(read_json(webhook.body))
        kind = text(document.get("Type"))
        if kind == "SubscriptionConfirmation":
            return []
        if kind != "Notification":
            raise BadItem("the topic is not subscribed to any more" if "Unsub" in kind else "no notification")
        said = text(document.get("Message"))
        if said.startswith(_WELCOME):
            return []
        return list(_notification(mapping(read_json(said.encode("utf-8", "surrogatepass"))), arrival))
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]


def _notification(notification: Mapping[str, Any], arrival: Arrival) -> Iterator[Item]:
    kind = text(notification.get("notificationType")) or text(notification.get("eventType"))
    mail = mapping(notification.get("mail"))
    if kind == "Received":
        yield from _mail(notification, mail, arrival)
    elif kind == "Bounce":
        yield from _bounce(mapping(notification.get("bounce")), mail, arrival)
    elif kind == "Complaint":
        yield from _complaint(mapping(notification.get("complaint")), mail, arrival)
    elif kind == "Subscription":
        yield from _subscription(mapping(notification.get("subscription")), mail, arrival)
    elif kind in _STATUSES:
        yield _status(kind, mapping(notification.get(kind.lower())), mail, arrival)
    elif kind not in _SAYS_NOTHING:
        raise BadItem("an unknown kind of notification")


# --- mail ---------------------------------------------------------------------------------------


def _mail(notification: Mapping[str, Any], mail: Mapping[str, Any], arrival: Arrival) -> Sequence[Item]:
    receipt = mapping(notification.get("receipt"))
    action = mapping(receipt.get("action"))
    content, identity = text(notification.get("content")), text(mail.get("messageId"))
    if not content:
        if text(action.get("type")) == "S3":
            raise BadItem("the mail is in S3; let the receipt rule publish it to SNS, in BASE64")
        raise BadItem("a notification without the mail's content")
    if not identity:
        raise BadItem("a mail without a messageId")
    recipients = tuple(text(each) for each in items(receipt.get("recipients")) if text(each))
    known = Delivered(
        recipients=recipients,
        dedup=f"{identity}:{','.join(sorted(recipients))}",
        aligned=text(mapping(receipt.get("dmarcVerdict")).get("status")) == "PASS",
        automatic=text(mail.get("source")) in ("", "<>") and "source" in mail,
    )
    return mail_items(_content(content, text(action.get("encoding"))), arrival, known, shared="topic_arn")


def _content(content: str, encoding: str) -> bytes:
    if encoding.upper() == "BASE64":
        try:
            return base64.b64decode(content.encode("ascii", "replace"), validate=True)
        except binascii.Error:
            raise BadItem("content that is not base64") from None
    return content.encode("utf-8", "surrogatepass")


# --- what became of ours ------------------------------------------------------------------------


def _status(kind: str, told: Mapping[str, Any], mail: Mapping[str, Any], arrival: Arrival) -> Item:
    failed = _STATUSES[kind] is DeliveryStatus.FAILED
    return status(
        arrival,
        arrival.account,
        _STATUSES[kind],
        about=text(mail.get("messageId")),
        event=kind,
        at=iso_time(text(told.get("timestamp"))) or iso_time(text(mail.get("timestamp"))),
        ours=_ours(mail),
        code="rejected" if failed else None,
        detail="Amazon SES rejected the message" if failed else None,
    )


def _bounce(bounce: Mapping[str, Any], mail: Mapping[str, Any], arrival: Arrival) -> Iterator[Item]:
    transient = text(bounce.get("bounceType")) == "Transient"
    suppressed = "Suppress" in text(bounce.get("bounceSubType"))
    for each in map(mapping, items(bounce.get("bouncedRecipients"))):
        if transient and text(each.get("action")) != "failed":  # an out-of-office notice
            continue
        yield status(
            arrival,
            arrival.account,
            DeliveryStatus.FAILED,
            about=text(mail.get("messageId")),
            event=f"Bounce:{text(each.get('emailAddress'))}",
            at=iso_time(text(bounce.get("timestamp"))),
            ours=_ours(mail),
            code=enhanced_code(
                text(each.get("status")),
                text(each.get("diagnosticCode")),
                default="4.0.0" if transient else "5.0.0",
            ),
            detail="Amazon SES does not send to this address any more"
            if suppressed
            else "the recipient's mail system refused it",
        )


def _complaint(complaint: Mapping[str, Any], mail: Mapping[str, Any], arrival: Arrival) -> Iterator[Item]:
    for each in map(mapping, items(complaint.get("complainedRecipients"))):
        address = text(each.get("emailAddress"))
        yield consent(
            arrival,
            arrival.account,
            "complaint",
            address=address,
            event=f"{text(mail.get('messageId'))}:Complaint:{address}",
            at=iso_time(text(complaint.get("timestamp"))),
        )


def _subscription(told: Mapping[str, Any], mail: Mapping[str, Any], arrival: Arrival) -> Iterator[Item]:
    wanted = mapping(told.get("newTopicPreferences")).get("unsubscribeAll") is not True
    for address in map(text, items(mail.get("destination"))):
        yield consent(
            arrival,
            arrival.account,
            "resubscribe" if wanted else "unsubscribe",
            address=address,
            event=f"{text(mail.get('messageId'))}:Subscription:{text(told.get('timestamp'))}:{address}",
            at=iso_time(text(told.get("timestamp"))),
        )


def _ours(mail: Mapping[str, Any]) -> str:
    """Return our own id: a tag where events are published, a header where notifications hold headers."""
    tags = items(mapping(mail.get("tags")).get("parley_id"))
    if tags:
        return text(tags[0])
    headers = map(mapping, items(mail.get("headers")))
    return next((text(each.get("value")) for each in headers if text(each.get("name")) == "X-Parley-Id"), "")
