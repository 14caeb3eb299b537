"""Tickets and Tasks on the MongoDB protocol: a crash at every step of a command, then the command again."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from schemas import ids
from schemas.tasks import TaskStatus
from schemas.tickets import TicketReason, TicketStatus
from schemas.topics import CONVERSATIONS_EVENTS, MESSAGES_OUTBOUND, ROUTING_COMMANDS
from services.chassis.auth import Principal, Role
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, connect
from services.chassis.problems import Problem
from services.chassis.settings import Settings
from services.conversation.access import Access
from services.conversation.domain import lifecycle, tickets
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.rules import ATTACH, ROUTE
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.store import Store
from services.conversation.tasks import Tasks
from services.conversation.ticket_inputs import TaskInput, TaskPatch, TicketPatch
from services.conversation.tickets import Tickets
from tests import crash
from tests.unit.conversation.builders import INBOXES, at, message
from tests.unit.conversation.test_tasks import grant, refuse

MOST_STEPS = 60
LEA = Principal("lea", frozenset({Role.LEAD}))
ANA = Principal("ana", frozenset({Role.AGENT}))


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    await Store(found, crash.Log()).prepare()
    yield found
    await found.client.close()


class Desk:
    """conversation, which may die, for one Customer."""

    def __init__(self, database: Database, customer: str, seconds: float = 5) -> None:
        self.database, self.customer = database, customer
        self.fuse = crash.Fuse(None)
        self.log = crash.Log(self.fuse)
        self.seconds = seconds
        shaky: Any = crash.Database(database, self.fuse)
        self.store = Store(shaky, self.log, lambda: at(self.seconds))
        self.threads = Threads(self.store, INBOXES, next_due, lambda: at(self.seconds))
        access = Access(self.store)
        self.tickets = Tickets(self.store, self.threads, access)
        self.tasks = Tasks(self.store, self.threads, access, decision_wait_seconds=5)

    async def write(self, key: str, seconds: float = 0) -> Conversation:
        item = message(f"{self.customer}-{key}", seconds=seconds, customer=self.customer)
        await self.threads.apply(ATTACH, [Delivery("t", 0, 0, item)])
        current = (await self.thread()).current
        assert current is not None
        return current

    async def thread(self) -> Thread:
        return (await self.store.load([self.customer]))[self.customer].thread

    async def due(self) -> int:
        found = await self.store.due(dict.fromkeys(range(12), at(self.seconds)), 500)
        return await self.threads.tick([item for item in found if item.thread.customer_id == self.customer])

    async def create(self, conversation: Conversation, command: UUID) -> tuple[str, bool]:
        ticket, new = await self.tickets.create(conversation, LEA, command, TicketReason.BUG)
        return ticket.number, new

    async def decide(self, decision: Any) -> None:
        await self.threads.apply(ROUTE, [Delivery("t", 0, 0, decision)])

    def records(self, topic: str) -> list[dict[str, Any]]:
        found = [json.loads(record.value) for record in self.log.records if record.topic == topic]
        return list({record["id"]: record for record in found}.values())

    def events(self, *types: str) -> list[dict[str, Any]]:
        return [event for event in self.records(CONVERSATIONS_EVENTS.name) if event["type"] in types]

    async def rows(self, kind: str) -> list[dict[str, Any]]:
        found = self.database["timeline"].find({"home": self.customer, "kind": kind}, sort=[("seq", 1)])
        return [row async for row in found]


def command_of(desk: Desk) -> UUID:
    return ids.derive("test", desk.customer)


async def with_a_crash_at_every_step(
    database: Database,
    prepare: Callable[[Desk], Awaitable[Any]],
    work: Callable[[Desk, Any], Awaitable[Any]],
    check: Callable[[Desk, Any], Awaitable[None]],
) -> None:
    """Let `work` die at each of its steps and be done again; `check` must hold afterwards."""
    crashes = 0
    for step in range(1, MOST_STEPS):
        desk = Desk(database, f"c{step}-{uuid4().hex[:6]}")
        prepared = await prepare(desk)
        desk.fuse.at, desk.fuse.steps = step, 0
        try:
            await work(desk, prepared)
        except crash.Crash:
            crashes += 1
            desk.fuse.at = None
            await work(desk, prepared)
            await check(desk, prepared)
        else:
            await check(desk, prepared)
            break
    assert crashes == desk.fuse.steps >= 6


async def test_a_crash_while_a_ticket_is_made_leaves_one_with_the_first_number(database: Database) -> None:
    async def check(desk: Desk, conversation: Conversation) -> None:
        (event,) = desk.events("ticket.created")
        number, new = await desk.create(conversation, command_of(desk))
        assert (number, new) == (event["data"]["number"], True)
        assert await desk.create(conversation, uuid4()) == (number, False)
        (sent,) = desk.records(MESSAGES_OUTBOUND.name)
        assert number in sent["personal"]["text"]
        assert len(await desk.rows("ticket")) == 1
        shown = await desk.database["tickets"].find_one({"_id": number})
        assert shown is not None
        assert (shown["inbox"], shown["status"]) == ("support", "open")
        found = await desk.store.conversation(conversation.id)
        assert found is not None
        assert found.ticket == number

    await with_a_crash_at_every_step(
        database,
        lambda desk: desk.write("m"),
        lambda desk, found: desk.create(found, command_of(desk)),
        check,
    )


async def test_a_crash_while_a_wish_is_fulfilled_leaves_one_ticket(database: Database) -> None:
    async def wish(desk: Desk) -> Conversation:
        conversation = await desk.write("m")
        await desk.threads.command(
            desk.customer,
            uuid4(),
            lambda draft: tickets.want(draft, TicketReason.INVESTIGATION, "rule:two-hours"),
        )
        return conversation

    async def fire(desk: Desk, _: Conversation) -> None:
        await desk.due()
        await desk.store.drain(await desk.store.left(list(range(12)), at(100), 500))

    async def check(desk: Desk, conversation: Conversation) -> None:
        (event,) = desk.events("ticket.created")
        assert event["data"]["by"] == "rule:two-hours"
        assert await desk.create(conversation, uuid4()) == (event["data"]["number"], False)
        assert await desk.due() == 0
        assert len(desk.records(MESSAGES_OUTBOUND.name)) == 1

    await with_a_crash_at_every_step(database, wish, fire, check)


async def test_who_asks_at_once_gets_one_number(database: Database) -> None:
    desk, other = Desk(database, "both"), Desk(database, "both")
    conversation = await desk.write("m")
    made = await asyncio.gather(*(each.create(conversation, uuid4()) for each in (desk, other) * 3))
    assert len({number for number, _ in made}) == 1
    assert [new for _, new in made].count(True) == 1


async def test_numbers_grow_and_are_never_given_twice(database: Database) -> None:
    kept = Desk(database, "any").store.kept
    one = await kept.numbers(["first"])
    many = await asyncio.gather(*(kept.numbers([f"n{n}", f"m{n}"]) for n in range(15)))
    given = [number for each in many for number in each.values()]
    assert len(set(given)) == 30
    assert one["first"] == "T-000001" < min(given)
    assert (await kept.numbers(["first", "n3"]))["n3"] == many[3]["n3"]


async def test_an_old_conversation_gets_its_ticket_too(database: Database) -> None:
    desk = Desk(database, "old")
    first = await desk.write("m1")
    await desk.threads.command(desk.customer, uuid4(), lambda draft: lifecycle.close(draft, confirmed=None))
    newer = await desk.write("m2", seconds=200_000)
    assert newer.id != first.id
    number, new = await desk.create(first, uuid4())
    assert new
    assert await desk.create(first, uuid4()) == (number, False)
    found, current = await desk.store.conversation(first.id), (await desk.thread()).current
    assert found is not None
    assert current is not None
    assert (found.ticket, current.ticket) == (number, None)


async def test_a_resolved_ticket_is_opened_again_as_it_was_left(database: Database) -> None:
    desk = Desk(database, "again")
    number, _ = await desk.create(await desk.write("m"), uuid4())
    patches = (
        TicketPatch(assignee="ben"),
        TicketPatch(status=TicketStatus.RESOLVED),
        TicketPatch(status=TicketStatus.PENDING),
    )
    for patch in patches:
        await desk.tickets.change(number, LEA, uuid4(), patch)
    (ticket,) = (await desk.thread()).tickets
    assert (ticket.status, ticket.assignee, ticket.resolved_at) == ("pending", "ben", None)
    assert [row["change"] for row in await desk.rows("ticket")] == ["created", *["changed"] * 3]


async def test_a_ticket_follows_its_conversation_to_another_inbox(database: Database) -> None:
    desk = Desk(database, "moves")
    number, _ = await desk.create(await desk.write("m"), uuid4())
    await desk.tickets.change(number, LEA, uuid4(), TicketPatch(status=TicketStatus.RESOLVED))
    await desk.threads.command(
        desk.customer, uuid4(), lambda draft: lifecycle.transfer_to_inbox(draft, INBOXES["vip"], by="lea")
    )
    shown = await database["tickets"].find_one({"_id": number})
    assert shown is not None
    assert (shown["inbox"], shown["status"]) == ("vip", "resolved")
    with pytest.raises(Problem) as hidden:
        await desk.tickets.seen(ANA, number)
    assert hidden.value.status == 404


async def test_a_crash_anywhere_in_a_tasks_life_loses_and_doubles_nothing(database: Database) -> None:
    async def live(desk: Desk, _: object) -> None:
        command = command_of(desk)
        await desk.tasks.create(desk.customer, LEA, command, TaskInput(title="Call back", inbox="support"))
        held = (await desk.thread()).tasks
        if held and held[0].agent is None:
            await desk.decide(granted(desk, held[0].routing.epoch, task=held[0].id))
        task_id = str(ids.derive("task", command))
        done = TaskPatch(status=TaskStatus.DONE)
        await desk.tasks.change(task_id, LEA, ids.derive("done", command), done)

    async def check(desk: Desk, _: object) -> None:
        rows = await desk.rows("task")
        assert [row["change"] for row in rows] == ["created", "changed", "changed"]
        assert [event["data"]["status"] for event in desk.events("task.created", "task.changed")] == [
            "open",
            "open",
            "done",
        ]
        commands = [record["type"] for record in desk.records(ROUTING_COMMANDS.name)]
        assert commands == ["routing.request", "routing.release"]
        task = await desk.tasks.seen(LEA, rows[0]["task_id"])
        assert (task.status, task.agent) == ("done", "ana")
        assert (await desk.thread()).tasks == ()
        thread = await desk.database["threads"].find_one({"_id": desk.customer})
        assert thread is not None
        assert thread["outbox"] == []

    async def nothing(_: Desk) -> None:
        return None

    await with_a_crash_at_every_step(database, nothing, live, check)


def granted(desk: Desk, epoch: int, agent: str = "ana", *, n: int = 1, task: str | None = None) -> Any:
    found = grant(Thread(desk.customer), agent, n=n, epoch=epoch)
    data = found.data.model_copy(update={"conversation_id": task} if task else {})
    own = {"id": ids.derive("grant", desk.customer, n), "customer_id": desk.customer, "home": desk.customer}
    return found.model_copy(update={**own, "data": data})


async def named(desk: Desk, command: UUID) -> asyncio.Task[Any]:
    """Return the making of a Task for ana, once the router has been asked."""
    asked = TaskInput(title="Call back", inbox="support", assignee="ana")
    making = asyncio.create_task(desk.tasks.create(desk.customer, LEA, command, asked))
    while not (await desk.thread()).tasks:
        await asyncio.sleep(0.01)
    return making


async def test_a_named_assignee_gets_the_task_when_the_router_says_so(database: Database) -> None:
    desk, command = Desk(database, "named"), uuid4()
    making = await named(desk, command)
    (held,) = (await desk.thread()).tasks
    with pytest.raises(Problem):
        await desk.tasks.seen(LEA, held.id)
    await desk.decide(granted(desk, held.routing.epoch, task=held.id))
    assert (await making).agent == "ana"
    asked = TaskInput(title="Call back", inbox="support", assignee="ana")
    assert (await desk.tasks.create(desk.customer, LEA, command, asked)).id == held.id
    assert len(await desk.rows("task")) == 1


async def test_a_refused_assignee_leaves_no_task(database: Database) -> None:
    desk, command = Desk(database, "refused"), uuid4()
    making = await named(desk, command)
    (held,) = (await desk.thread()).tasks
    no = refuse(Thread(desk.customer), command)
    data = no.data.model_copy(update={"conversation_id": held.id})
    own = {"customer_id": desk.customer, "home": desk.customer}
    await desk.decide(no.model_copy(update={**own, "data": data}))
    with pytest.raises(Problem) as refusal:
        await making
    assert refusal.value.status == 409
    assert await desk.rows("task") == []
    desk.seconds += 60
    assert await desk.due() == 1
    assert (await desk.thread()).tasks == ()
    assert await desk.database["tasks"].find_one({"_id": held.id}) is None


async def test_a_finished_task_is_opened_again_from_what_is_shown(database: Database) -> None:
    desk = Desk(database, "reopened")
    task = await desk.tasks.create(desk.customer, LEA, uuid4(), TaskInput(title="Call back", inbox="support"))
    for patch in (
        TaskPatch(status=TaskStatus.CANCELLED),
        TaskPatch(status=TaskStatus.OPEN, title="Write back"),
        TaskPatch(status=TaskStatus.DONE),
    ):
        await desk.tasks.change(task.id, LEA, uuid4(), patch)
    with pytest.raises(Problem) as refusal:
        await desk.tasks.change(task.id, LEA, uuid4(), TaskPatch(title="Too late"))
    assert (refusal.value.status, refusal.value.body["state"]) == (409, "done")
    again = await desk.tasks.change(task.id, LEA, uuid4(), TaskPatch(status=TaskStatus.OPEN))
    assert (again.title, again.routing.epoch) == ("Write back", 3)
    assert (await desk.tasks.change(task.id, LEA, uuid4(), TaskPatch(status=TaskStatus.OPEN))) == again


async def test_a_task_is_due_once_over_restarts(database: Database) -> None:
    desk = Desk(database, "due", seconds=0)
    asked = TaskInput(title="Call back", inbox="support", due_at=at(50))
    await desk.tasks.create(desk.customer, LEA, uuid4(), asked)
    for seconds in (60, 70):
        again = Desk(database, "due", seconds)
        again.log.records = desk.log.records
        await again.due()
    assert len(desk.events("task.due")) == 1
