"""Text from outside, made fit to keep."""

import pytest

from services.chassis.text import without_addresses


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 <ada@example.org>: user unknown", "550 5.1.1 <…>: user unknown"),
        ("The 'To' number +1 (555) 123-0001 is not valid", "The 'To' number … is not valid"),
        ("recipient 15551230001 opted out", "recipient … opted out"),
        ("Unreachable destination handset", "Unreachable destination handset"),
        ("(#131047) more than 24 hours have passed", "(#131047) more than 24 hours have passed"),
        ("4.4.1 no answer from host in 300 s", "4.4.1 no answer from host in 300 s"),
        (None, None),
        ("", ""),
    ],
)
def test_words_on_an_error_are_kept_without_whom_they_name(said: str | None, kept: str | None) -> None:
    assert without_addresses(said) == kept
