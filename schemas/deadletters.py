"""`deadletters`, key: the original key. What a consumer gave up on, and why."""

from typing import Literal
from uuid import UUID

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


class DeadLetterPersonal(Personal):
    """The record as it was, base64."""

    key_base64: str | None = None
    value_base64: str | None = None


class DeadLetter(Envelope):
    """One record that can never be handled as it is."""

    type: Literal["deadletter"] = "deadletter"
    correlation: UUID
    data: DeadLetterData
    personal: DeadLetterPersonal
