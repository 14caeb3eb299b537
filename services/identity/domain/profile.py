"""What is known of a Customer, how it changes, and the event that tells of a change."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.common import Identifier, IdentifierKind
from schemas.customers import (
    AttributeSource,
    CustomerCreated,
    CustomerData,
    CustomerEvent,
    CustomerPersonal,
    CustomerUpdated,
    MergeEvent,
)
from services.identity.domain.attributes import Source, Sources, heeded, sourced
from services.identity.domain.claims import key

MOST_TOLD = 250
"""Identifiers in one event, the newest: an event must fit in a record of 1 MB, however long they are."""
MOST_IDENTIFIERS = 1000
"""Identifiers a profile lists. A long life of chat sessions has more: the oldest of these are left out."""
MOST_ATTRIBUTES = 100
MOST_ATTRIBUTE_BYTES = 64_000
"""Of all names and values of a Customer together, as JSON in UTF-8."""
LONGEST_NAME = 200
"""Characters of a Customer's name."""
KEPT_COMMANDS = 16


class TooMuchError(Exception):
    """A Customer would get more of `field` than one may have; `detail` says how much that is."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(field)
        self.field = field
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was applied, and the status it was answered with, in the sense of HTTP."""

    id: UUID
    status: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A Customer as stored. `version` 0: nothing is stored yet."""

    customer_id: str
    version: int = 0
    name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    identifiers: tuple[Identifier, ...] = ()
    created_at: datetime | None = None
    sources: Sources = field(default_factory=dict)
    """Of the attributes."""
    name_source: Source | None = None
    """None of a name that a channel showed."""
    commands: tuple[Done, ...] = ()
    """The last ones applied: one that comes again after a crash has had its effect."""
    merged_into: str | None = None
    """Who absorbed them."""
    merges: int = 0
    """How often they were absorbed, or that undone."""
    erased: bool = False
    """Only the id is left, and it is nobody's any more."""

    @property
    def exists(self) -> bool:
        """Whether there is such a Customer."""
        return self.version > 0 and not self.erased


@dataclass(frozen=True, slots=True)
class Cause:
    """The message or command that changes a Customer."""

    id: UUID
    correlation: UUID


@dataclass(frozen=True, slots=True)
class Change:
    """A profile as it becomes, and the event that says so. `profile.version` is the new one."""

    profile: Profile
    event: CustomerEvent | MergeEvent


def with_identifiers(profile: Profile, identifiers: Iterable[Identifier]) -> Profile:
    """Add identifiers; one that is there is marked verified when it is vouched for now.

    Above MOST_IDENTIFIERS the oldest are not listed any more, visitors' before others; they still lead
    to the Customer, and are listed again when they are seen again.
    """
    known = {key(identifier): identifier for identifier in profile.identifiers}
    for identifier in identifiers:
        before = known.get(key(identifier))
        if before is None or (identifier.verified and not before.verified):
            known[key(identifier)] = identifier
    excess = max(len(known) - MOST_IDENTIFIERS, 0)
    visitors_first = sorted(
        known.values(), key=lambda identifier: identifier.kind is not IdentifierKind.VISITOR
    )
    gone = {key(identifier) for identifier in visitors_first[:excess]}
    return replace(profile, identifiers=tuple(one for name, one in known.items() if name not in gone))


def check_room(profile: Profile, identifiers: Iterable[Identifier]) -> None:
    """Raise TooMuchError where these identifiers would push others than visitors' out of the profile."""
    known = {
        key(identifier) for identifier in profile.identifiers if identifier.kind is not IdentifierKind.VISITOR
    }
    if len(known | {key(identifier) for identifier in identifiers}) > MOST_IDENTIFIERS:
        raise TooMuchError("identifiers", f"a Customer has at most {MOST_IDENTIFIERS}; detach one before")


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
    return replace(profile, name=name[:LONGEST_NAME]) if name and profile.name is None else profile


def named(profile: Profile, name: str | None, source: Source | None) -> Profile:
    """Set the name."""
    known = profile.name_source
    same = name == profile.name and known is not None and source is not None and known.by == source.by
    return profile if same else replace(profile, name=name, name_source=source)


def informed(
    profile: Profile, name: str | None, attributes: Mapping[str, str | None], source: Source
) -> Profile:
    """Take what an automatic source offers, as far as its word counts. Raises TooMuchError."""
    known = profile.name_source
    better = known is None or source.rank >= known.rank
    if name and name != profile.name and better:
        profile = named(profile, name, source)
    taken = heeded(profile.attributes, profile.sources, attributes, source)
    return patched(profile, taken, source) if taken else profile


def patched(profile: Profile, attributes: Mapping[str, str | None], source: Source | None = None) -> Profile:
    """Set attributes; None takes one away. Raises TooMuchError where the Customer would have too many."""
    merged = {
        name: value for name, value in {**profile.attributes, **attributes}.items() if value is not None
    }
    size = len(json.dumps(merged, ensure_ascii=False).encode())
    if len(merged) > MOST_ATTRIBUTES or size > MOST_ATTRIBUTE_BYTES:
        limit = f"a Customer has at most {MOST_ATTRIBUTES}, of {MOST_ATTRIBUTE_BYTES} bytes together"
        raise TooMuchError("attributes", f"{limit}; this would make {len(merged)}, of {size} bytes")
    if source is None:
        return replace(profile, attributes=merged)
    sources = sourced(profile.attributes, profile.sources, attributes, source)
    # of what was taken away as many are remembered as there may be attributes
    gone = [name for name in sources if name not in merged][:-MOST_ATTRIBUTES]
    kept = {name: source for name, source in sources.items() if name not in gone}
    return replace(profile, attributes=merged, sources=kept)


def noting(profile: Profile, done: Done) -> Profile:
    """Remember a command, and forget the oldest above KEPT_COMMANDS."""
    return replace(profile, commands=(*profile.commands, done)[-KEPT_COMMANDS:])


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
            **envelope(made, cause, now),
            data=CustomerData(customer_id=made.customer_id),
            personal=CustomerPersonal(
                name=made.name,
                identifiers=made.identifiers[-MOST_TOLD:],
                attributes=dict(made.attributes),
                attribute_sources={name: _told(one) for name, one in made.sources.items()} or None,
                name_source=_told(made.name_source) if made.name_source else None,
            ),
        ),
    )


def envelope(made: Profile, cause: Cause, now: datetime) -> dict[str, Any]:
    """Return what every event about this version of a Customer has; the version has one event."""
    return {
        "id": ids.derive("customer.event", made.customer_id, made.version),
        "occurred_at": now,
        "correlation": cause.correlation,
        "causation": cause.id,
        "customer_id": made.customer_id,
        "home": made.customer_id,
        "seq": made.version,
    }


def _told(source: Source) -> AttributeSource:
    return AttributeSource(source=source.by, at=source.at)
