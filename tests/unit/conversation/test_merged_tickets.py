"""Tickets and Tasks when two Customers become one, and part again."""

from dataclasses import replace

from schemas import ids
from schemas.tickets import TicketReason
from services.conversation.domain import merging, tasks, tickets
from services.conversation.domain.draft import Draft
from services.conversation.domain.merging import Merge
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.tickets import Numbered
from tests.unit.conversation.builders import INBOXES, at, draft, empty, message, received
from tests.unit.conversation.test_tasks import task

KEPT, GONE = "c-kept", "c-gone"
DONE = Merge("m-1", KEPT, GONE, 1, "lea", "asked")


def opened(customer: str, seconds: float = 0) -> Thread:
    return received(empty(customer), message(customer, customer=customer, seconds=seconds)).thread


def current(thread: Thread) -> Conversation:
    assert thread.current is not None
    return thread.current


def with_ticket(thread: Thread, number: str) -> Thread:
    change = draft(thread, 5)
    tickets.create(change, Numbered(number), current(thread).id, TicketReason.BUG, "ana", INBOXES)
    return change.thread


def with_task(thread: Thread, task_id: str) -> Thread:
    change = draft(thread, 5)
    made = replace(task(), id=task_id, home=thread.customer_id)
    tasks.add(change, made, assignee=None, force=False)
    return change.thread


def merged(survivor: Thread, absorbed: Thread) -> tuple[Draft, Draft]:
    into, gone = draft(survivor, 20, ids.derive("merge")), draft(absorbed, 20, ids.derive("gone"))
    merging.merge(into, gone, DONE)
    return into, gone


def parted(into: Draft, gone: Draft) -> tuple[Draft, Draft]:
    whole, back = draft(into.thread, 30, ids.derive("undo")), draft(gone.thread, 30, ids.derive("back"))
    merging.undo(whole, back, replace(DONE, n=2))
    return whole, back


def numbers(thread: Thread) -> list[str]:
    return sorted(each.number for each in thread.tickets)


def test_open_tickets_and_tasks_go_over_to_the_survivor_and_back_with_an_undo() -> None:
    survivor = with_task(with_ticket(opened(KEPT), "T-1"), "t-kept")
    absorbed = with_task(with_ticket(opened(GONE, 2), "T-2"), "t-gone")
    into, gone = merged(survivor, absorbed)
    assert numbers(into.thread) == ["T-1", "T-2"]
    assert sorted(each.id for each in into.thread.tasks) == ["t-gone", "t-kept"]
    assert (gone.thread.tickets, gone.thread.tasks) == ((), ())
    whole, back = parted(into, gone)
    assert (numbers(whole.thread), numbers(back.thread)) == (["T-1"], ["T-2"])
    assert [each.id for each in back.thread.tasks] == ["t-gone"]
    assert [each.id for each in whole.thread.tasks] == ["t-kept"]


def test_the_conversation_that_goes_on_has_the_ticket_of_the_other_until_they_part() -> None:
    survivor, absorbed = opened(KEPT), with_ticket(opened(GONE, 2), "T-2")
    into, gone = merged(survivor, absorbed)
    assert current(into.thread).ticket == "T-2"
    again = draft(into.thread, 25)
    tickets.create(again, Numbered("T-3"), current(into.thread).id, TicketReason.BUG, "ana", INBOXES)
    assert numbers(again.thread) == ["T-2"]
    whole, back = parted(into, gone)
    assert current(whole.thread).ticket is None
    assert current(back.thread).ticket == "T-2"


def test_its_own_ticket_stays_with_a_conversation_that_goes_back() -> None:
    survivor, absorbed = opened(KEPT, 2), with_ticket(opened(GONE), "T-2")
    into, gone = merged(survivor, absorbed)
    assert current(into.thread).id == current(absorbed).id
    whole, back = parted(into, gone)
    assert current(back.thread).ticket == "T-2"
    assert numbers(back.thread) == ["T-2"]
    assert whole.thread.current is None or whole.thread.current.ticket is None


def test_a_wish_for_a_conversation_that_ended_in_another_is_for_that_one() -> None:
    absorbed = opened(GONE, 2)
    wishing = draft(absorbed, 5)
    tickets.want(wishing, TicketReason.BUG, "rule:r")
    into, _ = merged(opened(KEPT), wishing.thread)
    (wish,) = into.thread.ticket_wishes
    assert (wish.conversation_id, wish.at) == (current(into.thread).id, at(5))
