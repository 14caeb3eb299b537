"""Tasks: routed by themselves, told on the timeline, due once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from schemas import ids
from schemas import routing as contract
from schemas.conversations import TaskChanged, TaskCreated, TaskDue
from schemas.tasks import TaskStatus
from services.conversation.domain import decisions, tasks
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.model import Thread
from services.conversation.domain.routed import Routing
from services.conversation.domain.task import MOST_TASKS, Task
from services.conversation.domain.tasks import Asked
from services.conversation.domain.timers import RESEND_FIRST, next_due, tick
from tests.unit.conversation.builders import CUSTOMER, INBOXES, at, commands, draft, empty


def task(**fields: Any) -> Task:
    common = {
        "inbox": "support",
        "routing": Routing("main"),
        "title": "Call back",
        "text": "about the parcel",
    }
    return Task("t-1", CUSTOMER, created_at=at(0), updated_at=at(0), created_by="lea", **{**common, **fields})


def added(
    thread: Thread | None = None, *, assignee: str | None = None, force: bool = False, **fields: Any
) -> Draft:
    change = draft(thread or empty(), 0)
    tasks.add(change, task(**fields), assignee=assignee, force=force)
    return change


def only(thread: Thread) -> Task:
    (found,) = thread.tasks
    return found


def decision(model: type[Any], data: type[Any], thread: Thread, n: int, **fields: Any) -> Any:
    routing = only(thread).routing if thread.tasks else Routing("main", epoch=1, current=1)
    common = {"pool": routing.pool, "n": n, "conversation_id": "t-1", "kind": "task"}
    epoch = {"epoch": fields.pop("epoch", routing.epoch)}
    return model(
        id=ids.derive("decision", n),
        occurred_at=at(n),
        correlation=ids.derive("x"),
        customer_id=CUSTOMER,
        home=CUSTOMER,
        seq=n,
        data=data(**common, **epoch, **fields),
    )


def grant(thread: Thread, agent: str = "ana", *, n: int = 1, **fields: Any) -> Any:
    why = contract.Explanation(policy="least_loaded", why="only_one")
    fields = {"reason": "push", **fields}
    return decision(
        contract.RoutingGranted, contract.GrantData, thread, n, agent=agent, explanation=why, **fields
    )


def refuse(thread: Thread, command: object) -> Any:
    fields = {"agent": "ana", "command_id": command, "reason": "full", "detail": "ana has 5 of 5"}
    return decision(contract.RoutingRefused, contract.RefusalData, thread, 1, **fields)


def applied(thread: Thread, item: Any) -> Draft:
    change = Draft(thread, item.id, item.correlation, item.occurred_at, CUSTOMER)
    decisions.apply(change, item)
    return change


def changed(thread: Thread, seconds: float = 20, asked: Asked | None = None, **fields: Any) -> Draft:
    change = draft(thread, seconds)
    tasks.change(change, only(thread), "ben", asked or Asked(), **fields)
    return change


def assigned(agent: str = "ana", **fields: Any) -> Thread:
    thread = added(**fields).thread
    return applied(thread, grant(thread, agent)).thread


def rows(change: Draft) -> list[TimelineRow]:
    return [item for item in change.caused if isinstance(item, TimelineRow)]


def test_a_task_needs_no_conversation_and_asks_the_router_for_an_agent() -> None:
    change = added(due_at=at(3600), priority=2)
    (request,) = commands(change, contract.RoutingRequest)
    data = request.data
    assert (data.kind, data.conversation_id, data.channel) == ("task", "t-1", None)
    assert (data.channel_class, data.due_at, data.priority) == ("tasks", at(3600), 2)
    (event,) = commands(change, TaskCreated)
    assert (event.data.task_id, event.data.by, event.personal.title) == ("t-1", "lea", "Call back")
    (row,) = rows(change)
    assert (row.kind, row.conversation_id, row.fields["change"]) == ("task", None, "created")


def test_a_grant_makes_the_agent_the_assignee() -> None:
    thread = added().thread
    change = applied(thread, grant(thread))
    assert only(change.thread).agent == "ana"
    (event,) = commands(change, TaskChanged)
    assert (event.data.changed, event.data.reason, event.data.assignee) == (("assignee",), "push", "ana")
    assert rows(change)[0].fields["before"] == {"assignee": None}
    assert applied(change.thread, grant(thread)).caused == []


def test_a_named_assignee_has_the_task_only_once_the_router_says_so() -> None:
    change = added(assignee="ana")
    (command,) = commands(change, contract.RoutingAssign)
    assert (command.data.agent, command.data.channel_class) == ("ana", "tasks")
    assert commands(change, TaskCreated) == []
    assert change.kept == {}
    yes = applied(change.thread, grant(change.thread, reason="transfer"))
    (event,) = commands(yes, TaskCreated)
    assert (event.data.assignee, event.data.by) == ("ana", "lea")
    assert not only(yes.thread).proposed


def test_a_task_that_its_agent_cannot_have_never_comes_to_be() -> None:
    change = added(assignee="ana")
    no = applied(change.thread, refuse(change.thread, change.cause))
    assert no.caused == []
    assert next_due(no.thread, INBOXES) == at(60)
    later = draft(no.thread, 60)
    tick(later, INBOXES)
    assert (later.thread.tasks, later.inward, later.kept) == ((), True, {})


def test_a_lost_agent_lets_it_wait_again_under_its_epoch() -> None:
    thread = assigned()
    lost = decision(
        contract.RoutingUnassigned, contract.UnassignData, thread, 2, agent="ana", reason="signed_off"
    )
    change = applied(thread, lost)
    assert only(change.thread).agent is None
    assert only(change.thread).routing.ahead
    (event,) = commands(change, TaskChanged)
    assert event.data.reason == "signed_off"
    again = applied(change.thread, grant(change.thread, "ben", n=3))
    assert only(again.thread).agent == "ben"


@pytest.mark.parametrize("status", [TaskStatus.DONE, TaskStatus.CANCELLED])
def test_what_is_finished_gives_its_room_back_and_leaves_the_thread(status: TaskStatus) -> None:
    change = changed(assigned(), asked=Asked(status=status))
    (release,) = commands(change, contract.RoutingRelease)
    assert (release.data.kind, release.data.epoch) == ("task", 1)
    assert change.thread.tasks == ()
    kept = change.kept["t-1"]
    assert isinstance(kept, Task)
    assert (kept.status, kept.agent, kept.finished_at) == (status, "ana", at(20))


def test_a_finished_task_is_opened_again_preferring_who_had_it() -> None:
    done = changed(assigned(), asked=Asked(status=TaskStatus.DONE))
    kept = done.kept["t-1"]
    assert isinstance(kept, Task)
    again = draft(done.thread, 30)
    tasks.change(again, kept, "ben", Asked(status=TaskStatus.OPEN))
    (request,) = commands(again, contract.RoutingRequest)
    assert (request.data.epoch, request.data.preferred_agent) == (2, "ana")
    assert (only(again.thread).agent, only(again.thread).status) == (None, "open")


def test_a_late_grant_of_a_finished_task_is_given_back() -> None:
    thread = added().thread
    done = changed(thread, asked=Asked(status=TaskStatus.DONE)).thread
    (release,) = commands(applied(done, grant(thread)), contract.RoutingRelease)
    assert (release.data.reason, release.data.kind) == ("stale", "task")


def test_a_changed_priority_or_due_time_is_asked_anew_at_the_old_age() -> None:
    change = changed(added().thread, priority=3, due_at=at(99))
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.epoch, request.data.requested_at, request.data.due_at) == (2, at(0), at(99))
    assert commands(changed(assigned(), priority=3), contract.RoutingRequest) == []


def test_another_inbox_of_another_pool_is_asked_after_the_first_let_go() -> None:
    change = changed(assigned(), asked=Asked(inbox=INBOXES["vip"]))
    (release,) = commands(change, contract.RoutingRelease)
    assert release.data.pool == "main"
    assert commands(change, contract.RoutingRequest) == []
    assert (only(change.thread).inbox, only(change.thread).agent) == ("vip", None)
    let_go = decision(
        contract.RoutingReleased, contract.ReleasedData, change.thread, 4, epoch=release.data.epoch
    )
    let_go = let_go.model_copy(update={"data": let_go.data.model_copy(update={"pool": "main"})})
    (request,) = commands(applied(change.thread, let_go), contract.RoutingRequest)
    assert (request.data.pool, request.data.inbox) == ("vip", "vip")


def test_an_unassigned_task_waits_ahead_and_its_agent_is_not_asked_at_once() -> None:
    change = changed(assigned(), asked=Asked(unassign=True))
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.avoid_agent, request.data.ahead) == ("ana", True)


def test_new_words_are_told_with_the_old_ones() -> None:
    change = changed(added().thread, title="Write back", text="")
    (event,) = commands(change, TaskChanged)
    assert event.data.changed == ("title", "text")
    assert event.personal.before is not None
    assert (event.personal.before.title, event.personal.title) == ("Call back", "Write back")
    assert rows(change)[0].fields["before"] == {"title": "Call back", "text": "about the parcel"}


def test_a_change_to_the_same_is_told_to_nobody() -> None:
    assert changed(added().thread, title="Call back").caused == []


def fired(thread: Thread, moment: datetime) -> Draft:
    change = Draft(thread, ids.derive("timer", moment), ids.derive("timer", moment), moment, CUSTOMER)
    tick(change, INBOXES)
    return change


def test_a_task_is_due_once_and_again_for_a_new_due_time() -> None:
    thread = assigned(due_at=at(100))
    assert next_due(thread, INBOXES) == at(100)
    assert commands(fired(thread, at(99)), TaskDue) == []
    change = fired(thread, at(100))
    assert len(commands(change, TaskDue)) == 1
    assert next_due(change.thread, INBOXES) is None
    assert commands(fired(change.thread, at(101)), TaskDue) == []
    moved = changed(change.thread, 110, due_at=at(200)).thread
    assert next_due(moved, INBOXES) == at(200)


@pytest.mark.parametrize("thread", [added, lambda: draft(assigned(), 0)])
def test_only_what_waits_is_asked_for_again(thread: Callable[[], Draft]) -> None:
    waiting = thread().thread
    later = fired(waiting, at(0) + RESEND_FIRST)
    asked = [item.data.epoch for item in commands(later, contract.RoutingRequest)]
    assert asked == ([1] if only(waiting).waits else [])


def test_a_customer_has_so_many_open_tasks_at_most() -> None:
    thread = added().thread
    many = tuple(replace(only(thread), id=str(n)) for n in range(MOST_TASKS))
    assert not tasks.full(draft(thread, 1))
    assert tasks.full(draft(replace(thread, tasks=many), 1))
