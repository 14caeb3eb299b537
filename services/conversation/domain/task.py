"""A Task, as its Customer's thread keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.common import ChannelClass
from schemas.tasks import TaskState, TaskStatus
from services.conversation.domain.routed import Routing

MOST_TASKS = 200
"""Open ones of a Customer."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do for a Customer; routed like a Conversation, and needing none."""

    id: str
    home: str
    title: str
    inbox: str
    routing: Routing
    created_at: datetime
    updated_at: datetime
    created_by: str
    text: str = ""
    status: TaskStatus = TaskStatus.OPEN
    agent: str | None = None
    """Its assignee; kept when it is finished."""
    due_at: datetime | None = None
    told_due: bool = False
    """That the due time has passed was told."""
    priority: int = 0
    finished_at: datetime | None = None
    proposed: bool = False
    """Made for a named Agent, and the router has not said yes: nobody sees it before."""

    @property
    def skills(self) -> Mapping[str, int]:
        """What it asks of an Agent: nothing."""
        return {}

    @property
    def classes(self) -> tuple[ChannelClass, ...]:
        """The class of room it takes."""
        return (ChannelClass.TASKS,)

    @property
    def holder(self) -> str | None:
        """The Agent who has it now."""
        return self.agent if self.status is TaskStatus.OPEN else None

    @property
    def waits(self) -> bool:
        """It waits for the router to find an Agent."""
        return self.status is TaskStatus.OPEN and self.agent is None and not self.proposed

    @property
    def state(self) -> TaskState:
        """What of it may change, words aside."""
        return TaskState(
            inbox=self.inbox,
            status=self.status,
            assignee=self.agent,
            due_at=self.due_at,
            priority=self.priority,
        )
