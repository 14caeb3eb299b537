"""What the router lets wait in, or serves from, another Inbox belongs there: Conversations and Tasks."""

import pytest

from schemas import ids
from schemas import routing as contract
from schemas.conversations import ConversationAssigned, ConversationTransferred, Status, TaskChanged
from services.conversation.domain import decisions, routing, tasks
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.routed import Routing
from services.conversation.domain.task import Task
from tests.unit.conversation.builders import CUSTOMER, at, commands, draft, empty, grant, message, received


def applied(thread: Thread, item: contract.RoutingGranted | contract.RoutingOverflowed) -> Draft:
    change = Draft(thread, item.id, item.correlation, item.occurred_at, CUSTOMER)
    decisions.apply(change, item)
    return change


def current(change: Draft) -> Conversation:
    assert change.thread.current is not None
    return change.thread.current


def overflowed(
    what: str, n: int = 1, epoch: int = 1, kind: contract.Kind = None
) -> contract.RoutingOverflowed:
    return contract.RoutingOverflowed(
        id=ids.derive("decision", "main", n),
        occurred_at=at(n),
        correlation=ids.derive("x"),
        customer_id=CUSTOMER,
        home=CUSTOMER,
        seq=n,
        data=contract.OverflowData(
            pool="main",
            n=n,
            conversation_id=what,
            epoch=epoch,
            kind=kind,
            inbox="fallback",
            before="support",
            detail="nobody could",
        ),
    )


def waiting() -> Thread:
    return received(empty(), message(1)).thread


def test_what_overflows_waits_in_the_fallback_and_the_timeline_says_so() -> None:
    thread = waiting()
    assert thread.current is not None
    change = applied(thread, overflowed(thread.current.id))
    assert (current(change).inbox, current(change).status) == ("fallback", Status.NEW)
    [event] = commands(change, ConversationTransferred)
    assert (event.data.inbox, event.data.before, event.data.by, event.data.reason) == (
        "fallback",
        "support",
        None,
        "overflow",
    )
    [row] = [item for item in change.caused if isinstance(item, TimelineRow)]
    assert (row.kind, row.fields["inbox"], row.fields["before"]) == ("assignment", "fallback", "support")
    assert not commands(change, contract.RoutingRequest)


def test_an_overflow_that_is_repeated_stale_or_of_another_pool_changes_nothing() -> None:
    thread = waiting()
    assert thread.current is not None
    item = overflowed(thread.current.id, n=3)
    once = applied(thread, item).thread
    assert applied(once, item).caused == []
    assert applied(thread, overflowed(thread.current.id, epoch=9)).caused == []
    elsewhere = item.model_copy(update={"data": item.data.model_copy(update={"pool": "vip"})})
    assert applied(thread, elsewhere).caused == []
    assert applied(thread, overflowed("unknown")).caused == []


@pytest.mark.parametrize("inbox", ["fallback", "support", None])
def test_a_grant_moves_it_to_the_inbox_it_is_served_from(inbox: str | None) -> None:
    thread = waiting()
    given = grant(thread)
    given = given.model_copy(update={"data": given.data.model_copy(update={"inbox": inbox})})
    change = applied(thread, given)
    assert current(change).inbox == (inbox or "support")
    assert (current(change).status, current(change).agent) == (Status.OPEN, "ana")
    moved = commands(change, ConversationTransferred)
    assert len(moved) == (inbox == "fallback")
    [assigned] = commands(change, ConversationAssigned)
    assert assigned.data.inbox == current(change).inbox


def test_a_grant_by_name_leaves_it_where_it_is() -> None:
    thread = waiting()
    change = draft(thread, 5, "take")
    routing.assign(change, "lea", "take", force=True)
    given = grant(change.thread, "lea", epoch=2, reason="take")
    given = given.model_copy(update={"data": given.data.model_copy(update={"inbox": "fallback"})})
    assert current(applied(change.thread, given)).inbox == "support"


def test_a_task_goes_to_the_inbox_too() -> None:
    change = draft(empty(), 0)
    task = Task(
        "t-1",
        CUSTOMER,
        inbox="support",
        routing=Routing("main"),
        title="Call back",
        text="",
        created_at=at(0),
        updated_at=at(0),
        created_by="lea",
    )
    tasks.add(change, task, assignee=None, force=False)
    moved = applied(change.thread, overflowed("t-1", kind="task"))
    [kept] = moved.thread.tasks
    assert kept.inbox == "fallback"
    [told] = commands(moved, TaskChanged)
    assert (told.data.reason, told.data.changed, told.data.inbox) == ("overflow", ("inbox",), "fallback")
