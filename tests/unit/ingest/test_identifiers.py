"""When two spellings are one identifier, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import IdentifierKind
from services.chassis.identifiers import InvalidIdentifier, identifier, kind_of, normalise, parse_identifier
from services.chassis.text import clean, line, raw_form


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("phone", "+1 (555) 123-0001", "+15551230001"),
        ("sms", "+15551230001", "+15551230001"),
        ("voice", "555 123 0001", "+15551230001"),
        ("phone", " 15551230001", "+15551230001"),
        ("phone", " +15551230001", "+15551230001"),
        ("email", " Ann.B+tag@Mail.EXAMPLE.org ", "Ann.B+tag@mail.example.org"),
        ("email", "Jose\u0301@x.example", "José@x.example"),
        ("whatsapp", "+31612345678", "31612345678"),
        ("whatsapp", " 31612345678", "31612345678"),
        ("whatsapp", "NL.a1B2", "NL.a1B2"),
        ("whatsapp", "US.ENT.118", "US.ENT.118"),
        ("external:shop", "user 42", "shop:user 42"),
        ("external", "shop:a:b", "shop:a:b"),
        ("telegram", "42", "42"),
        ("visitor", "abc", "abc"),
    ],
)
def test_spellings_of_one_identifier_become_one(kind: str, value: str, expected: str) -> None:
    assert normalise(kind, value) == expected


def test_a_number_without_country_is_one_of_the_accounts_region() -> None:
    assert normalise("phone", "06 12345678", "NL") == "+31612345678"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "PARCELS"),
        ("phone", "12345"),
        ("phone", "+1555123000" * 3),
        ("phone", "+15551230001 ext 5"),
        ("phone", ""),
        ("email", "ann"),
        ("email", "@x.example"),
        ("email", "ann@"),
        ("email", "a b@x.example"),
        ("email", "a@x.example\r\nBcc: b@x.example"),
        ("email", "a\ud800@x.example"),
        ("email", "<a@x.example>"),
        ("whatsapp", "nl.1"),
        ("whatsapp", "١٢٣٤٥٦"),
        ("external", "42"),
        ("external:", "42"),
        ("visitor", "a\x00b"),
        ("visitor", "x" * 256),
        ("fax", "1"),
    ],
)
def test_what_is_no_identifier_is_refused_without_quoting_it(kind: str, value: str) -> None:
    with pytest.raises(InvalidIdentifier) as refusal:
        normalise(kind, value)
    assert value not in str(refusal.value) or len(value) < 3


def test_an_identifier_is_read_from_kind_and_value() -> None:
    found = parse_identifier("sms:+15551230001", verified=True)
    assert (found.kind, found.value, found.verified) == (IdentifierKind.PHONE, "+15551230001", True)
    assert parse_identifier("external:shop:42").value == "shop:42"
    assert identifier("external:shop", "42").kind is IdentifierKind.EXTERNAL
    assert kind_of("external:shop") is IdentifierKind.EXTERNAL
    with pytest.raises(InvalidIdentifier):
        parse_identifier("no separator")


@given(st.sampled_from([*IdentifierKind, "sms", "external:shop"]), st.text(max_size=60))
def test_normalising_again_changes_nothing(kind: str, value: str) -> None:
    try:
        once = normalise(kind, value)
    except InvalidIdentifier:
        return
    again = "external" if kind.startswith("external") else kind
    assert normalise(again, once) == once
    assert once.encode()


@given(st.text(st.characters(exclude_categories=())))
def test_clean_text_can_be_stored_and_is_changed_only_where_it_must(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\x00" not in cleaned
    assert (raw_form(text) is None) == (cleaned == text)
    assert "\n" not in line(text, 50)


def test_a_number_is_the_same_once_and_twice_normalised() -> None:
    once = normalise("phone", "+3-1003-1002")
    assert normalise("phone", once) == once == "+3131002"
