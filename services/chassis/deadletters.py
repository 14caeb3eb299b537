"""Records that were given up, as they go to the dead-letter topic."""

import base64
from dataclasses import dataclass
from datetime import datetime

from aiokafka import ConsumerRecord

from schemas import ids
from schemas.deadletters import DeadLetter, DeadLetterData, DeadLetterPersonal
from schemas.topics import DEADLETTERS
from services.chassis.broker import Outgoing

_LARGEST_VALUE = 600_000
"""Bytes; a larger value is not copied, its topic, partition and offset say where it is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record was given up. `error` never quotes input."""

    error: str
    attempts: int


def dead_letter(
    group: str, record: "ConsumerRecord[bytes, bytes]", failure: Failure, now: datetime
) -> Outgoing:
    """Return the dead letter for `record`; its id follows from the record's place in the log."""
    own_id = ids.derive("deadletter", group, record.topic, record.partition, record.offset)
    value = record.value if record.value and len(record.value) <= _LARGEST_VALUE else None
    letter = DeadLetter(
        id=own_id,
        occurred_at=now,
        correlation=own_id,
        data=DeadLetterData(
            group=group,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            error_class=failure.error,
            attempts=failure.attempts,
            failed_at=now,
        ),
        personal=DeadLetterPersonal(key_base64=_base64(record.key), value_base64=_base64(value)),
    )
    key = (record.key or b"").decode(errors="replace")
    return Outgoing(DEADLETTERS.name, key, letter.json_bytes())


def _base64(data: bytes | None) -> str | None:
    return base64.b64encode(data).decode() if data is not None else None
