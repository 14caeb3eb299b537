"""`deadletters`, key: the original key. What a consumer gave up on, and why; and what became of that."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.envelope import Envelope, Model, Personal, Time


class DeadLetterData(Model):
    """Where the record came from. Never holds input: error texts may quote it."""

    group: str
    topic: str
    partition: int
    offset: int
    error_class: str
    attempts: int
    failed_at: Time
    timestamp_ms: int | None = None
    """Kafka's time of the record, in milliseconds since 1970, whatever its producer wrote there."""
    key_bytes: int | None = None
    """Size of the key; None where there is none."""
    value_bytes: int | None = None
    """Size of the value; None where there is none (a tombstone)."""


class HeaderCopy(Model):
    """A header of the record."""

    name: str
    value_base64: str | None = None


class DeadLetterPersonal(Personal):
    """The record as it was, base64. All of it is left out where a copy would be too large for Kafka."""

    key_base64: str | None = None
    value_base64: str | None = None
    headers: tuple[HeaderCopy, ...] = ()


class DeadLetter(Envelope):
    """One record that can never be handled as it is.

    `causation` is the dead letter that was retried, where the record failed again.
    """

    type: Literal["deadletter"] = "deadletter"
    correlation: UUID
    data: DeadLetterData
    personal: DeadLetterPersonal


class DeadLetterResolvedData(Model):
    """Which dead letter is not open any more."""

    deadletter_id: UUID
    group: str
    topic: str
    how: Literal["retried", "dropped"]
    """`retried`: published again, for its group alone. `dropped`: nobody will handle it."""


class DeadLetterResolved(Envelope):
    """An operator settled a dead letter. In the log it stands behind it, in the same partition."""

    type: Literal["deadletter.resolved"] = "deadletter.resolved"
    correlation: UUID
    data: DeadLetterResolvedData


AnyDeadLetter = Annotated[DeadLetter | DeadLetterResolved, Field(discriminator="type")]
