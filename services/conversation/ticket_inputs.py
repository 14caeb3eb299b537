"""Bodies of the routes of tickets and Tasks."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from schemas.envelope import Time
from schemas.tasks import TaskStatus
from schemas.tickets import TicketReason, TicketStatus
from services.chassis.text import clean
from services.conversation.inputs import LONGEST_TEXT, Input

AgentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")]
Priority = Annotated[int, Field(ge=-10, le=10)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(clean)
]
Details = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(clean)]


class Patch(Input):
    """What is to change; what is not named stays, and null takes away what may be missing."""

    @model_validator(mode="after")
    def _says_something(self) -> "Patch":
        if not self.model_fields_set:
            message = "name at least one field to change"
            raise ValueError(message)
        return self


def _given(value: object) -> object:
    if value is None:
        message = "must not be null; leave it out to keep it"
        raise ValueError(message)
    return value


class TicketInput(Input):
    """Why a ticket is needed."""

    reason: TicketReason


class LinkInput(Input):
    """The same matter in another tracker: its address, its id there, or both."""

    system: Name
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00]+$", max_length=2000)] | None = None
    id: Name | None = None

    @model_validator(mode="after")
    def _names_it(self) -> "LinkInput":
        if self.url is None and self.id is None:
            message = "give a url, an id, or both"
            raise ValueError(message)
        return self


class TicketPatch(Patch):
    """Changes of a ticket; `links` replaces all."""

    status: TicketStatus | None = None
    assignee: AgentId | None = None
    due_at: Time | None = None
    links: tuple[LinkInput, ...] | None = Field(default=None, max_length=20)

    _not_null = field_validator("status", "links")(_given)


class TaskInput(Input):
    """A Task for an Inbox, or for an Agent by name; `force` is a lead's."""

    title: Name
    text: Details = ""
    due_at: Time | None = None
    assignee: AgentId | None = None
    inbox: str | None = None
    priority: Priority = 0
    force: bool = False


class TaskPatch(Patch):
    """Changes of a Task. `assignee` null gives it back to its Inbox."""

    title: Name | None = None
    text: Details | None = None
    due_at: Time | None = None
    assignee: AgentId | None = None
    inbox: str | None = None
    priority: Priority | None = None
    status: TaskStatus | None = None
    force: bool = False

    _not_null = field_validator("title", "text", "inbox", "priority", "status")(_given)

    @model_validator(mode="after")
    def _goes_one_way(self) -> "TaskPatch":
        ends = self.status in (TaskStatus.DONE, TaskStatus.CANCELLED)
        placed = self.model_fields_set & {"assignee", "inbox"}
        if len(placed) > 1 or (ends and placed):
            message = "name one of an assignee, an inbox, and a status that ends the Task"
            raise ValueError(message)
        return self
