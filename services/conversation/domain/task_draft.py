"""A change of a thread in the making, as one of its Tasks sees it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.conversation.domain.draft import Draft
from services.conversation.domain.routed import Routing
from services.conversation.domain.task import Task


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """Routes a Task with the words by which a Draft routes the current Conversation."""

    whole: Draft
    task_id: str

    @property
    def now(self) -> datetime:
        """The moment of the change."""
        return self.whole.now

    @property
    def routed(self) -> Task:
        """The Task as it becomes. The thread must have it."""
        return next(task for task in self.whole.thread.tasks if task.id == self.task_id)

    def change(self, **fields: Any) -> None:  # noqa: ANN401  (Task's own fields)
        """Change fields of the Task; nobody is told of it here."""
        self.put(replace(self.routed, **fields))

    def routing(self, **fields: Any) -> None:  # noqa: ANN401  (Routing's own fields)
        """Change fields of its routing."""
        routing: Routing = replace(self.routed.routing, **fields)
        self.change(routing=routing)

    def put(self, task: Task) -> None:
        """Let the thread have the Task as it is given."""
        thread = self.whole.thread
        others = tuple(each for each in thread.tasks if each.id != self.task_id)
        self.whole.thread = replace(thread, tasks=(*others, task))
        self.whole.inward = True

    def drop(self) -> None:
        """Let the thread have it no more."""
        thread = self.whole.thread
        left = tuple(each for each in thread.tasks if each.id != self.task_id)
        self.whole.thread = replace(thread, tasks=left)
        self.whole.inward = True


AnyDraft = Draft | TaskDraft
"""What can be routed: a Draft the current Conversation, a TaskDraft a Task."""


def routed(draft: Draft, routed_id: str) -> AnyDraft | None:
    """Return the change as what bears this id sees it; None where the thread has it no more."""
    current = draft.thread.current
    if current is not None and current.id == routed_id:
        return draft
    known = any(task.id == routed_id for task in draft.thread.tasks)
    return TaskDraft(draft, routed_id) if known else None
