"""How a Customer's profile changes, and what is told of it."""

from dataclasses import replace
from uuid import UUID

import pytest

from schemas.common import Identifier, IdentifierKind
from services.chassis.broker import MOST_UNSEALED_BYTES
from services.identity.domain.profile import (
    KEPT_COMMANDS,
    LONGEST_NAME,
    MOST_ATTRIBUTE_BYTES,
    MOST_ATTRIBUTES,
    MOST_IDENTIFIERS,
    MOST_TOLD,
    Cause,
    Done,
    Profile,
    TooMuchError,
    change,
    check_room,
    introduced,
    noting,
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


def test_attributes_are_limited_together_however_many_patches_bring_them() -> None:
    full = ADA
    for number in range(MOST_ATTRIBUTES):
        full = patched(full, {f"a{number}": "x"})
    assert patched(full, {"a0": "y", "a1": None, "b": "z"}).attributes["b"] == "z"
    with pytest.raises(TooMuchError) as refused:
        patched(full, {"b": "z"})
    assert refused.value.field == "attributes"
    large = {f"a{number}": "\u20ac" * 1000 for number in range(MOST_ATTRIBUTE_BYTES // 3000)}
    with pytest.raises(TooMuchError):
        patched(patched(ADA, large), {"b": "\u20ac" * 1000})


def test_the_largest_customer_fits_in_a_record() -> None:
    domain = "\U0001f600" * 501
    longest = [
        Identifier(kind=IdentifierKind.EMAIL, value=f"{number:04}@{domain}")
        for number in range(MOST_IDENTIFIERS)
    ]
    profile = introduced(with_identifiers(NEW, longest), "\u20ac" * 10_000)
    size = MOST_ATTRIBUTE_BYTES // MOST_ATTRIBUTES
    profile = patched(profile, {f"{n:02}": "\u0001" * (size // 6 - 4) for n in range(MOST_ATTRIBUTES)})
    made = change(NEW, profile, CAUSE, NOW)
    assert made is not None
    assert len(made.event.personal.name or "") == LONGEST_NAME
    assert len(made.event.json_bytes()) < MOST_UNSEALED_BYTES


def test_the_oldest_chat_sessions_make_room_for_new_identifiers() -> None:
    sessions = [Identifier(kind=IdentifierKind.VISITOR, value=f"v{n}") for n in range(MOST_IDENTIFIERS)]
    listed = with_identifiers(NEW, [PHONE, *sessions, EMAIL]).identifiers
    assert len(listed) == MOST_IDENTIFIERS
    assert listed == (PHONE, *sessions[2:], EMAIL)


def test_an_agent_cannot_attach_more_than_a_profile_lists() -> None:
    phones = [
        Identifier(kind=IdentifierKind.PHONE, value=f"+1555{n:07}") for n in range(MOST_IDENTIFIERS - 1)
    ]
    nearly = with_identifiers(NEW, phones)
    check_room(nearly, [EMAIL])
    with pytest.raises(TooMuchError) as refused:
        check_room(with_identifiers(nearly, [PHONE]), [EMAIL])
    assert refused.value.field == "identifiers"


def test_only_the_last_commands_are_remembered() -> None:
    profile = ADA
    for number in range(KEPT_COMMANDS + 3):
        profile = noting(profile, Done(UUID(int=number), 200))
    assert [done.id.int for done in profile.commands] == list(range(3, KEPT_COMMANDS + 3))
