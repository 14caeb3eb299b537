"""Where recordings come from and go to: a pool's journal, or a file of its entries as JSON lines.

The file holds names of Agents and ids of Customers, as the journal does, and no message.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.envelope import rfc3339
from services.chassis.broker import Outgoing
from services.router.journal import Entry, Given
from services.router.simulation.recording import BadRecording


def write(path: Path, entries: Iterable[Entry]) -> int:
    """Write a file of entries, and return how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for entry in entries:
            file.write(json.dumps(_document(entry), separators=(",", ":")) + "\n")
            count += 1
    return count


def read(path: Path) -> Iterator[Entry]:
    """Give the entries of a file. Raises BadRecording, naming the line and the field; OSError."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _entry(json.loads(line))
            except KeyError as error:
                raise BadRecording(f"{path.name}, line {number}: there is no {error.args[0]!r}") from None
            except (ValueError, TypeError, AttributeError) as error:
                raise BadRecording(f"{path.name}, line {number}: no entry of a journal: {error}") from None


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "pool": entry.pool,
        "n": entry.n,
        "owner": entry.owner,
        "at": rfc3339(entry.at),
        "inputs": [
            {"value": each.value, "partition": each.partition, "offset": each.offset} for each in entry.given
        ],
        "outgoing": [
            {"topic": each.topic, "key": each.key, "value": each.value.decode()} for each in entry.outgoing
        ],
    }


def _entry(document: dict[str, Any]) -> Entry:
    at = datetime.fromisoformat(document["at"])
    if at.tzinfo is None:
        raise ValueError(f"at: {document['at']} has no time zone")
    return Entry(
        pool=str(document["pool"]),
        n=int(document["n"]),
        owner=str(document["owner"]),
        at=at,
        given=tuple(
            Given(str(each["value"]), each.get("partition"), each.get("offset"))
            for each in document["inputs"]
        ),
        outgoing=tuple(
            Outgoing(str(each["topic"]), str(each["key"]), each["value"].encode())
            for each in document["outgoing"]
        ),
        published=True,
    )
