"""Mail of every provider as records: each hands over the mail's bytes and what it alone knows of it.

Who sent a mail is proven by nothing in it: the sender's address is an unverified identifier unless
the provider vouches for it (an aligned DKIM signature). The dedup key is the provider's own, with a hash
of the body where anybody can make up the key: broken programs use a Message-ID twice.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.common import Channel, DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier, normalise
from services.chassis.reply_address import named_customer, without_tag
from services.ingest.channels.items import Said, received, reported
from services.ingest.mail import automatic, message
from services.ingest.mail.quotes import split_quotes
from services.ingest.mail.safe import safe_html
from services.ingest.webhook import Arrival, BadItem, Item

_SIGNED_BY_SENDER = ("from", "to", "cc", "subject", "date")
_ADDRESSED = ("delivered-to", "x-original-to", "to", "cc")
_SUBJECT_CHARACTERS = 998
_MOST_REFERENCES = 50
_MOST_RECIPIENTS = 50
_LINE_END = re.compile(rb"\r\n|\r")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a provider knows of a mail besides its bytes."""

    recipients: tuple[str, ...] = ()
    """To whom it was delivered; the header To names others as well, and not those in Bcc."""
    dedup: str = ""
    """The provider's own id of this delivery."""
    dkim_domains: tuple[str, ...] = ()
    """Domains whose DKIM signature the provider found valid."""
    aligned: bool = False
    """The provider found the sender's own domain to vouch for it (DMARC)."""
    automatic: bool = False


def mail_items(
    raw: bytes, arrival: Arrival, delivered: Delivered | None = None, *, shared: str = ""
) -> list[Item]:
    """Return the mail as a message; a bounce of a mail of ours also as a delivery report.

    `shared` names the secret that an account of another address must have too, to be given the mail.
    Raises BadItem for a mail without a sender.
    """
    known = delivered or Delivered()
    mail = message.read(raw)
    recipients = _recipients(mail, known)
    account = _addressee(arrival, recipients, shared)
    found = [_message(mail, raw, arrival, account, known, recipients)]
    bounce = automatic.bounce(mail)
    return [*found, _report(bounce, arrival, account)] if bounce else found


def _message(
    mail: message.Mail,
    raw: bytes,
    arrival: Arrival,
    account: Account,
    known: Delivered,
    recipients: Sequence[str],
) -> Item:
    name, address = _sender(mail)
    sender = identifier("email", address.value, verified=_vouched(address.value, known))
    message_ids = mail.headers.ids("message-id")
    dedup = _dedup(mail, message_ids, known)
    text, quoted = split_quotes(mail.text)
    ours = arrival.accounts.is_ours(Channel.EMAIL, without_tag(sender.value))
    return received(
        arrival,
        account,
        Said(
            text or _without_text(mail),
            mail_kind(mail),
            mail.attachments,
            next(iter(mail.headers.ids("in-reply-to")), None),
        ),
        dedup=dedup,
        provider_message_id=message_ids[0] if message_ids else dedup,
        identifiers=[sender],
        key=sender.value,
        name=name,
        automatic=ours or known.automatic or automatic.is_automatic(mail, sender.value),
        subject=mail.headers.text("subject")[:_SUBJECT_CHARACTERS],
        references=mail.headers.ids("references")[-_MOST_REFERENCES:],
        raw=raw,
        quoted=quoted or None,
        html=safe_html(mail.html) if mail.html else None,
        thread=_thread(account, recipients),
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
    raise BadItem("a mail without a sender")


def _vouched(sender: str, known: Delivered) -> bool:
    """Tell whether a domain that signed the mail is the sender's, or one above it (relaxed alignment)."""
    domain = sender.rpartition("@")[2].lower()
    signers = (each.lower().strip(" .@") for each in known.dkim_domains)
    return known.aligned or any("." in each and f".{domain}".endswith(f".{each}") for each in signers)


def _recipients(mail: message.Mail, known: Delivered) -> tuple[str, ...]:
    """Return the addresses it went to, normalised, the provider's word first."""
    named = [*known.recipients, *(each for name in _ADDRESSED for each in mail.headers.addresses(name))]
    found: dict[str, None] = {}
    for each in named[:_MOST_RECIPIENTS]:
        try:
            found.setdefault(normalise("email", each))
        except InvalidIdentifier:
            continue
    return tuple(found)


def _addressee(arrival: Arrival, recipients: Sequence[str], shared: str) -> Account:
    """Return the account that was written to, if it has the same secret; else the URL's."""
    account = arrival.account
    for recipient in map(without_tag, recipients):
        if recipient == account.address:
            return account
        other = arrival.accounts.by_address(account.provider, recipient)
        if other and shared and other.shares(shared, account):
            return other
    return account


def _thread(account: Account, recipients: Sequence[str]) -> str | None:
    secrets = account.valid("reply_secret")
    named = (named_customer(account.address, each, secrets) for each in recipients)
    return next(filter(None, named), None)


def _without_text(mail: message.Mail) -> str:
    names = [each.filename or each.content_type or "file" for each in mail.attachments]
    return f"[{', '.join(names[:10])}]" if names else ""


def _dedup(mail: message.Mail, message_ids: Sequence[str], known: Delivered) -> str:
    if known.dedup:
        return known.dedup
    digest = hashlib.sha256(_LINE_END.sub(b"\n", mail.body).strip())
    if message_ids:
        return f"{message_ids[0]}:{digest.hexdigest()}"
    for header in _SIGNED_BY_SENDER:
        digest.update(f"\n{header}:{mail.headers.raw(header)}".encode("utf-8", "surrogatepass"))
    return f"sha256:{digest.hexdigest()}"


def _report(bounce: automatic.Bounce, arrival: Arrival, account: Account) -> Item:
    return reported(
        arrival,
        account,
        DeliveryStatus.FAILED,
        dedup=("bounce", bounce.code),
        provider_message_id=bounce.provider_message_id,
        ours=bounce.message_id,
        error_code=bounce.code,
        error_detail="the recipient's mail system refused it",
    )
