"""Tasks: made, routed, worked on and finished, with or without a Conversation."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from schemas import routing as contract
from schemas.conversations import TaskChanged, TaskCreated, TaskDue
from schemas.tasks import TaskPersonal, TaskStatus, TaskWords
from services.chassis.inboxes import Inbox
from services.conversation.domain import routing
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.routed import Routing
from services.conversation.domain.task import MOST_TASKS, Task
from services.conversation.domain.task_draft import TaskDraft

_REMEMBERED = timedelta(minutes=1)
"""How long a Task that its Agent could not have is kept for whoever waits for the answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of an open Task is to change, words, due time and priority aside."""

    inbox: Inbox | None = None
    status: TaskStatus | None = None
    unassign: bool = False


def full(draft: Draft) -> bool:
    """Return whether the Customer has as many open Tasks as there may be."""
    return len(draft.thread.tasks) >= MOST_TASKS


def add(draft: Draft, task: Task, *, assignee: str | None, force: bool) -> None:
    """Make a Task and have it routed; for a named Agent it comes to be when the router grants it."""
    here = TaskDraft(draft, task.id)
    here.put(replace(task, proposed=assignee is not None))
    if assignee is not None:
        assign(here, assignee, task.created_by, force=force)
        return
    with draft.at(task.home):
        routing.request(here)
        _tell(here, TaskCreated, by=task.created_by)


def change(draft: Draft, task: Task, by: str, asked: Asked, **fields: Any) -> None:  # noqa: ANN401  (Task's own)
    """Change a Task; nothing when all is as it was.

    `fields` are `title`, `text`, `due_at` and `priority`. `task` is the thread's, or a finished one as it
    is shown, which is opened again.
    """
    here, opens = TaskDraft(draft, task.id), task.status is not TaskStatus.OPEN
    moved = replace(task, **fields)
    if moved.due_at != task.due_at:
        moved = replace(moved, told_due=False)
    if opens:
        moved = replace(moved, status=TaskStatus.OPEN, agent=None, finished_at=None)
    here.put(moved)
    with draft.at(task.home):
        _route_anew(here, task, asked, opens=opens)
        if here.routed.state != task.state or _words(here.routed) != _words(task):
            here.change(updated_at=draft.now)
            _tell(here, TaskChanged, by=by, before=task)
        if here.routed.status is not TaskStatus.OPEN:
            here.drop()


def _route_anew(here: TaskDraft, before: Task, asked: Asked, *, opens: bool) -> None:
    task = here.routed
    known = task.routing
    if asked.status not in (None, TaskStatus.OPEN):
        routing.release(here, str(asked.status))
        here.change(status=asked.status, finished_at=here.now)
    elif asked.inbox is not None and asked.inbox.name != task.inbox:
        here.change(agent=None)
        routing.move_to(here, asked.inbox)
    elif opens:
        routing.request(here, preferred=before.agent)
    elif asked.unassign and task.agent is not None:
        routing.release(here, "unassigned")
        here.change(agent=None)
        routing.request(here, avoid=task.agent, ahead=True, since=known.requested_at)
    elif task.waits and (task.due_at, task.priority) != (before.due_at, before.priority):
        routing.request(
            here, preferred=known.preferred, avoid=known.avoid, ahead=known.ahead, since=known.requested_at
        )


def assign(here: TaskDraft, agent: str, by: str, *, force: bool) -> None:
    """Ask the router to give the Task to `agent`: a take by whoever names themselves, else a transfer."""
    with here.whole.at(here.routed.home):
        routing.assign(here, agent, "take" if agent == by else "transfer", force=force, by=by)


def held(draft: Draft, task_id: str) -> Task | None:
    """Return the Task as the thread has it; None where it is finished, or another Customer's."""
    return next((task for task in draft.thread.tasks if task.id == task_id), None)


def assigned(here: TaskDraft, data: contract.GrantData, by: str | None) -> None:
    """Give the Task to the Agent whom the router grants it; `by` asked for them by name."""
    before = here.routed
    here.change(agent=data.agent, proposed=False, updated_at=here.now)
    with here.whole.at(before.home):
        if before.proposed:
            _tell(here, TaskCreated, by=by)
        else:
            _tell(here, TaskChanged, by=by, before=before, reason=data.reason)


def lost(here: TaskDraft, reason: str) -> None:
    """Take the assignee off, who has signed off or is lost."""
    before = here.routed
    here.change(agent=None, updated_at=here.now)
    with here.whole.at(before.home):
        _tell(here, TaskChanged, by=None, before=before, reason=reason)


def moved(here: TaskDraft, inbox: str, reason: str) -> None:
    """Put the Task into another Inbox, as the router did."""
    before = here.routed
    here.change(inbox=inbox, updated_at=here.now)
    with here.whole.at(before.home):
        _tell(here, TaskChanged, by=None, before=before, reason=reason)


def next_due(task: Task) -> datetime | None:
    """Return when the Task next changes by itself: its due time passes, or nobody waits for it."""
    if task.proposed:
        return task.created_at + _REMEMBERED if _refused(task.routing) else None
    return None if task.told_due else task.due_at


def tick(here: TaskDraft) -> None:
    """Do what is due."""
    task, due = here.routed, next_due(here.routed)
    if due is None or due > here.now:
        return
    if task.proposed:
        here.drop()
        return
    here.change(told_due=True)
    with here.whole.at(task.home):
        _tell(here, TaskDue, by=None)


def _refused(routing: Routing) -> bool:
    return all(wish.granted is False for wish in routing.assignments)


def _words(task: Task) -> TaskWords:
    return TaskWords(title=task.title, text=task.text)


def _content(task: Task) -> dict[str, Any]:
    return {**_words(task).model_dump(), **task.state.model_dump(mode="json")}


def _tell(
    here: TaskDraft,
    model: type[TaskCreated | TaskChanged | TaskDue],
    *,
    by: str | None,
    before: Task | None = None,
    reason: str | None = None,
) -> None:
    draft, task = here.whole, here.routed
    draft.kept[task.id] = task
    shown, was = _content(task), _content(before) if before else {}
    changed = tuple(name for name in shown if before and was[name] != shown[name])
    data = {
        **task.state.model_dump(),
        "task_id": task.id,
        "by": by,
        "reason": reason,
        "changed": changed,
        "before": before.state if before else None,
    }
    reworded = before is not None and _words(before) != _words(task)
    personal = TaskPersonal(
        title=task.title, text=task.text, before=_words(before) if before and reworded else None
    )
    event = draft.emit(model, data, personal)
    fields = {
        "task_id": task.id,
        **shown,
        "agent": by,
        "change": model.model_fields["type"].default.removeprefix("task."),
        "reason": reason,
        "before": {name: was[name] for name in changed} if before else None,
        "after": {name: shown[name] for name in changed} if before else None,
    }
    draft.caused.append(
        TimelineRow(
            id=str(event.id),
            home=task.home,
            at=draft.now,
            received_at=draft.now,
            seq=event.seq,
            kind="task",
            conversation_id=None,
            fields=fields,
        )
    )
