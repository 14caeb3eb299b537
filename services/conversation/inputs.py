"""Bodies of conversation's routes."""

from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.common import Channel
from services.chassis.text import clean, line
from services.conversation.domain.topics import MOST_TOPICS, Topics
from services.conversation.permission import Reply, TemplateAsked

LONGEST_TEXT = 50_000
LONGEST_SUBJECT = 200


def _not_blank(text: str) -> str:
    if not text.strip():
        message = "must not be blank"
        raise ValueError(message)
    return text


def _one_line(text: str) -> str:
    return _not_blank(line(text, LONGEST_SUBJECT))


Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_TEXT),
    AfterValidator(clean),
    AfterValidator(_not_blank),
]


class Input(BaseModel):
    """A body; unknown fields are refused, so a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Uploaded(Input):
    """A file that the caller has uploaded."""

    id: UUID


Short = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(clean)]
Subject = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_SUBJECT), AfterValidator(_one_line)
]
Parameter = Annotated[str, StringConstraints(max_length=1024), AfterValidator(clean)]


class TemplateInput(Input):
    """A template of the account; the language may be left out where there is one only."""

    name: Short
    language: Short | None = None
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=100)


class ReplyInput(Input):
    """A reply: `text`, `attachments` or both, or else a `template`; `subject` is a mail's."""

    channel: Channel | None = None
    subject: Subject | None = None
    attachments: tuple[Uploaded, ...] = Field(default=(), max_length=10)
    template: TemplateInput | None = None
    text: Text | None = Field(default=None, validate_default=True)

    @field_validator("template")
    @classmethod
    def _without_files(cls, template: TemplateInput | None, given: ValidationInfo) -> TemplateInput | None:
        if template is not None and given.data.get("attachments"):
            message = "files go with a text, not with a template"
            raise ValueError(message)
        return template

    @field_validator("text")
    @classmethod
    def _says_something_once(cls, text: str | None, given: ValidationInfo) -> str | None:
        if not {"attachments", "template"} <= given.data.keys():
            return text  # what is wrong with them has been said
        files, template = given.data["attachments"], given.data["template"]
        if template is not None and text is not None:
            message = "give either a text or a template"
            raise ValueError(message)
        if template is None and text is None and not files:
            message = "give a text, attachments or a template"
            raise ValueError(message)
        return text

    @property
    def wanted(self) -> Reply:
        """What is to be sent, without the files."""
        asked = TemplateAsked(**self.template.model_dump()) if self.template else None
        return Reply(self.text or "", self.channel, asked, subject=self.subject)


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

    topics: Topics = Field(max_length=MOST_TOPICS)


class PriorityInput(Input):
    """0 is normal; higher is served first."""

    priority: int = Field(ge=-10, le=10)


class TypingInput(Input):
    """The caller types, or has stopped."""

    typing: bool = True
