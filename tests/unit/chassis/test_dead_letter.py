"""What is kept of a record that was given up."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from schemas.deadletters import DeadLetter
from schemas.topics import DEADLETTERS, MESSAGES_DELIVERY
from services.chassis.broker import MAX_RECORD_BYTES
from services.chassis.deadletters.letter import (
    FOR_GROUP,
    RETRY_OF,
    Failure,
    Original,
    Record,
    copied_original,
    dead_letter,
    meant_for,
    retry_headers,
)
from tests.suites.consumed import consumed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOPIC = MESSAGES_DELIVERY.name


def letter_of(record: Record, error: str = "LookupError") -> DeadLetter:
    out = dead_letter("notifier.x", record, Failure(error, 3), NOW)
    assert out.topic == DEADLETTERS.name
    assert len(out.value) + len(out.key.encode()) <= MAX_RECORD_BYTES
    letter: DeadLetter = DEADLETTERS.adapter.validate_json(out.value)
    return letter


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"+12025550100", b'{"a": 1}', [("content-type", b"application/json")]),
        (None, b"\xff\xfe\x00 no text", []),
        (b"\xff\xfe", b"", [("empty", b""), ("empty", b"twice"), ("bytes", b"\x00\xff")]),
    ],
)
def test_the_copy_is_the_record_byte_for_byte(
    key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]
) -> None:
    letter = letter_of(consumed(TOPIC, 5, key=key, value=value, headers=headers))
    assert copied_original(letter) == Original(key, value, headers)
    assert letter.data.value_bytes == len(value)


def test_a_null_value_is_told_from_one_that_was_not_copied() -> None:
    assert letter_of(consumed(TOPIC, 5, value=None)).data.value_bytes is None
    large = letter_of(consumed(TOPIC, 5, value=b"x" * 1_000_000))
    assert (large.data.value_bytes, copied_original(large)) == (1_000_000, None)


@pytest.mark.parametrize(
    "record",
    [
        consumed(TOPIC, 5, value=b"x" * 600_000),
        consumed(TOPIC, 5, value=b"x" * 599_000, key=b"k" * 400_000),
        consumed(TOPIC, 5, value=b"{}", key=b"\xff" * 1_000_000),
        consumed(TOPIC, 5, value=b"x" * 500_000, headers=[("h", b"v" * 90_000)] * 5),
        consumed(TOPIC, 5, value=b"", headers=[("\x01", b"")] * 100_000),
        consumed(TOPIC, 5, value=b"", headers=[("\x01" * 300_000, b"")]),
        consumed(TOPIC, 5, timestamp=-(2**63)),
        consumed(TOPIC, 5, timestamp=2**63 - 1),
    ],
    ids=["value", "value and key", "key", "headers", "many headers", "header name", "early", "late"],
)
def test_a_dead_letter_always_fits_into_a_record(record: Record) -> None:
    letter_of(record, error="E" * 10_000)


def test_a_record_that_fails_again_names_the_letter_it_was_retried_for() -> None:
    first = letter_of(consumed(TOPIC, 5, headers=[("mine", b"1")]))
    headers = retry_headers(first, Original(None, b"{}", [("mine", b"1")]))
    again = letter_of(consumed(TOPIC, 9, headers=headers))
    assert again.causation == first.id != again.id
    assert copied_original(again) == Original(None, b"{}", [("mine", b"1")])
    assert letter_of(consumed(TOPIC, 9, headers=[(RETRY_OF, b"\xff")])).causation is None


def test_only_its_group_is_meant_by_a_record_published_again() -> None:
    plain = consumed(TOPIC, 1, headers=[("content-type", b"x")])
    again = consumed(TOPIC, 1, headers=[(FOR_GROUP, b"notifier.x"), (RETRY_OF, str(UUID(int=1)).encode())])
    assert [meant_for(plain, group) for group in ("notifier.x", "other", None)] == [True, True, True]
    assert [meant_for(again, group) for group in ("notifier.x", "other", None)] == [True, False, False]
