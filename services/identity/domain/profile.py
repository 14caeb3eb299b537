"""What is known of a Customer, how it changes, and the event that tells of a change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from schemas import ids
from schemas.common import Identifier
from schemas.customers import CustomerCreated, CustomerData, CustomerEvent, CustomerPersonal, CustomerUpdated
from services.identity.domain.claims import key

MOST_TOLD = 500
"""Identifiers in one event, the newest; a record has a size limit, a long life of chat sessions has none."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A Customer as stored. `version` 0: nothing is stored yet."""

    customer_id: str
    version: int = 0
    name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    identifiers: tuple[Identifier, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """The message or command that changes a Customer."""

    id: UUID
    correlation: UUID


@dataclass(frozen=True, slots=True)
class Change:
    """A profile as it becomes, and the event that says so. `profile.version` is the new one."""

    profile: Profile
    event: CustomerEvent


def with_identifiers(profile: Profile, identifiers: Iterable[Identifier]) -> Profile:
    """Add identifiers; one that is there is marked verified when it is vouched for now."""
    known = {key(identifier): identifier for identifier in profile.identifiers}
    for identifier in identifiers:
        before = known.get(key(identifier))
        if before is None or (identifier.verified and not before.verified):
            known[key(identifier)] = identifier
    return replace(profile, identifiers=tuple(known.values()))


def without_identifier(profile: Profile, identifier: Identifier) -> Profile:
    """Take an identifier away."""
    return replace(
        profile, identifiers=tuple(known for known in profile.identifiers if key(known) != key(identifier))
    )


def lacking(profile: Profile, identifiers: Iterable[Identifier]) -> list[Identifier]:
    """Return those of `identifiers` that the profile does not list."""
    known = {key(identifier) for identifier in profile.identifiers}
    return [identifier for identifier in identifiers if key(identifier) not in known]


def introduced(profile: Profile, name: str | None) -> Profile:
    """Take the name a channel shows, unless the Customer has one."""
    return replace(profile, name=name) if name and profile.name is None else profile


def patched(profile: Profile, attributes: Mapping[str, str | None]) -> Profile:
    """Set attributes; None takes one away."""
    merged = {**profile.attributes, **attributes}
    return replace(profile, attributes={name: value for name, value in merged.items() if value is not None})


def change(
    before: Profile, after: Profile, cause: Cause, now: datetime, *, always: bool = False
) -> Change | None:
    """Return the change from `before` to `after`, None when there is none to tell of.

    `always`: tell even what looks the same, so that the version moves. Event ids follow from the
    Customer and the version, so that a version has one event.
    """
    if after == before and before.version > 0 and not always:
        return None
    made = replace(after, version=before.version + 1, created_at=before.created_at or now)
    model = CustomerUpdated if before.version else CustomerCreated
    return Change(
        made,
        model(
            id=ids.derive("customer.event", made.customer_id, made.version),
            occurred_at=now,
            correlation=cause.correlation,
            causation=cause.id,
            customer_id=made.customer_id,
            home=made.customer_id,
            seq=made.version,
            data=CustomerData(customer_id=made.customer_id),
            personal=CustomerPersonal(
                name=made.name, identifiers=made.identifiers[-MOST_TOLD:], attributes=dict(made.attributes)
            ),
        ),
    )
