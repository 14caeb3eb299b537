"""How every provider's items become records: ids, times, clean text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal
from uuid import UUID

import orjson

from schemas.calls import CallStep, CallWords
from schemas.common import Attachment, DeliveryStatus, Identifier
from schemas.envelope import rfc3339
from schemas.ids import derive, derived, message_id
from schemas.inbound import DeliveryEcho, DeliveryWatermark, WatermarkData, WatermarkPersonal
from services.chassis.accounts import Account
from services.chassis.text import PROVIDER_ID_CHARACTERS, clean, line, raw_form
from services.ingest.webhook import Arrival, BadItem, Received, Reported

NAME_CHARACTERS = 200
ConsentWord = Literal["stop", "start", "help"]
_ERROR_CHARACTERS = 200
_LARGEST_ECHO_BYTES = 150_000


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
    call: CallStep | None = None,
    call_words: CallWords | None = None,
    html: str | None = None,
    quoted: str | None = None,
    thread: str | None = None,
    consent: ConsentWord | None = None,
) -> Received:
    """Return the message; the first of `identifiers` is the address a reply goes to.

    `dedup` is what the provider repeats on redelivery, within (account, `key`); `key` is the sender's
    address and the Kafka key. A `sent_at` in the future becomes our own time.
    """
    at = arrival.at if sent_at is None or sent_at > arrival.received_at else _moment(sent_at)
    name = line(name, NAME_CHARACTERS) if name else None
    raw_text = raw_form(said.text)
    record_id = message_id(account.provider, account.account, key, dedup)
    people = [_known(identifier) for identifier in identifiers]
    personal = {
        "sender": people[0],
        "identifiers": people,
        **({"name": name} if name else {}),
        "text": said.text if raw_text is None else clean(said.text),
        **({"text_raw": raw_text} if raw_text is not None else {}),
        **({"html": html} if html is not None else {}),
        **({"quoted": clean(quoted)} if quoted else {}),
        **({"subject": clean(subject)} if subject is not None else {}),
        "attachments": [each.model_dump(mode="json", exclude_none=True) for each in said.attachments],
        "provider_message_id": provider_id(provider_message_id),
        **({"in_reply_to": clean(said.in_reply_to)[:PROVIDER_ID_CHARACTERS]} if said.in_reply_to else {}),
        "references": references,
        **({"call": call_words.model_dump(mode="json", exclude_none=True)} if call_words else {}),
    }
    data = {
        "provider": account.provider,
        "account": account.account,
        "channel": account.channel,
        "inbox": account.inbox,
        "direction": "outbound" if outbound else "inbound",
        "kind": _kind(said.kind),
        "sent_at": at,
        "received_at": arrival.at,
        "automatic": automatic,
        **({"call": call.model_dump(mode="json", exclude_none=True)} if call else {}),
        **({"consent": consent} if consent is not None else {}),
        **({"thread": thread} if thread is not None else {}),
    }
    value = _written("message.received", record_id, arrival, data=data, personal=personal)
    return Received(record_id, value, key, raw)


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
    theirs = provider_id(provider_message_id)
    data = {
        "provider": account.provider,
        "account": account.account,
        "provider_message_id": theirs,
        "status": status,
        "at": rfc3339(at) if at is not None and known else arrival.at,
        **({"message_id": str(ours)} if ours is not None else {}),
        **({"error_code": line(error_code, 64)} if error_code else {}),
        **({"error_detail": line(error_detail, _ERROR_CHARACTERS)} if error_detail else {}),
    }
    record_id = derived("delivery", account.provider, account.account, provider_message_id, *dedup)
    return Reported(_written("delivery.reported", record_id, arrival, data=data), theirs)


def covered(
    arrival: Arrival,
    account: Account,
    status: Literal[DeliveryStatus.DELIVERED, DeliveryStatus.READ],
    recipient: Identifier,
    *,
    up_to: datetime,
    at: datetime | None = None,
) -> Reported:
    """Return the word that all we sent to `recipient` until `up_to` has this status, since `at`."""
    record = DeliveryWatermark(
        id=derive("watermark", account.provider, account.account, recipient.value, status, up_to.isoformat()),
        occurred_at=arrival.received_at,
        correlation=arrival.correlation,
        data=WatermarkData(
            provider=account.provider,
            account=account.account,
            status=status,
            up_to=up_to,
            at=min(at or up_to, arrival.received_at),
        ),
        personal=WatermarkPersonal(recipient=recipient),
    )
    return Reported(record.json_bytes(), recipient.value)


def unclaimed(message: Received) -> Reported | Received:
    """Return an outbound message that may be one of our own sends, for whoever knows these.

    One that is larger than any that we send is none of ours, and goes the way of large messages.
    """
    if len(message.value) > _LARGEST_ECHO_BYTES:
        return message
    record = message.record
    echo = DeliveryEcho(
        id=record.id,
        occurred_at=record.occurred_at,
        correlation=record.correlation,
        data=record.data,
        personal=record.personal,
    )
    return Reported(echo.json_bytes(), record.personal.provider_message_id)


def _written(kind: str, record_id: str, arrival: Arrival, **parts: Mapping[str, object]) -> bytes:
    """Return the record as its model writes it, without building the model: there is one a webhook.

    Tests hold every record against its model, byte by byte.
    """
    return orjson.dumps(
        {
            "id": record_id,
            "type": kind,
            "version": 1,
            "occurred_at": arrival.at,
            "correlation": str(arrival.correlation),
            **parts,
        }
    )


_moment = lru_cache(maxsize=1024)(rfc3339)
"""Providers tell whole seconds, and many messages share one."""


@lru_cache(maxsize=256)
def _kind(kind: str) -> str:
    return line(kind, 64)


def _known(identifier: Identifier) -> dict[str, object]:
    return {"kind": identifier.kind, "value": identifier.value, "verified": identifier.verified}


def provider_id(value: str) -> str:
    """Return the provider's id of a message, fit to store. Raises BadItem when there is none."""
    cleaned = clean(value).strip()[:PROVIDER_ID_CHARACTERS]
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
