"""When two Customers may be one, what is then known of them, and the event that tells of it.

An absorbed Customer keeps identifiers and profile; only a pointer leads to the survivor. To undo a merge
is to cut the pointer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from schemas import ids
from schemas.common import IdentifierKind
from schemas.customers import CustomerMerged, CustomerSplit, MergeData
from services.identity.domain.attributes import Source
from services.identity.domain.profile import Cause, Change, Profile, envelope

PROOF = "proof"
"""Reason of a merge that a message made: somebody vouches for identifiers of both."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge as it is kept."""

    id: str
    survivor: str
    absorbed: str
    by: str | None
    """The lead who asked for it; None where a message proved it."""
    reason: str
    at: datetime
    undone_at: datetime | None = None


def disputed(one: Iterable[Profile], other: Iterable[Profile]) -> list[str]:
    """Return the source systems that know both Customers, by different ids: to them they are two persons."""
    return sorted(_sources(one) & _sources(other))


def _sources(profiles: Iterable[Profile]) -> set[str]:
    return {
        identifier.value.partition(":")[0]
        for profile in profiles
        for identifier in profile.identifiers
        if identifier.kind is IdentifierKind.EXTERNAL
    }


def absorbed(profile: Profile, merge: Merge, cause: Cause, now: datetime) -> Change:
    """Return the change that makes `merge.survivor` stand for the Customer."""
    moved = replace(profile, merged_into=merge.survivor)
    return _told(profile, moved, CustomerMerged, merge, cause, now)


def restored(profile: Profile, merge: Merge, cause: Cause, now: datetime) -> Change:
    """Return the change that makes the Customer stand for themselves again."""
    return _told(profile, replace(profile, merged_into=None), CustomerSplit, merge, cause, now)


def _told(
    before: Profile,
    after: Profile,
    model: type[CustomerMerged | CustomerSplit],
    merge: Merge,
    cause: Cause,
    now: datetime,
) -> Change:
    made = replace(after, version=before.version + 1, merges=before.merges + 1)
    return Change(
        made,
        model(
            **envelope(made, cause, now),
            data=MergeData(
                customer_id=made.customer_id,
                merge_id=merge.id,
                survivor=merge.survivor,
                n=made.merges,
                by=merge.by,
                reason=merge.reason,
            ),
        ),
    )


def older(one: Profile, other: Profile) -> tuple[Profile, Profile]:
    """Return the two, the one who has been known longer first: that one survives a merge by proof."""
    first, second = sorted((one, other), key=lambda each: (str(each.created_at), each.customer_id))
    return first, second


def united(family: Sequence[Profile]) -> Profile:
    """Return a survivor with what is known of all whom they stand for; `family` begins with the survivor.

    Where two know different things the survivor's word counts, then that of who was known longer.
    """
    first, *others = family
    others.sort(key=lambda each: (str(each.created_at), each.customer_id))
    ranked = (first, *others)
    attributes: dict[str, str] = {}
    sources: dict[str, Source] = {}
    for profile in reversed(ranked):
        attributes |= profile.attributes
        sources = {name: one for name, one in sources.items() if name not in profile.attributes}
        sources |= {name: one for name, one in profile.sources.items() if name in profile.attributes}
    return replace(
        first,
        name=next((profile.name for profile in ranked if profile.name), None),
        attributes=attributes,
        sources=sources,
        identifiers=tuple(one for profile in ranked for one in profile.identifiers),
    )


def merge_id(cause: UUID) -> str:
    """Return the id of the merge that a command or a message leads to."""
    return str(ids.derive("merge", cause))
