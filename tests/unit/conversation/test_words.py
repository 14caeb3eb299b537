"""By which words text is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.conversation.domain.words import LONGEST_WORD, MOST_WORDS, asked, matches, words_of


def found(text: str, query: str) -> bool:
    return matches(words_of({"text": text}), asked(query))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The Café is CLOSED", "cafe closed"),
        ("the cafe", "CAFÉ"),
        ("Straße 5", "STRASSE"),
        ("\ufb01ne", "fine"),
        ("cafe\u0301", "café"),
        ("order #A-1042, please", "a-1042"),
        ("my parcels are late", "late parc"),
        ("working_now", "now"),
        ("東京タワーはどこ", "タワー"),
        ("東京タワーはどこ", "どこ"),
        ("白猫", "猫"),
        ("Ὀδυσσεύς", "οδυσσευσ"),
        ("a" * 50, "a" * 45),
    ],
)
def test_text_is_found_whatever_its_case_accents_and_forms(text: str, query: str) -> None:
    assert found(text, query)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("my parcel is late", "par late"),
        ("my parcel is late", "parcels"),
        ("my parcel", "my parcel late"),
        ("東京タワー", "京東"),
        ("parcel", "arcel"),
        ("a.c", "abc"),
        ("parcel", "p.*l"),
    ],
)
def test_only_the_last_word_may_be_a_beginning_and_nothing_is_a_pattern(text: str, query: str) -> None:
    assert not found(text, query)


@pytest.mark.parametrize("query", ["", " ", "…", "_", ".*", "\u0301", "%$^"])
def test_a_query_without_a_word_asks_for_nothing(query: str) -> None:
    assert asked(query) == ()


def test_an_item_is_found_by_its_subject_and_its_files_too() -> None:
    words = words_of({"text": "hi", "subject": "Refund", "attachments": [{"filename": "Rechnung.pdf"}, {}]})
    assert words == ["hi", "refund", "rechnung", "pdf"]
    assert words_of({"text": None, "attachments": None}) == []


@given(st.text(max_size=400))
def test_words_are_few_short_and_found_again(text: str) -> None:
    words = words_of({"text": text})
    assert len(words) == len(set(words)) <= MOST_WORDS
    assert all(0 < len(word) <= LONGEST_WORD for word in words)
    wanted = asked(text)
    if wanted and len(words) < MOST_WORDS:
        assert matches(words, wanted)
