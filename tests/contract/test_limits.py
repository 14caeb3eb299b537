"""What no consumer could store or count on is refused at its door, before it is part of any state."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.topics import ROUTING_COMMANDS
from tests.contract import examples

Change = Callable[[dict[str, Any]], object]
REFUSED: dict[str, Change] = {
    "a number beyond 64 bits": lambda record: record["data"].update(epoch=2**63),
    "a number JSON readers round": lambda record: record["data"].update(epoch=2**53),
    "a number of thousands of digits": lambda record: record["data"].update(epoch=10**4000),
    "not a number": lambda record: record["data"].update(epoch=float("nan")),
    "a time before the year 1 of UTC": lambda record: record.update(occurred_at="0001-01-01T00:00:00+12:00"),
    "a time after the year 9999 of UTC": lambda record: record.update(
        occurred_at="9999-12-31T23:59:59-12:00"
    ),
    "the year 0": lambda record: record.update(occurred_at="0000-01-01T00:00:00Z"),
    "U+0000 in a skill": lambda record: record["data"].update(skills={"a\x00b": 1}),
    "a skill that looks like an operator": lambda record: record["data"].update(skills={"$set": 1}),
    "another version": lambda record: record.update(version=2),
}


def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(examples.text(f"{ROUTING_COMMANDS.name}/routing.request"))
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_a_record_nobody_could_keep_is_refused(name: str) -> None:
    record = golden()
    ROUTING_COMMANDS.adapter.validate_json(json.dumps(record))
    REFUSED[name](record)
    with pytest.raises(ValidationError):
        ROUTING_COMMANDS.adapter.validate_json(json.dumps(record))


def test_the_largest_numbers_and_times_are_taken() -> None:
    record = golden()
    record["data"]["epoch"] = 2**53 - 1
    record["occurred_at"] = "9999-12-31T23:59:59.999999Z"
    taken = ROUTING_COMMANDS.adapter.validate_json(json.dumps(record))
    assert ROUTING_COMMANDS.adapter.validate_json(taken.json_bytes()).data == taken.data
