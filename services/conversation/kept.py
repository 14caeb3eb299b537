"""Tickets and Tasks in MongoDB: as they are shown, and the numbers of tickets.

Both collections are written from threads' outboxes only. `numbers` holds one row a Conversation that has,
or is about to have, a ticket: its number. Whoever asks again, after a crash too, gets the same one.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter
from pymongo import ASCENDING, DESCENDING, IndexModel, InsertOne, ReturnDocument

from services.chassis.mongo import Database, Document, bulk
from services.chassis.outbox import Row
from services.conversation.domain.model import Conversation
from services.conversation.domain.task import Task
from services.conversation.domain.ticket import Ticket

_TICKETS = TypeAdapter(Ticket)
_TASKS = TypeAdapter(Task)
_COUNTER = "ticket"


class Kept:
    """Reads tickets and Tasks, and numbers tickets."""

    def __init__(self, database: Database) -> None:
        self.tickets = database["tickets"]
        self.tasks = database["tasks"]
        self._numbers = database["ticket_numbers"]
        self._counters = database["counters"]

    async def prepare(self) -> None:
        """Create the indexes, and the counter of tickets."""
        await self._counters.update_one({"_id": _COUNTER}, {"$setOnInsert": {"last": 0}}, upsert=True)
        newest = [("created_at", DESCENDING), ("_id", DESCENDING)]
        for collection, names in (
            (self.tickets, ("home", "inbox", "status", "assignee")),
            (self.tasks, ("home", "inbox", "status", "assignee")),
        ):
            await collection.create_indexes(
                [
                    IndexModel(newest, name="newest"),
                    *(IndexModel([(name, ASCENDING), *newest], name=f"by_{name}") for name in names),
                ]
            )

    async def numbers(self, conversation_ids: Sequence[str]) -> dict[str, str]:
        """Return the number of each Conversation's ticket, the same for ever; new ones count on.

        Numbers are never given twice; of a crash, or of two who ask at once, gaps remain.
        """
        known = await self._known(conversation_ids)
        new = sorted(set(conversation_ids) - known.keys())
        if not new:
            return known
        counted = await self._counters.find_one_and_update(
            {"_id": _COUNTER}, {"$inc": {"last": len(new)}}, return_document=ReturnDocument.AFTER
        )
        assert counted is not None  # noqa: S101  (prepare made it)
        first = counted["last"] - len(new) + 1
        await bulk(
            self._numbers,
            [InsertOne({"_id": one, "number": number}) for number, one in enumerate(new, start=first)],
        )
        return await self._known(conversation_ids)

    async def _known(self, conversation_ids: Sequence[str]) -> dict[str, str]:
        found = self._numbers.find({"_id": {"$in": list(conversation_ids)}})
        return {row["_id"]: f"T-{row['number']:06d}" async for row in found}

    async def ticket(self, number: str) -> Ticket | None:
        """Return a ticket as it is shown."""
        document = await self.tickets.find_one({"_id": number, "erased": None})
        return ticket_of(document) if document else None

    async def task(self, task_id: str) -> Task | None:
        """Return a Task as it is shown."""
        document = await self.tasks.find_one({"_id": task_id})
        return task_of(document) if document else None


def ticket_of(document: Document) -> Ticket:
    """Return the ticket stored in a document."""
    return _TICKETS.validate_python(document["state"])


def task_of(document: Document) -> Task:
    """Return the Task stored in a document."""
    return _TASKS.validate_python(document["state"])


def kept_rows(item: Ticket | Task, version: int, now: datetime) -> list[Row]:
    """Return the rows that show a ticket or a Task as it is after the thread's change to `version`."""
    if isinstance(item, Task):
        return [_task_row(item, version, now)]
    document: Document = {
        "_id": item.number,
        "version": version,
        "home": item.home,
        "conversation_id": item.conversation_id,
        "reason": item.reason,
        "status": item.status,
        "assignee": item.assignee,
        "created_at": item.created_at,
        "state": _TICKETS.dump_python(item, mode="json"),
    }
    name = f"ticket:{item.number}:{version}"
    return [
        Row(id=f"{name}:new", at=now, collection="tickets", document=document, wave=1),
        Row(id=name, at=now, collection="tickets", document=document, how="patch", guard="version", wave=2),
    ]


def moved_rows(conversation: Conversation, version: int, now: datetime) -> list[Row]:
    """Return the row that lets a Conversation's ticket sit in its Inbox."""
    if conversation.ticket is None or conversation.merged_into is not None:
        return []
    document = {"_id": conversation.ticket, "inbox": conversation.inbox, "inbox_version": version}
    return [
        Row(
            id=f"ticket-inbox:{conversation.ticket}:{version}",
            at=now,
            collection="tickets",
            document=document,
            how="patch",
            guard="inbox_version",
            wave=3,
        )
    ]


def _task_row(task: Task, version: int, now: datetime) -> Row:
    document: Document = {
        "_id": task.id,
        "version": version,
        "home": task.home,
        "inbox": task.inbox,
        "status": task.status,
        "assignee": task.agent,
        "due_at": task.due_at,
        "created_at": task.created_at,
        "state": _TASKS.dump_python(task, mode="json"),
    }
    return Row(
        id=f"task:{task.id}:{version}",
        at=now,
        collection="tasks",
        document=document,
        how="replace",
        guard="version",
        wave=1,
    )
