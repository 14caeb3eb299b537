"""One dead letter: what is kept of a record that was given up, and how the record is published again."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka import ConsumerRecord

from schemas import ids
from schemas.deadletters import DeadLetter, DeadLetterData, DeadLetterPersonal, HeaderCopy
from schemas.topics import DEADLETTERS
from services.chassis.broker import Outgoing

FOR_GROUP = "parley-for-group"
"""Header of a record that is published again: the one consumer group that handles it."""
RETRY_OF = "parley-retry-of"
"""Header of such a record: the id of its dead letter."""

_MOST_COPIED = 600_000
"""Bytes of key, value and headers together, so that their base64 fits into a record. What is larger is not
copied: topic, partition and offset say where it is."""
_HEADER_OVERHEAD = 64
_LONGEST_KEY = 512
_LONGEST_ERROR = 200

Record: TypeAlias = ConsumerRecord[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record was given up. `error` never quotes input."""

    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Original:
    """A record as its producer wrote it."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def meant_for(record: Record, group: str | None) -> bool:
    """Return whether `group` (None: who reads without one) is to handle the record.

    A record that is published again for one group is nothing new to the others.
    """
    wanted = _header(record, FOR_GROUP)
    return wanted is None or (group is not None and wanted == group.encode())


def dead_letter(group: str, record: Record, failure: Failure, now: datetime) -> Outgoing:
    """Return the dead letter for `record`; its id follows from the record's place in the log.

    It always fits into a record, however large the original is.
    """
    own_id = ids.derive("deadletter", group, record.topic, record.partition, record.offset)
    letter = DeadLetter(
        id=own_id,
        occurred_at=now,
        correlation=own_id,
        causation=_retry_of(record),
        data=DeadLetterData(
            group=group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            error_class=failure.error[:_LONGEST_ERROR],
            attempts=failure.attempts,
            failed_at=now,
            timestamp_ms=record.timestamp,
            key_bytes=_size(record.key),
            value_bytes=_size(record.value),
        ),
        personal=_copy(original_of(record)),
    )
    key = (record.key or b"")[:_LONGEST_KEY].decode(errors="replace")
    return Outgoing(DEADLETTERS.name, key, letter.json_bytes())


def original_of(record: Record) -> Original:
    """Return what its producer wrote: without the headers of an earlier retry."""
    headers = [(name, value) for name, value in record.headers if name not in {FOR_GROUP, RETRY_OF}]
    return Original(record.key, record.value, headers)


def copied_original(letter: DeadLetter) -> Original | None:
    """Return the record as the dead letter holds it, None where it holds no value."""
    copy = letter.personal
    if copy.value_base64 is None:
        return None
    headers: list[tuple[str, Any]] = [(each.name, _bytes(each.value_base64)) for each in copy.headers]
    return Original(_bytes(copy.key_base64), _bytes(copy.value_base64), headers)


def retry_headers(letter: DeadLetter, original: Original) -> list[tuple[str, bytes]]:
    """Return the headers of the record when it is published again for the letter's group."""
    return [
        *original.headers,
        (FOR_GROUP, letter.data.group.encode()),
        (RETRY_OF, str(letter.id).encode()),
    ]


def _copy(original: Original) -> DeadLetterPersonal:
    size = (_size(original.key) or 0) + (_size(original.value) or 0)
    size += sum(_HEADER_OVERHEAD + 6 * len(name) + len(value or b"") for name, value in original.headers)
    if size > _MOST_COPIED:
        return DeadLetterPersonal()
    return DeadLetterPersonal(
        key_base64=_base64(original.key),
        value_base64=_base64(original.value),
        headers=tuple(HeaderCopy(name=name, value_base64=_base64(value)) for name, value in original.headers),
    )


def _retry_of(record: Record) -> UUID | None:
    named = _header(record, RETRY_OF)
    try:
        return UUID(named.decode()) if named else None
    except ValueError:
        return None


def _header(record: Record, wanted: str) -> bytes | None:
    return next((value for name, value in record.headers if name == wanted), None)


def _size(data: bytes | None) -> int | None:
    return len(data) if data is not None else None


def _base64(data: bytes | None) -> str | None:
    return base64.b64encode(data).decode() if data is not None else None


def _bytes(text: str | None) -> bytes | None:
    return base64.b64decode(text) if text is not None else None
