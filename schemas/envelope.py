"""What every record on every topic carries around its own content."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer


def rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC with milliseconds: `2026-01-01T00:00:00.000Z`."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


Time = Annotated[
    AwareDatetime,
    Field(ge=datetime.min.replace(tzinfo=UTC), le=datetime.max.replace(tzinfo=UTC)),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
"""A moment within the years 1 to 9999 of UTC; JSON form is RFC 3339 UTC with milliseconds."""

_LARGEST = 2**53 - 1
Whole = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
"""A whole number that every reader of JSON has exactly, and that can be counted on in 64 bits."""
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
"""A Whole that is not negative."""


class Model(BaseModel):
    """A frozen value. Unknown fields are ignored, so a newer producer does not break a consumer."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Personal(Model):
    """Base of the one part of a record that holds personal data.

    Everything that names or quotes a person stands in this part and nowhere else, so that it can
    be encrypted, and destroyed, by itself.
    """


class Envelope(Model):
    """Fields common to all records.

    Subclasses fix `type` to a literal and add `data` and, where they need it, `personal`.
    """

    id: UUID
    """Derived from the cause (`schemas.ids`): a repeat of the cause repeats the id."""
    type: str
    version: Literal[1] = 1
    """A record of another version means something else: it waits in the dead letters for who can read it."""
    occurred_at: Time
    correlation: UUID
    """The same from a webhook to the reply it leads to."""
    causation: UUID | None = None
    """Id of the record or command that caused this one."""
    customer_id: str | None = None
    """The Customer whose partition carries the record."""
    home: str | None = None
    """The Customer that owns the identifier the record came by."""
    seq: Whole | None = None
    """Place in the order of its source: a thread's events, or a pool's decisions."""

    def json_bytes(self) -> bytes:
        """Return the record as it goes on the wire."""
        return self.model_dump_json(exclude_none=True).encode()
