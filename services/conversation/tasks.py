"""What Agents do with Tasks."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.tasks import TaskStatus
from services.chassis.audit import about
from services.chassis.auth import Principal, Role
from services.chassis.inboxes import Inbox
from services.chassis.problems import Problem, conflict, invalid, not_found
from services.conversation import metrics
from services.conversation.access import Access
from services.conversation.deciding import granted
from services.conversation.domain import routing, tasks
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread
from services.conversation.domain.routed import Assignment, Routing
from services.conversation.domain.task import MOST_TASKS, Task
from services.conversation.domain.task_draft import TaskDraft
from services.conversation.domain.tasks import Asked
from services.conversation.handlers import Threads
from services.conversation.store import Store, any_of
from services.conversation.ticket_inputs import TaskInput, TaskPatch

_PLAIN = ("title", "text", "due_at", "priority")


class Tasks:
    """Makes and changes Tasks. Who sees their Inbox sees them, and their assignee does."""

    def __init__(self, store: Store, threads: Threads, access: Access, decision_wait_seconds: float) -> None:
        self._store, self._threads = store, threads
        self._wait = decision_wait_seconds
        self.access = access
        self.kept = store.kept

    async def create(self, customer_id: str, caller: Principal, command: UUID, asked: TaskInput) -> Task:
        """Make a Task; for a named Agent only if the router grants it.

        Raises Problem 409 when that Agent is full, away or unknown, or the Customer has too many; 422 for
        an Inbox that is none; 403 for `force` without the role, and for Agents in no Inbox.
        """
        _may_force(caller, force=asked.force)
        task_id = str(ids.derive("task", command))
        eligible = await self._eligible(caller, asked)
        metrics.COMMANDS.labels("task").inc()

        def decide(draft: Draft) -> None:
            if tasks.held(draft, task_id) is not None:
                return  # so many commands ago that the thread knows of this one no more
            if tasks.full(draft):
                raise conflict(f"the Customer has {MOST_TASKS} open Tasks; finish one first", state="full")
            current = draft.thread.current
            inbox = eligible.get(current.inbox if current else "") or next(iter(eligible.values()))
            task = Task(
                id=task_id,
                home=draft.home,
                title=asked.title,
                text=asked.text,
                inbox=inbox.name,
                routing=Routing(inbox.pool),
                created_at=draft.now,
                updated_at=draft.now,
                created_by=caller.subject,
                due_at=asked.due_at,
                priority=asked.priority,
            )
            tasks.add(draft, task, assignee=asked.assignee, force=asked.force)

        await self._threads.command(customer_id, command, decide)
        if asked.assignee is not None:
            await self._come_to_be(customer_id, task_id, command)
        return await self._shown(task_id)

    async def _come_to_be(self, customer_id: str, task_id: str, command: UUID) -> None:
        if await self.kept.task(task_id) is not None:
            return
        try:
            await self._granted(customer_id, task_id, command)
        except Problem:
            if await self.kept.task(task_id) is None:  # else its assignee has finished it already
                raise

    async def change(self, task_id: str, caller: Principal, command: UUID, asked: TaskPatch) -> Task:
        """Change a Task the caller may see: first its assignee, where one is named, then the rest.

        Raises Problem 409 when that Agent is full, away or unknown, and for a finished Task unless it is
        opened again by `status`; then nothing is changed.
        """
        _may_force(caller, force=asked.force)
        inbox = self._inbox(asked.inbox) if asked.inbox is not None else None
        task = await self.seen(caller, task_id)
        metrics.COMMANDS.labels("task_change").inc()
        if asked.assignee is not None:
            await self._assign(task, caller, command, asked.assignee, force=asked.force)
        given = asked.model_fields_set
        fields = {name: getattr(asked, name) for name in _PLAIN if name in given}
        unassign = "assignee" in given and asked.assignee is None
        if fields or unassign or given & {"inbox", "status"}:
            wanted = Asked(inbox, asked.status, unassign=unassign)
            await self._change(task, caller, ids.derive("task-change", command), wanted, fields)
        return await self._shown(task_id)

    async def _change(
        self, task: Task, caller: Principal, command: UUID, asked: Asked, fields: Mapping[str, Any]
    ) -> None:
        shown = {"task": task}

        async def look() -> None:
            shown["task"] = await self._shown(task.id)

        def decide(draft: Draft) -> None:
            held = tasks.held(draft, task.id)
            if held is None and (fields or asked.status is not shown["task"].status or asked.inbox):
                _may_open_again(draft, shown["task"], asked)
            elif held is None:
                return
            tasks.change(draft, held or shown["task"], caller.subject, asked, **fields)

        await self._threads.command(task.home, command, decide, look=look)

    async def _assign(self, task: Task, caller: Principal, command: UUID, agent: str, *, force: bool) -> None:
        has: list[bool] = []

        def decide(draft: Draft) -> None:
            held = tasks.held(draft, task.id)
            if held is None:
                raise conflict("the Task is finished; open it again first", state="finished")
            has.append(held.agent == agent)
            if held.agent != agent:
                tasks.assign(TaskDraft(draft, task.id), agent, caller.subject, force=force)

        await self._threads.command(task.home, command, decide)
        if not any(has):
            await self._granted(task.home, task.id, command)

    async def _granted(self, customer_id: str, task_id: str, command: UUID) -> None:
        """Wait for the router's word. Raises Problem 409 where it is no."""

        def wish_of(thread: Thread) -> Assignment:
            held = next((task for task in thread.tasks if task.id == task_id), None)
            wish = routing.outcome(held, command) if held is not None else None
            if wish is None:
                raise conflict("the Task was finished, or assigned otherwise, in between")
            if wish.granted is False:
                raise conflict(wish.detail, kind="assignment-refused", state="open")
            return wish

        await granted(self._threads, customer_id, wish_of, self._wait)

    async def seen(self, caller: Principal, task_id: str) -> Task:
        """Return a Task the caller may see. Raises Problem 404."""
        own = await self.access.inboxes(caller)
        task = await self._shown(task_id)
        if own is not None and task.inbox not in own and task.agent != caller.subject:
            raise not_found(f"the Task {task_id}")
        about(task.home)
        return task

    async def customers_of(self, found: Sequence[Task]) -> list[tuple[Task, str]]:
        """Return each Task with the Customer whose it is today."""
        customers = await self._store.customers_of([task.home for task in found])
        return [(task, customers[task.home]) for task in found]

    async def homes(self, customer_id: str) -> object:
        """Return the condition that something is of this Customer."""
        return any_of(await self._store.homes(customer_id))

    async def _shown(self, task_id: str) -> Task:
        task = await self.kept.task(task_id)
        if task is None:
            raise not_found(f"the Task {task_id}")
        return task

    def _inbox(self, name: str) -> Inbox:
        inboxes = self._threads.inboxes
        if name not in inboxes:
            raise invalid("inbox", f"{name} is none of: {', '.join(sorted(inboxes))}")
        return inboxes[name]

    async def _eligible(self, caller: Principal, asked: TaskInput) -> dict[str, Inbox]:
        """Return where the Task may sit: in the Inbox that is named, one of the assignee's, or the caller's.

        Of several it is that of the Customer's Conversation, else the first.
        """
        if asked.inbox is not None:
            return {asked.inbox: self._inbox(asked.inbox)}
        theirs = await self._store.agent_inboxes(asked.assignee) if asked.assignee is not None else []
        own = theirs or await self.access.inboxes(caller)
        eligible = {
            name: inbox for name, inbox in self._threads.inboxes.items() if own is None or name in own
        }
        if not eligible:
            raise Problem(403, "Forbidden", "you are in no Inbox that a Task could wait in")
        return eligible


def _may_force(caller: Principal, *, force: bool) -> None:
    if force and not caller.may(Role.LEAD):
        raise Problem(403, "Forbidden", "`force` needs the role `lead`")


def _may_open_again(draft: Draft, task: Task, asked: Asked) -> None:
    if asked.status is not TaskStatus.OPEN:
        raise conflict(f"the Task is {task.status}; open it again first", state=task.status)
    if tasks.full(draft):
        raise conflict(f"the Customer has {MOST_TASKS} open Tasks; finish one first", state="full")
