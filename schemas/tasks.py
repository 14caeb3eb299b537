"""Words about Tasks: something to do for a Customer, routed by itself."""

from enum import StrEnum

from schemas.envelope import Model, Personal, Time, Whole


class TaskStatus(StrEnum):
    """Where a Task stands."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class TaskState(Model):
    """What of a Task may change, words aside."""

    inbox: str
    status: TaskStatus
    assignee: str | None = None
    due_at: Time | None = None
    priority: Whole = 0
    """Higher is served first; 0 is normal."""


class TaskData(TaskState):
    """A Task as it is after the event."""

    task_id: str
    by: str | None = None
    """The Agent who did it; None where the router or the clock did."""
    reason: str | None = None
    """Of an assignment, or of its end: `push`, `transfer`, `lost`, …"""
    changed: tuple[str, ...] = ()
    """Which fields, `title` and `text` among them; none of a new Task."""
    before: TaskState | None = None
    """As it was; None of a new Task."""


class TaskWords(Model):
    """What is to be done."""

    title: str
    text: str = ""


class TaskPersonal(Personal):
    """What is to be done, and what it said before a change of the words."""

    title: str
    text: str = ""
    before: TaskWords | None = None
