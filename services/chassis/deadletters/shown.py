"""How dead letters are shown to an operator: lines for people, JSON lines for programs, no personal data."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.envelope import rfc3339
from services.chassis.deadletters.ledger import Entry, counts
from services.chassis.deadletters.letter import Original

_COLUMNS = ("PLACE", "FAILED AT", "GROUP", "RECORD", "ERROR", "TRIES", "BYTES")


def facts(entry: Entry) -> dict[str, Any]:
    """Return all that is known of a letter besides its record, as plain values."""
    data = entry.data.model_dump(mode="json")
    return {
        "place": str(entry.place),
        "id": str(entry.id),
        **data,
        "retry_of": str(entry.retry_of) if entry.retry_of else None,
        "settled": entry.settled,
    }


def json_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield an object a letter."""
    return (json.dumps(facts(entry)) for entry in entries)


def table(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a line a letter, in columns under a heading."""
    rows = [_COLUMNS, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(entry: Entry) -> tuple[str, ...]:
    data = entry.data
    return (
        str(entry.place),
        rfc3339(data.failed_at),
        data.group,
        f"{data.topic}/{data.partition}:{data.offset}",
        data.error_class,
        str(data.attempts),
        "null" if data.value_bytes is None else str(data.value_bytes),
    )


def summary(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a line for each group, topic and error class, with its count."""
    return (f"{count:6}  {group}  {topic}  {error}" for (group, topic, error), count in counts(entries))


def summary_json(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield an object for each group, topic and error class, with its count."""
    for (group, topic, error), count in counts(entries):
        yield json.dumps({"group": group, "topic": topic, "error_class": error, "count": count})


def body(original: Original) -> dict[str, Any]:
    """Return the record itself, bytes that are no text escaped: personal data, for `show --body` alone."""
    return {
        "key": _text(original.key),
        "headers": {name: _text(value) for name, value in original.headers},
        "value": _text(original.value),
    }


def _text(data: bytes | None) -> str | None:
    return data.decode(errors="backslashreplace") if data is not None else None
