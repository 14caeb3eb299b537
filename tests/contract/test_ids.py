"""Ids that follow from a cause stay what they are: records, rows and commands in store are known by them."""

import json
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import derive

NAMESPACE = UUID("6f1c7a52-6d0e-5c3b-9d2f-4b8a6a1d0c11")
PARTS = st.lists(st.text(st.characters(codec=None)) | st.integers() | st.uuids() | st.none(), max_size=5)


@given(kind=st.text(), parts=PARTS)
def test_an_id_is_the_uuid5_of_its_parts_as_a_json_array(kind: str, parts: list[object]) -> None:
    assert derive(kind, *parts) == uuid5(NAMESPACE, json.dumps([kind, *map(str, parts)]))


def test_an_id_that_was_given_once_is_given_again() -> None:
    given_once = UUID("44b5d0f4-b278-50f3-9e88-8435f874de02")
    assert derive("message", "twilio-sms", "demo", "+15551230001", "SM1") == given_once
