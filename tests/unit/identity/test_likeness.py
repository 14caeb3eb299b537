"""Which Customers are suggested to be one person, and with what score."""

from datetime import timedelta

import pytest

from services.identity.domain.claims import key
from services.identity.domain.likeness import (
    CLAIMED_OF,
    CONTRADICTING,
    SAME_CLAIMED_EMAIL,
    SAME_NAME,
    SAME_NAME_AND_MAILBOX,
    WEIGHTS,
    Person,
    Signal,
    Suggestion,
    claimed_in_common,
    merely_said,
    suggestions,
)
from tests.unit.identity.messages import EMAIL, MAIL_FROM, NOW, PHONE, WHATSAPP, shown

ADA = Person("c-1", "Ada Lovelace", (PHONE,))
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)


def suggested(
    other: Person, *signals: Signal, subject: Person = ADA, **dismissed: object
) -> list[Suggestion]:
    seen = {other.customer_id: signals}
    return suggestions(subject, [other], seen, dismissed, 10)  # type: ignore[arg-type]


def test_what_nobody_vouches_for_is_merely_said_unless_it_is_the_sender_s_address() -> None:
    assert merely_said(shown(PHONE, MAIL_FROM).personal) == (MAIL_FROM,)
    assert merely_said(shown(PHONE, WHATSAPP, EMAIL).personal) == ()
    assert merely_said(shown(MAIL_FROM).personal) == ()
    assert merely_said(shown(PHONE, MAIL_FROM, EMAIL).personal) == ()


def test_the_score_is_the_chance_that_not_all_signals_mislead() -> None:
    other = Person("c-2", "Somebody Else", ())
    (one,) = suggested(other, Signal(SAME_CLAIMED_EMAIL))
    (two,) = suggested(other, Signal(SAME_CLAIMED_EMAIL), Signal(CONTRADICTING))
    assert (one.reason, one.score) == (SAME_CLAIMED_EMAIL, 0.5)
    assert (two.reason, two.score) == (CONTRADICTING, 0.9)


def test_the_same_reason_counts_once() -> None:
    signals = [Signal(SAME_CLAIMED_EMAIL, f"email:ada{n}@mail.example") for n in range(9)]
    (found,) = suggested(Person("c-2", None, ()), *signals)
    assert (found.score, len(found.signals)) == (0.5, 9)


def test_all_signals_together_stay_below_certainty() -> None:
    (found,) = suggested(Person("c-2", None, ()), *map(Signal, WEIGHTS))
    assert 0.9 < found.score < 1


@pytest.mark.parametrize(
    ("name", "address", "reason"),
    [
        ("ada  LOVELACE", "ada@other.example", SAME_NAME),
        ("Ada Lovelace", "ada.lovelace@other.example", SAME_NAME_AND_MAILBOX),
        ("Ada Byron", "ada.lovelace@other.example", None),
        ("Ada", "ada.lovelace@other.example", None),
    ],
)
def test_a_full_name_is_a_signal_and_a_mailbox_makes_it_stronger(
    name: str, address: str, reason: str | None
) -> None:
    mine = EMAIL.model_copy(update={"value": "Ada.Lovelace@mail.example"})
    theirs = EMAIL.model_copy(update={"value": address})
    subject = Person("c-1", "Ada" if name == "Ada" else "Ada Lovelace", (PHONE, mine))
    found = suggested(Person("c-2", name, (theirs,)), subject=subject)
    assert [each.reason for each in found] == ([reason] if reason else [])


def test_a_mailbox_that_many_companies_have_says_nothing() -> None:
    box = EMAIL.model_copy(update={"value": "info@mail.example"})
    subject = Person("c-1", "Ada Lovelace", (), (key(box),))
    (found,) = suggested(
        Person("c-2", "Ada Lovelace", (box.model_copy(update={"value": "info@other.example"}),)),
        subject=subject,
    )
    assert found.reason == SAME_NAME


def test_what_was_dismissed_comes_back_with_something_newer_only() -> None:
    other = Person("c-2", "Ada Lovelace", ())
    old, new = Signal(CLAIMED_OF, at=EARLIER), Signal(CONTRADICTING, at=LATER)
    assert suggested(other, old, **{"c-2": NOW}) == []
    assert [each.reason for each in suggested(other, old, new, **{"c-2": NOW})] == [CONTRADICTING]


def test_the_most_likely_come_first_and_no_more_than_asked_for() -> None:
    people = [Person(f"c-{n}", None, ()) for n in range(2, 6)]
    reasons = (SAME_CLAIMED_EMAIL, CONTRADICTING, CLAIMED_OF, SAME_CLAIMED_EMAIL)
    seen = {one.customer_id: [Signal(reason)] for one, reason in zip(people, reasons, strict=True)}
    found = suggestions(ADA, people, seen, {}, 3)
    assert [each.customer_id for each in found] == ["c-3", "c-4", "c-2"]


def test_a_claim_that_two_made_alike_is_named_by_its_kind() -> None:
    assert claimed_in_common("email:ada@mail.example") == SAME_CLAIMED_EMAIL
    assert claimed_in_common("phone:+15551230001") == "same_claimed_identifier"
