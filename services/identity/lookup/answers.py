"""What is asked, and what an answer says: the contract with the operator's system."""

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from schemas.common import Identifier
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.identity.domain.claims import key
from services.identity.domain.profile import Profile
from services.identity.inputs import AttributeName, AttributeValue, Name
from services.identity.views import identifier_view

MOST_BYTES = 65_536
"""Of an answer."""
FOUND, UNKNOWN = "found", "unknown"
FAILURES = ("timeout", "not_connected", "forbidden_address", "refused", "unreadable", "too_large")
OUTCOMES = (FOUND, UNKNOWN, *FAILURES)
_UNKNOWN_STATUS = (204, 404, 410)
_MOST_ASKED = 100


def _plain(value: object) -> object:
    """Take numbers and booleans as the text that JSON has for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else value


_Value = Annotated[AttributeValue | None, BeforeValidator(_plain)]
_Source = Annotated[str, StringConstraints(max_length=64)]


class CustomerData(BaseModel):
    """An answer. What is left out stays as it is; an attribute that is null goes."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    name: Name | None = None
    attributes: Annotated[dict[AttributeName, _Value], Field(max_length=50)] = Field(default_factory=dict)
    external_ids: Annotated[dict[_Source, Annotated[str, BeforeValidator(_plain)]], Field(max_length=20)] = (
        Field(default_factory=dict)
    )
    """By source system: the id it knows the Customer by."""

    def identifiers(self, *, verified: bool) -> list[Identifier]:
        """Return the external ids. Raises InvalidIdentifier."""
        return [
            identifier(f"external:{source}", value, verified=verified)
            for source, value in self.external_ids.items()
        ]


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a question, one of OUTCOMES; `data` where it was answered."""

    outcome: str
    data: CustomerData | None = None

    @property
    def failed(self) -> bool:
        """Nobody answered in a way that says something."""
        return self.outcome in FAILURES


def question(profile: Profile) -> dict[str, Any]:
    """Return the body of a question, in the form of a Standard Webhooks event."""
    known = profile.identifiers[-_MOST_ASKED:]
    return {
        "type": "customer.lookup",
        "data": {
            "customer_id": profile.customer_id,
            "identifiers": [identifier_view(each) for each in known],
        },
    }


def read(status: int, body: bytes) -> Said:
    """Return what an answer says."""
    if status in _UNKNOWN_STATUS:
        return Said(UNKNOWN)
    if status != 200:  # noqa: PLR2004  (HTTP's only success that answers)
        return Said("refused")
    try:
        data = CustomerData.model_validate_json(body)
        data.identifiers(verified=False)
    except (ValidationError, InvalidIdentifier, RecursionError):
        return Said("unreadable")
    return Said(FOUND, data)


def digest(identifiers: Iterable[Identifier]) -> str:
    """Return what changes when the Customer is known by something else than before."""
    known = "\n".join(sorted(f"{key(each)} {each.verified}" for each in identifiers))
    return hashlib.sha256(known.encode()).hexdigest()[:32]
