"""Who saw and changed what of a Customer: `audit.entries`, key: Customer. No word of the Customer's own."""

from typing import Literal

from pydantic import Field

from schemas.envelope import Envelope, Model


class AuditData(Model):
    """One thing that one caller did."""

    actor: str
    """Id of the Agent or program, the `sub` of its token."""
    action: str
    """As `customer.viewed`, `timeline.viewed`, `customer.changed`, `reply`."""
    service: str
    """Where it was done."""
    what: dict[str, str] = Field(default_factory=dict)
    """Ids of what it was done to besides the Customer, names of fields; never their content."""


class AuditEntry(Envelope):
    """What a caller saw or changed of a Customer. Seeing the same again within a minute is the same entry."""

    type: Literal["audit.entry"] = "audit.entry"
    customer_id: str
    home: str
    data: AuditData
