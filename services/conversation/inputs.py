"""Bodies of conversation's routes."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.common import Attachment, Channel
from services.chassis.text import clean

LONGEST_TEXT = 50_000


def _not_blank(text: str) -> str:
    if not text.strip():
        message = "must not be blank"
        raise ValueError(message)
    return text


Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_TEXT),
    AfterValidator(clean),
    AfterValidator(_not_blank),
]
Topic = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$", max_length=100)]


class Input(BaseModel):
    """A body; unknown fields are refused, so a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReplyInput(Input):
    """A reply. `attachments` and `template` come with the channels that can send them."""

    text: Text
    channel: Channel | None = None
    attachments: tuple[Attachment, ...] = Field(default=(), max_length=0)


class NoteInput(Input):
    """An internal note."""

    text: Text


class CloseInput(Input):
    """`confirmed`: the Customer said that it is solved."""

    confirmed: bool | None = None


class TransferInput(Input):
    """To an Inbox, or to an Agent; `force` is a lead's."""

    inbox: str | None = None
    agent: str | None = None
    force: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> "TransferInput":
        if (self.inbox is None) == (self.agent is None):
            message = "name either an inbox or an agent"
            raise ValueError(message)
        return self


class TopicsInput(Input):
    """All topics; nested ones by slash: `returns/damaged`."""

    topics: tuple[Topic, ...] = Field(max_length=20)


class PriorityInput(Input):
    """0 is normal; higher is served first."""

    priority: int = Field(ge=-10, le=10)


class TypingInput(Input):
    """The caller types, or has stopped."""

    typing: bool = True
