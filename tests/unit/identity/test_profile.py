"""How a Customer's profile changes, and what is told of it."""

from dataclasses import replace
from uuid import UUID

from schemas.common import Identifier, IdentifierKind
from services.identity.domain.profile import (
    MOST_TOLD,
    Cause,
    Profile,
    change,
    introduced,
    patched,
    with_identifiers,
    without_identifier,
)
from tests.unit.identity.messages import EMAIL, MAIL_FROM, NOW, PHONE

CAUSE = Cause(UUID(int=1), UUID(int=2))
NEW = Profile("c1")
ADA = Profile("c1", version=3, name="Ada", identifiers=(PHONE,), created_at=NOW)


def test_the_first_change_creates_and_later_ones_update() -> None:
    created = change(NEW, with_identifiers(NEW, [PHONE]), CAUSE, NOW)
    assert created is not None
    assert created.event.type == "customer.created"
    assert (created.profile.version, created.profile.created_at) == (1, NOW)
    updated = change(created.profile, introduced(created.profile, "Ada"), CAUSE, NOW)
    assert updated is not None
    assert updated.event.type == "customer.updated"
    assert (updated.event.seq, updated.event.personal.name) == (2, "Ada")
    assert updated.event.personal.identifiers == (PHONE,)


def test_the_event_of_a_version_has_one_id_whoever_makes_it() -> None:
    other = Cause(UUID(int=7), UUID(int=8))
    first, second = change(NEW, NEW, CAUSE, NOW), change(NEW, NEW, other, NOW)
    assert first is not None
    assert second is not None
    assert first.event.id == second.event.id
    third = change(first.profile, introduced(first.profile, "Ada"), CAUSE, NOW)
    assert third is not None
    assert third.event.id != first.event.id


def test_what_stays_the_same_is_not_told() -> None:
    assert change(ADA, with_identifiers(introduced(ADA, "Eve"), [PHONE]), CAUSE, NOW) is None


def test_a_name_once_set_is_not_replaced_by_a_channels() -> None:
    assert introduced(ADA, "Eve").name == "Ada"
    assert introduced(replace(ADA, name=None), "Eve").name == "Eve"


def test_vouching_raises_an_identifier_and_nothing_lowers_it() -> None:
    claimed = with_identifiers(NEW, [MAIL_FROM])
    vouched = with_identifiers(claimed, [EMAIL])
    assert vouched.identifiers == (EMAIL,)
    assert with_identifiers(vouched, [MAIL_FROM]) == vouched


def test_an_attribute_is_set_replaced_and_taken_away() -> None:
    assert patched(
        replace(ADA, attributes={"tier": "gold", "language": "en"}), {"tier": "silver", "language": None}
    ).attributes == {"tier": "silver"}


def test_a_detached_identifier_is_gone() -> None:
    assert without_identifier(ADA, PHONE).identifiers == ()


def test_an_event_stays_small_however_many_identifiers_there_are() -> None:
    many = [Identifier(kind=IdentifierKind.VISITOR, value=f"v{number}") for number in range(MOST_TOLD + 5)]
    made = change(NEW, with_identifiers(NEW, many), CAUSE, NOW)
    assert made is not None
    assert len(made.profile.identifiers) == MOST_TOLD + 5
    assert made.event.personal.identifiers == tuple(many[5:])
