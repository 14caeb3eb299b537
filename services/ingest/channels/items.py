"""How every provider's items become records: ids, times, clean text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from schemas.common import Attachment, DeliveryStatus, Identifier
from schemas.ids import derive, message_id
from schemas.inbound import DeliveryData, DeliveryReported, InboundData, InboundPersonal, MessageReceived
from services.chassis.accounts import Account
from services.chassis.text import clean, line, raw_form
from services.ingest.webhook import Arrival, BadItem, Received, Reported

NAME_CHARACTERS = 200
_PROVIDER_ID_CHARACTERS = 998
_ERROR_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says, and how it hangs together with others."""

    text: str
    kind: str = "text"
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str | None = None


def received(
    arrival: Arrival,
    account: Account,
    said: Said,
    *,
    dedup: str,
    provider_message_id: str,
    identifiers: Sequence[Identifier],
    key: str,
    name: str | None = None,
    sent_at: datetime | None = None,
    outbound: bool = False,
    automatic: bool = False,
    subject: str | None = None,
    references: tuple[str, ...] = (),
    raw: bytes | None = None,
    html: str | None = None,
    quoted: str | None = None,
    thread: str | None = None,
    consent: Literal["stop", "start", "help"] | None = None,
) -> Received:
    """Return the message; the first of `identifiers` is the address a reply goes to.

    `dedup` is what the provider repeats on redelivery, within (account, `key`); `key` is the sender's
    address and the Kafka key. A `sent_at` in the future becomes our own time.
    """
    at = arrival.received_at if sent_at is None or sent_at > arrival.received_at else sent_at
    record = MessageReceived(
        id=message_id(account.provider, account.account, key, dedup),
        occurred_at=arrival.received_at,
        correlation=arrival.correlation,
        data=InboundData(
            provider=account.provider,
            account=account.account,
            channel=account.channel,
            inbox=account.inbox,
            direction="outbound" if outbound else "inbound",
            kind=line(said.kind, 64),
            sent_at=at,
            received_at=arrival.received_at,
            automatic=automatic,
            consent=consent,
            thread=thread,
        ),
        personal=InboundPersonal(
            sender=identifiers[0],
            identifiers=tuple(identifiers),
            name=(line(name, NAME_CHARACTERS) or None) if name else None,
            text=clean(said.text),
            text_raw=raw_form(said.text),
            html=html,
            quoted=clean(quoted) if quoted else None,
            subject=clean(subject) if subject is not None else None,
            attachments=said.attachments,
            provider_message_id=provider_id(provider_message_id),
            in_reply_to=clean(said.in_reply_to)[:_PROVIDER_ID_CHARACTERS] if said.in_reply_to else None,
            references=references,
        ),
    )
    return Received(record, key, raw)


def reported(
    arrival: Arrival,
    account: Account,
    status: DeliveryStatus,
    *,
    dedup: Sequence[str],
    provider_message_id: str,
    at: datetime | None = None,
    ours: UUID | None = None,
    error_code: str | None = None,
    error_detail: str | None = None,
) -> Reported:
    """Return the delivery report; `dedup` is what tells this report from others on the same message."""
    known = at is not None and at <= arrival.received_at
    record = DeliveryReported(
        id=derive("delivery", account.provider, account.account, provider_message_id, *dedup),
        occurred_at=arrival.received_at,
        correlation=arrival.correlation,
        data=DeliveryData(
            provider=account.provider,
            account=account.account,
            provider_message_id=provider_id(provider_message_id),
            status=status,
            at=at if at is not None and known else arrival.received_at,
            message_id=ours,
            error_code=line(error_code, 64) if error_code else None,
            error_detail=line(error_detail, _ERROR_CHARACTERS) if error_detail else None,
        ),
    )
    return Reported(record, record.data.provider_message_id)


def provider_id(value: str) -> str:
    """Return the provider's id of a message, fit to store. Raises BadItem when there is none."""
    cleaned = clean(value).strip()[:_PROVIDER_ID_CHARACTERS]
    if not cleaned:
        reason = "no message id"
        raise BadItem(reason)
    return cleaned


def our_id(value: object) -> UUID | None:
    """Return our own message id where the provider carried it along."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
