"""The changelog of conversation's store: what a save wrote, as records and back."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.changes import SavedRow, ThreadSaved, ThreadSavedData, ThreadSavedPersonal
from schemas.envelope import Envelope, rfc3339
from services.chassis.broker import partition_of
from services.chassis.mongo import Document
from services.chassis.outbox import Row
from services.conversation.handlers import Loaded
from services.conversation.search_store import with_words, without_words

MOST_CHARACTERS = 150_000
"""Of rows in one record, as far as there are several: with escapes and sealed it must stay below 1 MB."""


def saved(
    item: Loaded, version: int, state: Document, due: datetime | None, rows: Sequence[Row], now: datetime
) -> list[ThreadSaved]:
    """Return the records of the save that makes the thread `version`.

    The first has the thread's state, each has rows of one home.
    """
    customer = item.thread.customer_id
    of_home: dict[str, list[Row]] = {customer: []}
    for row in rows:
        home = row.document.get("home") or item.homes.get(row.document["_id"]) or customer
        of_home.setdefault(home, []).append(row)
    correlation = next((each.correlation for each in item.caused if isinstance(each, Envelope)), None)
    records = []
    for home, own in of_home.items():
        for part, some in enumerate(_parts(own)):
            record_id = ids.derive("thread.saved", customer, version, home, part)
            first = home == customer and part == 0
            records.append(
                ThreadSaved.model_construct(
                    id=record_id,
                    version=1,
                    occurred_at=now,
                    correlation=correlation or record_id,
                    customer_id=customer,
                    home=home,
                    seq=version,
                    data=ThreadSavedData.model_construct(thread_seq=item.thread.seq, next_due=due),
                    personal=ThreadSavedPersonal.model_construct(
                        state=state if first else None,
                        rows=tuple(_told(row, state if first else None) for row in some),
                    ),
                )
            )
    return records


def rows_of(record: ThreadSaved) -> list[Row]:
    """Return what the save wrote, the thread itself included. Applying it again changes nothing."""
    personal = record.personal
    rows = [_read(index, row, record) for index, row in enumerate(personal.rows)]
    return rows if personal.state is None else [_thread(record, personal.state), *rows]


def _thread(record: ThreadSaved, state: Document) -> Row:
    document = {
        "_id": record.customer_id,
        "state": state,
        "version": record.seq,
        "seq": record.data.thread_seq,
        "partition": partition_of(record.customer_id),
    }
    if record.data.next_due is not None:
        document["next_due"] = record.data.next_due
    return Row(
        id="thread",
        at=record.occurred_at,
        collection="threads",
        document=document,
        how="replace",
        guard="version",
    )


def _told(row: Row, state: Document | None) -> SavedRow:
    document = without_words(row.document)
    of_current = state is not None and "state" in document and document["state"] == state["current"]
    if of_current:
        document = {name: value for name, value in document.items() if name != "state"}
    return SavedRow.model_construct(
        collection=row.collection,
        how=row.how,
        guard=row.guard,
        wave=row.wave,
        document=to_json(document),
        of_current=of_current,
    )


def _read(index: int, row: SavedRow, record: ThreadSaved) -> Row:
    document = from_json(row.document)
    if row.of_current and record.personal.state is not None:
        document["state"] = record.personal.state["current"]
    if row.collection == "timeline":
        document = with_words(document)
    return Row(
        id=str(index),
        at=record.occurred_at,
        collection=row.collection,
        document=document,
        how=row.how,
        guard=row.guard,
        wave=row.wave,
    )


def _parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Cut the rows into lists that each fit into a record; Conversations come first, beside the state."""
    part, size = list[Row](), 0
    for row in sorted(rows, key=lambda row: row.collection != "conversations"):
        more = sum(len(value) for value in row.document.values() if isinstance(value, str))
        if part and size + more > MOST_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(row)
        size += more
    yield part


def to_json(value: Any) -> Any:  # noqa: ANN401  (BSON in, JSON out)
    """Return a BSON value as relaxed Extended JSON: moments, in milliseconds, are the only special ones."""
    if isinstance(value, datetime):
        return {"$date": rfc3339(value)}
    if isinstance(value, Mapping):
        return {name: to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return str(value) if isinstance(value, UUID) else value


def from_json(value: Any) -> Any:  # noqa: ANN401  (JSON in, BSON out)
    """Return the BSON value that `to_json` wrote."""
    if isinstance(value, dict):
        if value.keys() == {"$date"}:
            return datetime.fromisoformat(value["$date"])
        return {name: from_json(each) for name, each in value.items()}
    return [from_json(each) for each in value] if isinstance(value, list) else value
