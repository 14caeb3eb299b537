"""Raw email (RFC 5322) from a relay of ours, which proves itself by a bearer token.

Who sent the mail is proven by nothing: its address is an unverified identifier. Dedup key:
Message-ID with a hash of the body, since broken programs use an id twice; without a Message-ID
a hash of the mail without its trace headers.
"""

import hashlib
import re
from collections.abc import Sequence

from schemas.common import Channel, DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.ingest.channels.items import Said, received, reported
from services.ingest.channels.signatures import bearer, same
from services.ingest.mail import automatic, message
from services.ingest.mail.quotes import without_quotes
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "mime"
_SIGNED_BY_SENDER = ("from", "to", "cc", "subject", "date")
_SUBJECT_CHARACTERS = 998
_MOST_REFERENCES = 50
_LINE_END = re.compile(rb"\r\n|\r")


def verify(webhook: Webhook, account: Account) -> bool:
    """Check the relay's bearer token."""
    given = bearer(webhook.headers.get("authorization", ""))
    return any(same(given, token) for token in account.valid("token"))


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the mail as a message; a bounce of a mail of ours also as a delivery report."""
    try:
        mail = message.read(webhook.body)
        found = [_message(mail, webhook.body, arrival)]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]
    bounce = automatic.bounce(mail)
    return [*found, _report(bounce, arrival)] if bounce else found


def _message(mail: message.Mail, raw: bytes, arrival: Arrival) -> Item:
    name, sender = _sender(mail)
    account = arrival.account
    ours = arrival.accounts.is_ours(Channel.EMAIL, sender.value)
    message_ids = mail.headers.ids("message-id")
    dedup = _dedup(mail, message_ids)
    return received(
        arrival,
        account,
        Said(
            without_quotes(mail.text) or _without_text(mail),
            mail_kind(mail),
            mail.attachments,
            next(iter(mail.headers.ids("in-reply-to")), None),
        ),
        dedup=dedup,
        provider_message_id=message_ids[0] if message_ids else dedup,
        identifiers=[sender],
        key=sender.value,
        name=name,
        automatic=ours or automatic.is_automatic(mail, sender.value),
        subject=mail.headers.text("subject")[:_SUBJECT_CHARACTERS],
        references=mail.headers.ids("references")[-_MOST_REFERENCES:],
        raw=raw,
    )


def mail_kind(mail: message.Mail) -> str:
    """Return `report` for a delivery status notification and its like, else `email`."""
    return "report" if mail.content_type == "multipart/report" else "email"


def _sender(mail: message.Mail) -> tuple[str, Identifier]:
    """Return the name and address of From, else of Sender, else of Return-Path."""
    for header in ("from", "sender", "return-path"):
        name, address = mail.headers.address(header)
        try:
            return name, identifier("email", address)
        except InvalidIdentifier:
            continue
    reason = "a mail without a sender"
    raise BadItem(reason)


def _without_text(mail: message.Mail) -> str:
    names = [each.filename or each.content_type or "file" for each in mail.attachments]
    return f"[{', '.join(names[:10])}]" if names else ""


def _dedup(mail: message.Mail, message_ids: Sequence[str]) -> str:
    digest = hashlib.sha256(_LINE_END.sub(b"\n", mail.body).strip())
    if message_ids:
        return f"{message_ids[0]}:{digest.hexdigest()}"
    for header in _SIGNED_BY_SENDER:
        digest.update(f"\n{header}:{mail.headers.raw(header)}".encode("utf-8", "surrogatepass"))
    return f"sha256:{digest.hexdigest()}"


def _report(bounce: automatic.Bounce, arrival: Arrival) -> Item:
    return reported(
        arrival,
        arrival.account,
        DeliveryStatus.FAILED,
        dedup=("bounce", bounce.code),
        provider_message_id=bounce.provider_message_id,
        ours=bounce.message_id,
        error_code=bounce.code,
        error_detail="the recipient's mail system refused it",
    )
