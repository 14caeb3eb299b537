"""A form is read as the standard library reads it."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.webhook import form_fields

PIECES = st.text(st.sampled_from("ab=&+%;2Fé\0\ud800 "), max_size=30)


@given(PIECES)
def test_any_text_is_read_as_by_parse_qsl(text: str) -> None:
    assert form_fields(text) == parse_qsl(text, keep_blank_values=True)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8))))
def test_any_encoded_pairs_are_read_as_by_parse_qsl(pairs: list[tuple[str, str]]) -> None:
    form = urlencode(pairs, errors="replace")
    assert form_fields(form) == parse_qsl(form, keep_blank_values=True)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", []),
        ("&&a", [("a", "")]),
        ("a=&b", [("a", ""), ("b", "")]),
        ("a=b=c", [("a", "b=c")]),
        ("a+b=%2B+%E2%82%AC", [("a b", "+ €")]),
        ("a=%ff%zz", [("a", "�%zz")]),
    ],
)
def test_blank_repeated_and_broken_fields_are_kept(text: str, fields: list[tuple[str, str]]) -> None:
    assert form_fields(text) == fields
