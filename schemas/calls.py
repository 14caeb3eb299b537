"""What happens in a call, word by word. A call is told of by many webhooks, in any order."""

from enum import StrEnum
from uuid import UUID

from pydantic import Field

from schemas.common import SkillName
from schemas.envelope import Count, Model, Personal, Time


class CallStatus(StrEnum):
    """How a call stands. `missed`: it ended, and nobody of ours spoke with the Customer."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    MISSED = "missed"
    FAILED = "failed"


class CallChoice(Model):
    """One answer of the caller to a menu; what was pressed or said stands in the personal part."""

    n: Count
    """Its place in the call."""
    menu: str
    topic: str | None = None
    """The Topic it stands for."""


class SpokenChoice(Personal):
    """The words of one choice."""

    n: Count
    digits: str | None = None
    speech: str | None = None


class CallEnd(Model):
    """The provider's last word on a call."""

    status: CallStatus
    """`completed` says that the line was up: whether anybody spoke with the Customer is told apart."""
    at: Time
    seconds: Count | None = None
    """How long it took."""
    implied: bool = False
    """Not told as such: another webhook showed by the way that the call was over."""


class CallStep(Model):
    """One word on a call. All words on a call have the same `call_id`, each record its own id."""

    call_id: UUID
    end: CallEnd | None = None
    answered: bool = False
    """Somebody of ours spoke with the Customer, or the menu answered the question."""
    voicemail: bool = False
    """The Customer leaves, or left, a message: they wait to be called back."""
    choice: CallChoice | None = None
    skills: dict[SkillName, Count] = Field(default_factory=dict)
    """Skills with minimum level that the choice asks for."""
    inbox: str | None = None
    """The Inbox that the choice leads to."""


class CallWords(Personal):
    """What the step says in the caller's own words; a transcript is the `text` beside it."""

    choice: SpokenChoice | None = None
    transcript: str | None = None
    """The provider's id of the transcription that `text` holds."""
