"""Tickets: one a Conversation, told to the Customer where that is allowed, and open after the close."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.common import Channel
from schemas.conversations import Status, TicketChanged, TicketCreated
from schemas.outbound import MessageSend
from schemas.tickets import TicketLink, TicketReason, TicketStatus
from services.chassis.inboxes import Inbox
from services.conversation.domain import lifecycle, tickets
from services.conversation.domain.consent import Line, take
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.model import Consent, Conversation, Thread
from services.conversation.domain.ticket import MOST_TICKETS, Ticket
from services.conversation.domain.tickets import Numbered
from services.conversation.domain.timers import next_due, tick
from tests.unit.conversation.builders import INBOXES, at, commands, draft, empty, message, received

NUMBER = Numbered("T-000123")


def opened(**fields: Any) -> Thread:
    return received(empty(), message("m1", **fields)).thread


def current(thread: Thread) -> Conversation:
    assert thread.current is not None
    return thread.current


def made(thread: Thread, seconds: float = 10, inboxes: Any = INBOXES, numbered: Numbered = NUMBER) -> Draft:
    change = draft(thread, seconds)
    tickets.create(change, numbered, current(thread).id, TicketReason.BUG, "ana", inboxes)
    return change


def rows(change: Draft) -> list[dict[str, Any]]:
    return [item.fields for item in change.caused if isinstance(item, TimelineRow) and item.kind == "ticket"]


def only(thread: Thread) -> Ticket:
    (ticket,) = thread.tickets
    return ticket


def test_a_ticket_is_told_to_the_customer_where_they_last_wrote() -> None:
    change = made(opened())
    (event,) = commands(change, TicketCreated)
    (sent,) = commands(change, MessageSend)
    assert (event.data.number, event.data.reason, event.data.by) == ("T-000123", "bug", "ana")
    assert event.data.notice == sent.data.message_id == only(change.thread).notice
    assert "T-000123" in sent.personal.text
    assert sent.data.automatic
    assert current(change.thread).ticket == "T-000123"
    assert rows(change)[0]["change"] == "created"


def test_a_conversation_has_one_ticket_at_most() -> None:
    once = made(opened()).thread
    again = made(once, 20, numbered=Numbered("T-000124"))
    assert again.caused == []
    assert only(again.thread).number == "T-000123"


def test_the_ticket_stays_open_when_its_conversation_closes() -> None:
    change = draft(made(opened()).thread, 20)
    lifecycle.close(change, confirmed=True)
    assert current(change.thread).status is Status.CLOSED
    assert only(change.thread).status is TicketStatus.OPEN


def test_who_has_opted_out_is_not_told_and_the_ticket_says_so() -> None:
    change = draft(opened(), 5)
    route = change.thread.routes[Channel.SMS]
    line = Line(route.provider, route.account, Channel.SMS, route.address)
    take(change, line, Consent(opted_out=True, at=at(5), source="customer"), "support")
    after = made(change.thread)
    assert commands(after, MessageSend) == []
    assert only(after.thread).not_told == "opted_out"
    assert rows(after)[0]["not_told"] == "opted_out"


def test_outside_the_window_of_whatsapp_nothing_is_sent() -> None:
    thread = opened(channel=Channel.WHATSAPP)
    day = timedelta(hours=24).total_seconds()
    assert only(made(thread, day - 1).thread).not_told is None
    assert only(made(thread, day).thread).not_told == "outside_window"


def test_who_only_called_is_not_told() -> None:
    after = made(replace(opened(), ways=()))
    assert commands(after, MessageSend) == []
    assert only(after.thread).not_told == "no_address"


def test_the_words_are_the_inboxs() -> None:
    inboxes = {"support": Inbox(name="support", ticket_notice="Vorgang {number}")}
    (sent,) = commands(made(opened(), inboxes=inboxes), MessageSend)
    assert sent.personal.text == "Vorgang T-000123"
    silent = {"support": Inbox(name="support", ticket_notice="")}
    assert only(made(opened(), inboxes=silent).thread).not_told == "switched_off"


def test_words_without_the_number_are_no_setting() -> None:
    with pytest.raises(ValueError, match="ticket_notice"):
        Inbox(name="support", ticket_notice="You have a ticket")


def test_a_change_says_what_was_before_and_who_did_it() -> None:
    thread = made(opened()).thread
    change = draft(thread, 30)
    link = TicketLink(system="jira", url="https://jira.example/PAR-7", id="PAR-7")
    tickets.change(change, only(thread), current(thread), "ben", status=TicketStatus.PENDING, links=(link,))
    (event,) = commands(change, TicketChanged)
    assert event.data.changed == ("status", "links")
    assert event.data.before is not None
    assert (event.data.before.status, event.data.status, event.data.by) == ("open", "pending", "ben")
    (row,) = rows(change)
    assert row["before"] == {"status": "open", "links": []}
    assert row["after"]["links"] == [link.model_dump()]


def test_a_change_to_the_same_is_none() -> None:
    thread = made(opened()).thread
    change = draft(thread, 30)
    tickets.change(change, only(thread), current(thread), "ben", status=TicketStatus.OPEN)
    assert change.caused == []


def test_a_resolved_ticket_leaves_the_thread_and_comes_back_when_it_is_opened() -> None:
    thread = made(opened()).thread
    done = draft(thread, 30)
    tickets.change(done, only(thread), current(thread), "ben", status=TicketStatus.RESOLVED)
    assert done.thread.tickets == ()
    ticket = done.kept["T-000123"]
    assert isinstance(ticket, Ticket)
    assert ticket.resolved_at == at(30)
    again = draft(done.thread, 40)
    tickets.change(again, ticket, current(thread), "ben", status=TicketStatus.OPEN)
    assert only(again.thread).resolved_at is None


def test_a_wish_of_a_rule_is_due_at_once_and_made_by_the_timers() -> None:
    change = draft(opened(), 10)
    tickets.want(change, TicketReason.INVESTIGATION, "rule:two-hours")
    tickets.want(change, TicketReason.BUG, "rule:other")
    thread = change.thread
    assert next_due(thread, INBOXES) == at(10)
    fired = draft(thread, 11)
    tick(fired, INBOXES, {current(thread).id: NUMBER})
    assert only(fired.thread).created_by == "rule:two-hours"
    assert fired.thread.ticket_wishes == ()
    assert next_due(fired.thread, INBOXES) != at(10)


def test_a_wish_outlives_the_conversation_it_was_for() -> None:
    change = draft(opened(), 10)
    tickets.want(change, TicketReason.INVESTIGATION, "rule:two-hours")
    lifecycle.close(change, confirmed=None)
    old = current(change.thread)
    later = received(change.thread, message("m2", seconds=100_000)).thread
    assert current(later).id != old.id
    fired = draft(later, 100_001)
    tick(fired, INBOXES, {old.id: replace(NUMBER, about=old)})
    assert only(fired.thread).conversation_id == old.id
    assert [each.ticket for each in fired.displaced] == ["T-000123"]
    assert current(fired.thread).ticket is None


def test_a_wish_for_one_that_has_a_ticket_by_now_is_forgotten_and_saved() -> None:
    change = draft(opened(), 10)
    tickets.want(change, TicketReason.INVESTIGATION, "rule:two-hours")
    thread = made(change.thread).thread
    assert thread.ticket_wishes == ()
    fired = draft(replace(thread, ticket_wishes=change.thread.ticket_wishes), 20)
    tick(fired, INBOXES, {current(thread).id: NUMBER})
    assert (fired.caused, fired.inward, fired.thread.ticket_wishes) == ([], True, ())


def test_a_customer_has_so_many_open_tickets_at_most() -> None:
    thread = made(opened()).thread
    many = tuple(replace(only(thread), number=f"T-{n}") for n in range(MOST_TICKETS))
    assert not tickets.full(draft(thread, 20))
    assert tickets.full(draft(replace(thread, tickets=many), 20))
