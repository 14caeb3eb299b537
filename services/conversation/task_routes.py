"""The routes of Tasks."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from schemas.envelope import Time, rfc3339
from schemas.tasks import TaskStatus
from services.chassis.auth import Agent, Principal
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.pages import Limit, page
from services.conversation.domain.task import Task
from services.conversation.kept import task_of
from services.conversation.tasks import Tasks
from services.conversation.ticket_inputs import TaskInput, TaskPatch


def routes(parts: Tasks, once: Once) -> APIRouter:
    """Return the routes of Tasks."""
    router = APIRouter()

    @router.post("/v1/customers/{customer_id}/tasks", status_code=201)
    async def create(request: Request, caller: Agent, customer_id: str, body: TaskInput) -> Response:
        """Make a Task. It needs no Conversation; without an `assignee` it is routed by itself."""

        async def run(command: UUID) -> Answer:
            await parts.access.customer(caller, customer_id)
            return Answer(201, await _view(parts, await parts.create(customer_id, caller, command, body)))

        return await once.once(request, caller.subject, body.model_dump(mode="json"), run)

    @router.get("/v1/tasks")
    async def listed(
        caller: Agent,
        assignee: str | None = None,
        inbox: str | None = None,
        status: TaskStatus | None = None,
        customer: str | None = None,
        due_before: Time | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        home = await parts.homes(customer) if customer is not None else None
        asked = {"assignee": assignee, "inbox": inbox, "status": status, "home": home}
        query: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        if due_before is not None:
            query["due_at"] = {"$lt": due_before}
        mine = await _mine(parts, caller)
        whole = {"$and": [query, mine]} if mine else query
        place = ("created_at", "_id")
        found = await page(parts.kept.tasks, whole, place, limit, cursor, lambda row: {"task": task_of(row)})
        shown = await parts.customers_of([item["task"] for item in found["items"]])
        return {**found, "items": [task_view(*each) for each in shown]}

    @router.get("/v1/tasks/{task_id}")
    async def task(caller: Agent, task_id: str) -> dict[str, Any]:
        return await _view(parts, await parts.seen(caller, task_id))

    @router.patch("/v1/tasks/{task_id}")
    async def change(request: Request, caller: Agent, task_id: str, body: TaskPatch) -> Response:
        async def run(command: UUID) -> Answer:
            return Answer(200, await _view(parts, await parts.change(task_id, caller, command, body)))

        asked = body.model_dump(mode="json", exclude_unset=True)
        return await once.once(request, caller.subject, asked, run)

    return router


async def _mine(parts: Tasks, caller: Principal) -> dict[str, Any] | None:
    """Return the condition of what the caller sees; None for all."""
    own = await parts.access.inboxes(caller)
    return None if own is None else {"$or": [{"inbox": {"$in": own}}, {"assignee": caller.subject}]}


async def _view(parts: Tasks, task: Task) -> dict[str, Any]:
    (shown,) = await parts.customers_of([task])
    return task_view(*shown)


def task_view(task: Task, customer_id: str) -> dict[str, Any]:
    """Return a Task as the API shows it."""
    return {
        "id": task.id,
        "customer_id": customer_id,
        "title": task.title,
        "text": task.text,
        **task.state.model_dump(mode="json"),
        "created_by": task.created_by,
        "created_at": rfc3339(task.created_at),
        "updated_at": rfc3339(task.updated_at),
        "finished_at": rfc3339(task.finished_at) if task.finished_at else None,
    }
