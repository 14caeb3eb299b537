"""What the API shows: Customers."""

from typing import Any

from schemas.common import Identifier, IdentifierKind
from schemas.envelope import rfc3339
from services.identity.domain.attributes import Source
from services.identity.domain.merging import Merge
from services.identity.domain.profile import Profile


def customer_view(profile: Profile) -> dict[str, Any]:
    """Return a Customer as the API shows it."""
    return {
        "id": profile.customer_id,
        "name": profile.name,
        "attributes": dict(profile.attributes),
        "attribute_sources": {
            name: source_view(source)
            for name, source in profile.sources.items()
            if name in profile.attributes
        },
        "identifiers": [identifier_view(identifier) for identifier in profile.identifiers],
        "created_at": rfc3339(profile.created_at) if profile.created_at else None,
    }


def source_view(source: Source) -> dict[str, str]:
    """Return where an attribute comes from."""
    return {"source": source.by, "at": rfc3339(source.at)}


def merge_view(merge: Merge) -> dict[str, Any]:
    """Return a merge as the API shows it."""
    return {
        "id": merge.id,
        "survivor": merge.survivor,
        "absorbed": merge.absorbed,
        "by": merge.by,
        "reason": merge.reason,
        "at": rfc3339(merge.at),
        "undone_at": rfc3339(merge.undone_at) if merge.undone_at else None,
    }


def identifier_view(identifier: Identifier) -> dict[str, Any]:
    """Return an identifier; one of a source system as kind `external:<source>`."""
    kind, value = identifier.kind.value, identifier.value
    if identifier.kind is IdentifierKind.EXTERNAL:
        source, _, value = value.partition(":")
        kind = f"{kind}:{source}"
    return {"kind": kind, "value": value, "verified": identifier.verified}
