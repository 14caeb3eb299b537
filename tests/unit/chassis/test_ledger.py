"""Which dead letters are open."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from schemas import ids
from schemas.deadletters import (
    DeadLetter,
    DeadLetterData,
    DeadLetterPersonal,
    DeadLetterResolved,
    DeadLetterResolvedData,
)
from services.chassis.deadletters.ledger import Filter, Ledger, Place, after, counts

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def letter(number: int, group: str = "identity", error: str = "undecodable:ValidationError") -> DeadLetter:
    own = ids.derive("test", number)
    at = T0 + timedelta(minutes=number)
    data = DeadLetterData(
        group=group,
        topic="messages.inbound",
        partition=0,
        offset=number,
        error_class=error,
        attempts=1,
        failed_at=at,
    )
    return DeadLetter(id=own, occurred_at=at, correlation=own, data=data, personal=DeadLetterPersonal())


def settled(of: DeadLetter, how: str = "retried") -> DeadLetterResolved:
    data = DeadLetterResolvedData.model_validate(
        {"deadletter_id": of.id, "group": of.data.group, "topic": of.data.topic, "how": how}
    )
    return DeadLetterResolved(id=UUID(int=1), occurred_at=T0, correlation=of.id, data=data)


def ledger_of(*records: DeadLetter | DeadLetterResolved) -> Ledger:
    ledger = Ledger()
    for offset, record in enumerate(records):
        ledger.add(Place(0, offset), record)
    return ledger


def open_in(ledger: Ledger) -> list[int]:
    return [entry.data.offset for entry in ledger.matching(Filter())]


def test_a_settled_letter_is_not_open_and_is_still_found() -> None:
    ledger = ledger_of(letter(1), letter(2), letter(3), settled(letter(1)), settled(letter(3), "dropped"))
    assert open_in(ledger) == [2]
    assert [entry.settled for entry in ledger.matching(Filter(settled=True))] == ["retried", "dropped"]


def test_a_letter_written_twice_is_one_and_found_at_both_places() -> None:
    ledger = ledger_of(letter(1), letter(1), settled(letter(1)))
    assert open_in(ledger) == []
    assert ledger.find("0:0") is ledger.find("0:1") is ledger.find(str(letter(1).id)) is not None


def test_a_letter_written_again_behind_its_settlement_is_open_again() -> None:
    assert open_in(ledger_of(letter(1), settled(letter(1)), letter(1))) == [1]


def test_a_settlement_whose_letter_is_gone_is_passed_over() -> None:
    assert open_in(ledger_of(settled(letter(1)), letter(2))) == [2]


def test_letters_are_found_by_place_and_id_and_nothing_else() -> None:
    ledger = ledger_of(letter(1))
    assert ledger.find("0:5") is None
    assert ledger.find(str(UUID(int=9))) is None
    for wrong in ("", "1", "a:b", "1:2:3", "not-an-id"):
        with pytest.raises(ValueError, match=r".*"):
            ledger.find(wrong)


def test_filters_narrow_by_group_topic_error_and_time() -> None:
    ledger = ledger_of(letter(2, group="router"), letter(1, error="LookupError"), letter(3))
    assert open_in(ledger) == [1, 2, 3]
    found = {
        "group": Filter(group="router"),
        "topic": Filter(topic="messages.status"),
        "error": Filter(error="undecodable"),
        "since": Filter(since=T0 + timedelta(minutes=2)),
        "both": Filter(group="identity", since=T0 + timedelta(minutes=2)),
    }
    offsets = {name: [entry.data.offset for entry in ledger.matching(each)] for name, each in found.items()}
    assert offsets == {"group": [2], "topic": [], "error": [2, 3], "since": [2, 3], "both": [3]}


def test_kinds_are_counted_the_most_frequent_first() -> None:
    ledger = ledger_of(letter(1, error="B"), letter(2, error="A"), letter(3, error="A"), letter(4, error="0"))
    found = [(kind[2], count) for kind, count in counts(ledger.matching(Filter()))]
    assert found == [("A", 2), ("0", 1), ("B", 1)]


def test_a_page_begins_behind_the_place_that_was_shown_last() -> None:
    entries = ledger_of(letter(1), letter(2), letter(3)).matching(Filter())
    assert [entry.data.offset for entry in after(entries, Place(0, 1))] == [3]
    assert list(after(entries, None)) == entries
    with pytest.raises(LookupError):
        list(after(entries, Place(4, 4)))
