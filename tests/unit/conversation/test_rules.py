"""Rules: when this event and these conditions, then these actions; in the same change, and never twice."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.calls import CallChoice, CallWords, SpokenChoice
from schemas.common import Channel
from schemas.conversations import (
    ConversationEvent,
    ConversationStatusChanged,
    ConversationTransferred,
    MessageAdded,
    NoteAdded,
    PriorityChanged,
    Status,
    TopicsChanged,
)
from schemas.outbound import MessageSend
from schemas.routing import RoutingRelease, RoutingRequest
from services.conversation.domain import decisions, lifecycle
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.model import Thread
from services.conversation.domain.ruled import FRESH
from services.conversation.domain.ruling.definition import NONE, Rules
from services.conversation.domain.ruling.matching import next_due
from tests.unit.conversation.builders import INBOXES, at, commands, draft, empty, grant, message
from tests.unit.conversation.ruled import done, fired, heard, names, rules, ticked
from tests.unit.conversation.test_calling import word

LABEL = rules("[{name: damaged, when: message, if: {text: broken}, then: {topic: returns/damaged}}]")


def opened(given: Rules = NONE, text: str = "hi there, it is me") -> Thread:
    return heard(empty(), message(0, text), given).thread


def with_agent(thread: Thread, given: Rules = NONE) -> Thread:
    decision = grant(thread)
    change = Draft(thread, decision.id, decision.id, at(1), thread.customer_id)
    assert decisions.apply(change, decision)
    return done(change.thread, 1, given, lambda _: None).thread


def rows(change: Draft, kind: str) -> list[TimelineRow]:
    return [each for each in change.caused if isinstance(each, TimelineRow) and each.kind == kind]


# --- what is done ---------------------------------------------------------------------------------


def test_a_topic_is_added_in_the_change_that_the_rule_answers_to_and_shows_the_rule() -> None:
    change = heard(empty(), message(1, "It is BROKEN!"), LABEL)
    assert change.conversation.topics == ("returns/damaged",)
    (topics,) = commands(change, TopicsChanged)
    assert (topics.data.rule, topics.causation) == ("damaged", message(1).id)
    (row,) = rows(change, "topic")
    assert row.fields["rule"] == "damaged"
    (told,) = fired(change)
    assert told.data.model_dump(include={"rule", "event", "actions", "refused"}) == {
        "rule": "damaged",
        "event": "message",
        "actions": ("topic",),
        "refused": {},
    }
    assert all(
        each.data.rule is None
        for each in change.caused
        if isinstance(each, MessageAdded | ConversationStatusChanged)
    )


def test_the_same_message_judged_again_causes_the_same_ids() -> None:
    given = rules(
        "[{name: all, when: opened, then: {topic: a, priority: 2, inbox: vip, note: see, reply: hello}}]"
    )
    first, again = (heard(empty(), message(1), given) for _ in range(2))
    assert first.caused == again.caused
    identities = [each.id for each in first.caused]
    assert len(set(identities)) == len(identities)
    assert first.thread == again.thread


def test_what_a_new_conversation_gets_is_asked_of_the_router_once() -> None:
    given = rules("[{name: r, when: opened, then: {priority: 3, skills: {billing: 2}}}]")
    change = heard(empty(), message(1), given)
    (request,) = commands(change, RoutingRequest)
    assert (request.data.priority, request.data.skills) == (3, {"billing": 2})
    assert request.data.epoch == change.conversation.routing.current
    assert request.data.requested_at == at(0)
    (priority,) = commands(change, PriorityChanged)
    assert priority.data.rule == "r"


def test_a_queued_request_is_made_anew_with_its_age_when_a_rule_raises_its_priority() -> None:
    thread = opened()
    given = rules("[{name: r, when: message, if: {text: urgent}, then: {priority: 5}}]")
    change = heard(thread, message(1, "this is urgent", seconds=60), given)
    (request,) = commands(change, RoutingRequest)
    assert (request.data.priority, request.data.requested_at) == (5, at(0))


def test_another_pool_is_asked_only_after_the_first_confirms_that_it_has_nothing() -> None:
    given = rules("[{name: r, when: opened, then: {inbox: vip}}]")
    change = heard(empty(), message(1), given)
    assert commands(change, RoutingRequest) == []
    (release,) = commands(change, RoutingRelease)
    assert (release.data.pool, change.conversation.routing.leaving) == ("main", "main")
    (moved,) = commands(change, ConversationTransferred)
    assert (moved.data.before, moved.data.inbox, moved.data.rule) == ("support", "vip", "r")
    assert rows(change, "assignment")[0].fields["rule"] == "r"


def test_a_note_is_the_rules() -> None:
    change = heard(empty(), message(1), rules("[{name: r, when: opened, then: {note: ask for the number}}]"))
    (note,) = commands(change, NoteAdded)
    assert (note.data.author, note.data.rule, note.personal.text) == ("rule:r", "r", "ask for the number")
    (row,) = rows(change, "note")
    assert (row.fields["agent"], row.fields["rule"]) == (None, "r")


def test_a_reply_is_sent_as_automatic_and_leaves_the_customer_waiting_for_an_answer() -> None:
    change = heard(empty(), message(1), rules("[{name: r, when: opened, then: {reply: soon}}]"))
    (sent,) = commands(change, MessageSend)
    assert (sent.personal.text, sent.data.automatic, sent.data.agent) == ("soon", True, None)
    contact = change.conversation.contacts[0]
    assert (contact.last_ours, contact.answered, change.conversation.answered) == (False, False, False)
    added = [each for each in commands(change, MessageAdded) if each.data.direction == "outbound"]
    assert [each.data.rule for each in added] == ["r"]
    assert added[0].data.contact_id == contact.id


def test_the_same_text_is_not_sent_twice_in_a_conversation_though_the_rule_fires_each_time() -> None:
    given = rules("[{name: r, when: message, every: true, then: {reply: soon, topic: x}}]")
    thread = heard(empty(), message(1), given).thread
    change = heard(thread, message(2, seconds=5), given)
    assert commands(change, MessageSend) == []
    assert fired(change)[0].data.refused == {"reply": "replied_before"}
    assert fired(change)[0].data.actions == ("topic",)


def test_who_has_opted_out_or_is_outside_the_window_is_not_written_to() -> None:
    given = rules("[{name: r, when: closed, then: {topic: x}}, {name: s, when: assigned, then: {reply: hi}}]")
    thread = heard(opened(), message(1, "STOP", seconds=1), given).thread
    change = draft(thread, 2, "grant")
    assert decisions.apply(change, grant(thread))
    told = done(thread, 2, given, lambda each: decisions.apply(each, grant(thread)))
    assert fired(told)[0].data.refused == {"reply": "opted_out"}
    assert commands(told, MessageSend) == []
    late = heard(empty(), message(5, channel=Channel.WHATSAPP), NONE).thread
    told = done(late, 90_000, given, lambda each: decisions.apply(each, grant(late)))
    assert fired(told)[0].data.refused == {"reply": "outside_window"}


def test_a_ticket_is_wished_for_once() -> None:
    given = rules("[{name: r, when: message, every: true, then: {ticket: bug}}]")
    thread = heard(empty(), message(1), given).thread
    (wish,) = thread.ticket_wishes
    assert (wish.reason, wish.by, wish.conversation_id) == (
        "bug",
        "rule:r",
        thread.current and thread.current.id,
    )
    assert heard(thread, message(2, seconds=3), given).thread.ticket_wishes == (wish,)


def test_a_conversation_that_a_rule_closes_at_once_asks_no_agent() -> None:
    given = rules(
        "[{name: spam, when: opened, if: {text: lottery}, then: {close: true}},"
        " {name: late, when: opened, then: {inbox: vip, skills: {a: 1}, reply: hi, topic: t}}]"
    )
    change = heard(empty(), message(1, "You won the lottery"), given)
    assert change.conversation.status is Status.CLOSED
    assert commands(change, RoutingRequest) == []
    (closing,) = commands(change, ConversationStatusChanged)
    assert closing.data.rule == "spam"
    assert fired(change)[1].data.refused == dict.fromkeys(("skills", "inbox", "reply"), "closed")
    assert fired(change)[1].data.actions == ("topic",)


# --- when -----------------------------------------------------------------------------------------

EVENTS = (
    "["
    + ", ".join(
        f"{{name: {each}, when: {each}, every: true, then: {{note: n}}}}"
        for each in (
            "message",
            "opened",
            "reopened",
            "waiting",
            "closed",
            "assigned",
            "transferred",
            "topics",
            "call",
        )
    )
    + "]"
)


def test_each_event_is_seen_once() -> None:
    given = rules(EVENTS)
    change = heard(empty(), message(1), given)
    assert names(change) == ["opened", "message"]
    thread = change.thread
    steps: list[tuple[Any, list[str]]] = [
        (lambda each: decisions.apply(each, grant(each.thread)), ["assigned"]),
        (lambda each: lifecycle.set_topics(each, ("a",)), ["topics"]),
        (lambda each: lifecycle.transfer_to_inbox(each, INBOXES["fallback"], by="ana"), ["transferred"]),
        (lifecycle.no_reply_needed, ["waiting"]),
        (lambda each: lifecycle.close(each, confirmed=None), ["closed"]),
        (lambda each: lifecycle.reopen(each, agent="ana"), ["reopened"]),
        (lambda each: lifecycle.set_priority(each, 3), []),
    ]
    for seconds, (step, expected) in enumerate(steps, start=2):
        change = done(thread, seconds, given, step)
        assert names(change) == expected
        thread = change.thread
    again = heard(thread, message(2, seconds=20), given)
    assert names(again) == ["message"]


def test_a_reopening_by_the_customer_is_told_with_its_message() -> None:
    given = rules(EVENTS)
    thread = done(opened(), 5, NONE, lambda each: lifecycle.close(each, confirmed=True)).thread
    assert names(heard(thread, message(2, seconds=9), given)) == ["reopened", "message"]


@pytest.mark.parametrize(
    "item", [message(7, "thanks!"), message(7, "x", automatic=True), message(7, "👍", kind="reaction")]
)
def test_noise_and_our_own_messages_fire_nothing(item: Any) -> None:
    assert names(heard(opened(), item, rules(EVENTS))) == []
    ours = message(8, "hello", direction="outbound")
    assert names(heard(opened(), ours, rules(EVENTS))) == []


def test_a_call_fires_at_its_start_and_at_each_choice_and_not_at_repeats() -> None:
    given = rules(EVENTS)
    change = heard(empty(), word("start"), given)
    assert names(change) == ["opened", "call"]
    choice = CallWords(choice=SpokenChoice(n=1, digits="2", speech="my invoice"))
    chosen = word("menu", seconds=2, words=choice, choice=CallChoice(n=1, menu="main", topic="billing"))
    by_choice = heard(change.thread, chosen, given)
    assert names(by_choice) == ["topics", "call"]
    said = rules("[{name: r, when: call, if: {text: invoice, channel: voice}, then: {priority: 1}}]")
    assert names(heard(change.thread, chosen, said)) == ["r"]
    answered = word("answered", seconds=4, answered=True)
    assert names(heard(by_choice.thread, answered, given)) == []


def test_a_rule_fires_once_from_an_opening_to_the_next_unless_every_time_is_wanted() -> None:
    given = rules(
        "[{name: once, when: message, then: {note: a}},"
        " {name: each, when: message, every: true, then: {note: b}}]"
    )
    change = heard(empty(), message(1), given)
    assert names(change) == ["once", "each"]
    change = heard(change.thread, message(2, seconds=2), given)
    assert names(change) == ["each"]
    closed = done(change.thread, 3, given, lambda each: lifecycle.close(each, confirmed=None)).thread
    assert names(heard(closed, message(3, seconds=4), given)) == ["once", "each"]
    assert names(heard(closed, message(4, seconds=200_000), given)) == ["once", "each"]


def test_what_rules_do_fires_no_rule_and_later_rules_see_it() -> None:
    given = rules(
        "[{name: sees-later, when: message, if: {topic: a}, then: {note: x}},"
        " {name: labels, when: message, then: {topic: a/b}},"
        " {name: chained, when: [topics, closed, transferred], then: {note: never}},"
        " {name: sees, when: message, if: {topic: a}, then: {close: true}}]"
    )
    change = heard(empty(), message(1), given)
    assert names(change) == ["labels", "sees"]
    assert change.conversation.status is Status.CLOSED


def test_a_rule_that_is_switched_off_is_not_looked_at() -> None:
    assert (
        names(
            heard(empty(), message(1), rules("[{name: r, enabled: false, when: message, then: {note: x}}]"))
        )
        == []
    )


# --- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "text", "holds"),
    [
        ("{text: broken}", "It is Broken.", True),
        ("{text: broken}", "unbroken", False),
        ("{text: [kaputt, broken]}", "ganz kaputt", True),
        ("{text: money back}", "I want my money - back!", True),
        ("{text: STRASSE}", "straße", True),
        ("{text: {all: [late, parcel]}}", "the parcel is late", True),
        ("{text: {all: [late, parcel]}}", "the parcel", False),
        ("{text: {any: parcel, none: [not, never]}}", "the parcel is not late", False),
        ("{text: {contains: 返品}}", "商品を返品したい", True),
        ("{text: {contains: '🔥'}}", "it is 🔥", True),
        ("{text: {pattern: '(?i)order #?[0-9]{5}'}}", "about Order #12345", True),
        ("{text: {pattern: 'order #?[0-9]{5}'}}", "about order 1234", False),
        ("{text: {any: a, pattern: b}}", "a", False),
        ("{channel: sms}", "x", True),
        ("{channel: [email, chat]}", "x", False),
        ("{account: demo}", "x", True),
        ("{account: other}", "x", False),
        ("{inbox: support}", "x", True),
        ("{inbox: vip}", "x", False),
        ("{status: [open, new]}", "x", True),
        ("{status: open}", "x", False),
        ("{topic: returns}", "x", True),
        ("{topic: [bug, returns/damaged]}", "x", True),
        ("{topic: return}", "x", False),
        ("{topic: returns/damaged/badly}", "x", False),
        ("{first_message: false}", "x", True),
        ("{first_message: true}", "x", False),
        ("{transfers: 1}", "x", False),
        ("{channel: sms, text: y}", "x", False),
    ],
)
def test_all_conditions_must_hold(conditions: str, text: str, *, holds: bool) -> None:
    thread = done(opened(), 1, NONE, lambda each: lifecycle.set_topics(each, ("returns/damaged",))).thread
    given = rules(f"[{{name: r, when: message, if: {conditions}, then: {{note: x}}}}]")
    assert names(heard(thread, message(2, text, seconds=5), given)) == (["r"] if holds else [])


def test_words_are_looked_for_in_the_message_that_opened_and_in_a_mails_subject() -> None:
    given = rules("[{name: r, when: opened, if: {text: parcel, first_message: true}, then: {note: x}}]")
    assert names(heard(empty(), message(1, "my parcel"), given)) == ["r"]
    mail = message(1, "see above", channel=Channel.EMAIL)
    mail = mail.model_copy(update={"personal": mail.personal.model_copy(update={"subject": "Parcel lost"})})
    assert names(heard(empty(), mail, given)) == ["r"]


def test_a_conversation_from_before_there_were_rules_has_had_its_first_message() -> None:
    thread = opened()
    assert thread.current is not None
    old = replace(thread, current=replace(thread.current, ruled=FRESH))
    given = rules("[{name: r, when: message, if: {first_message: true}, then: {note: x}}]")
    assert names(heard(old, message(2, seconds=4), given)) == []
    aged = rules("[{name: r, when: age, after: 1h, then: {note: x}}]")
    assert next_due(old.current, aged) == at(3600)


def test_departments_are_counted() -> None:
    given = rules("[{name: r, when: transferred, if: {transfers: 2}, then: {ticket: multi_department}}]")
    first = done(opened(), 1, given, lambda each: lifecycle.transfer_to_inbox(each, INBOXES["vip"], by="ana"))
    assert names(first) == []
    second = done(
        first.thread, 2, given, lambda each: lifecycle.transfer_to_inbox(each, INBOXES["fallback"], by="ben")
    )
    assert names(second) == ["r"]


# --- age ------------------------------------------------------------------------------------------

OLD = rules("[{name: old, when: age, after: 2h, if: {status: open}, then: {ticket: investigation}}]")


def test_a_rule_of_age_fires_at_its_time_once_and_only_in_its_status() -> None:
    thread = opened(OLD)
    assert next_due(thread.current, OLD) is None
    thread = with_agent(thread, OLD)
    assert next_due(thread.current, OLD) == at(7200)
    assert names(ticked(thread, 7199, OLD)) == []
    change = ticked(thread, 7200, OLD)
    assert names(change) == ["old"]
    assert change.thread.ticket_wishes
    assert next_due(change.thread.current, OLD) is None
    assert names(ticked(change.thread, 9000, OLD)) == []


def test_what_comes_to_hold_after_the_time_fires_at_once() -> None:
    given = rules("[{name: bug, when: age, after: 2h, if: {topic: bug}, then: {ticket: bug}}]")
    thread = opened(given)
    assert next_due(thread.current, given) is None
    thread = done(thread, 9000, given, lambda each: lifecycle.set_topics(each, ("bug/login",))).thread
    assert next_due(thread.current, given) == at(7200)
    assert names(ticked(thread, 9001, given)) == ["bug"]


def test_age_counts_from_the_last_opening() -> None:
    given = rules("[{name: old, when: age, after: 2h, then: {note: x}}]")
    thread = ticked(opened(given), 7200, given).thread
    closed = done(thread, 8000, given, lambda each: lifecycle.close(each, confirmed=None)).thread
    assert next_due(closed.current, given) is None
    again = done(closed, 9000, given, lambda each: lifecycle.reopen(each, agent="ana")).thread
    assert next_due(again.current, given) == at(9000 + 7200)


def test_age_in_a_status_counts_from_when_it_got_it_and_with_every_each_time() -> None:
    given = rules(
        "[{name: ask, when: age, after: 1h, since: status, every: true,"
        " if: {status: waiting}, then: {note: x}}]"
    )
    thread = done(opened(given), 100, given, lifecycle.no_reply_needed).thread
    assert next_due(thread.current, given) == at(3700)
    change = ticked(thread, 3700, given)
    assert names(change) == ["ask"]
    assert next_due(change.thread.current, given) is None
    thread = heard(change.thread, message(2, seconds=4000), given).thread
    thread = done(thread, 4100, given, lifecycle.no_reply_needed).thread
    assert next_due(thread.current, given) == at(7700)
    assert names(ticked(thread, 7700, given)) == ["ask"]


def test_waiting_conversations_are_closed_by_silence() -> None:
    given = rules(
        "[{name: r, when: age, after: 3d, since: status, if: {status: waiting}, then: {close: true}}]"
    )
    thread = done(opened(given), 10, given, lifecycle.no_reply_needed).thread
    change = ticked(thread, 10 + 3 * 86_400, given)
    assert change.conversation.status is Status.CLOSED
    assert [each.data.rule for each in change.caused if isinstance(each, ConversationEvent)] == ["r", "r"]
