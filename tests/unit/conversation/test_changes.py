"""What a save wrote, as records of the changelog and back."""

from datetime import UTC, datetime
from typing import Any

from schemas.changes import ThreadSaved
from schemas.topics import CONVERSATION_CHANGES
from services.chassis.broker import MAX_RECORD_BYTES
from services.chassis.outbox import Row
from services.conversation import changes
from services.conversation.handlers import Loaded
from services.conversation.search_store import with_words
from tests.unit.conversation.builders import CUSTOMER, at, empty, received
from tests.unit.conversation.builders import message as written

STATE: dict[str, Any] = {"customer_id": CUSTOMER, "current": {"id": "v-1", "agent": None}}


def row(row_id: str, home: str = CUSTOMER, **fields: Any) -> Row:
    document = with_words({"_id": row_id, "home": home, "at": at(0.25), **fields})
    return Row(id=f"row:{row_id}", at=at(0), collection="timeline", document=document, wave=2)


def conversation(row_id: str, state: Any) -> Row:
    document = {"_id": row_id, "version": 1, "state": state}
    return Row(
        id=row_id, at=at(0), collection="conversations", document=document, how="replace", guard="version"
    )


def logged(rows: list[Row], item: Loaded | None = None) -> list[ThreadSaved]:
    """Return the records as they come out of the log."""
    records = changes.saved(item or Loaded(empty()), 1, STATE, at(30), rows, at(1))
    values = [record.json_bytes() for record in records]
    assert all(len(value) < MAX_RECORD_BYTES for value in values)
    return [CONVERSATION_CHANGES.adapter.validate_json(value) for value in values]


def test_a_save_is_read_back_as_it_was_written() -> None:
    nested = {
        "when": datetime(2026, 1, 1, 12, 30, 0, 125_000, tzinfo=UTC),
        "none": None,
        "list": [{"a": 1.5}],
    }
    rows = [row("m-1", text="Hello Ada", extra=nested), conversation("v-1", STATE["current"])]
    (record,) = logged(rows)
    thread, *others = changes.rows_of(record)
    assert thread.document["state"] == STATE
    assert (thread.document["_id"], thread.document["version"]) == (CUSTOMER, 1)
    assert thread.document["next_due"] == at(30)
    told = {(each.collection, each.document["_id"]): each for each in others}
    for each in rows:
        read = told[each.collection, each.document["_id"]]
        assert (read.document, read.how, read.guard, read.wave) == (
            each.document,
            each.how,
            each.guard,
            each.wave,
        )


def test_the_current_conversation_is_told_once_and_another_whole() -> None:
    (record,) = logged([conversation("v-1", STATE["current"]), conversation("v-0", {"id": "v-0"})])
    assert [each.of_current for each in record.personal.rows] == [True, False]
    assert b'"v-1","agent"' not in record.json_bytes().replace(b'"current":{"id":"v-1","agent"', b"")


def test_rows_of_another_home_are_in_a_record_of_their_own() -> None:
    item = Loaded(empty(), homes={"m-3": "c-2"})
    patch = Row(
        id="patch", at=at(0), collection="timeline", document={"_id": "m-3", "status_seq": 1}, how="patch"
    )
    first, second = logged([row("m-1"), row("m-2", home="c-2"), patch], item)
    assert (first.home, first.customer_id, second.home, second.customer_id) == (
        CUSTOMER,
        CUSTOMER,
        "c-2",
        CUSTOMER,
    )
    assert first.personal.state == STATE
    assert second.personal.state is None
    assert [each.document["_id"] for each in second.personal.rows] == ["m-2", "m-3"]
    assert first.id != second.id


def test_many_large_rows_are_told_in_several_records() -> None:
    rows = [row(f"m-{number}", text="\u0001" * 90_000) for number in range(5)]
    records = logged(rows)
    assert len(records) == 5
    assert [each.personal.state is None for each in records] == [False, True, True, True, True]
    assert len({each.id for each in records}) == 5
    told = [each.document for record in records for each in changes.rows_of(record)]
    assert [each["_id"] for each in told if "home" in each] == [f"m-{number}" for number in range(5)]


def test_a_repeated_save_has_the_same_ids_and_a_later_one_others() -> None:
    item = Loaded(empty())
    item.take(received(item.thread, written("k")))
    first = changes.saved(item, 1, STATE, None, [], at(1))
    again = changes.saved(item, 1, STATE, None, [], at(2))
    later = changes.saved(item, 2, STATE, None, [], at(1))
    assert first[0].id == again[0].id != later[0].id
    assert first[0].correlation == written("k").correlation
