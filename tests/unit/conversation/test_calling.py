"""A call is one Contact and one item of the timeline, in whatever order its words come."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import ids
from schemas import routing as contract
from schemas.calls import CallChoice, CallEnd, CallStatus, CallStep, CallWords, SpokenChoice
from schemas.common import Attachment, Channel, ChannelClass, Identifier, IdentifierKind
from schemas.conversations import (
    CallEnded,
    CallStarted,
    CallUpdated,
    ContactEnded,
    ConversationTransferred,
    Status,
    TopicsChanged,
)
from schemas.inbound import InboundData, InboundPersonal, MessageIdentified
from services.chassis.problems import Problem
from services.conversation.domain import decisions, lifecycle
from services.conversation.domain.calling import KEPT_CALLS
from services.conversation.domain.draft import Draft, RowPatch, TimelineRow
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.reach import NOWHERE
from services.conversation.domain.rules import ATTACH, ForgottenCallError, Known
from services.conversation.domain.timers import next_due, tick
from services.conversation.permission import Reply
from services.conversation.ways import way
from tests.unit.conversation.builders import (
    CUSTOMER,
    INBOXES,
    at,
    commands,
    draft,
    empty,
    grant,
    message,
    received,
)


def word(
    name: str,
    *,
    seconds: float = 0,
    call: str = "CA1",
    text: str = "",
    files: Sequence[Attachment] = (),
    words: CallWords | None = None,
    direction: Any = "inbound",
    **step: Any,
) -> MessageIdentified:
    """Return one word on a call."""
    sender = Identifier(kind=IdentifierKind.PHONE, value="+15551230001", verified=name == "start")
    return MessageIdentified(
        id=ids.derive("message", call, name),
        occurred_at=at(seconds),
        correlation=ids.derive("webhook", call, name),
        customer_id=CUSTOMER,
        home=CUSTOMER,
        data=InboundData(
            provider="twilio-voice",
            account="demo",
            channel=Channel.VOICE,
            inbox="support",
            kind="call",
            direction=direction,
            sent_at=at(seconds),
            received_at=at(seconds),
            call=CallStep(call_id=ids.derive("call", call), **step),
        ),
        personal=InboundPersonal(
            sender=sender,
            identifiers=(sender,),
            text=text,
            attachments=tuple(files),
            provider_message_id=call,
            name="Zoë Quill" if name == "start" else None,
            call=words,
        ),
    )


def chosen(
    n: int, digits: str, *, seconds: float, topic: str | None = None, **step: Any
) -> MessageIdentified:
    choice = CallChoice(n=n, menu="main", topic=topic)
    words = CallWords(choice=SpokenChoice(n=n, digits=digits))
    return word(f"choice-{n}", seconds=seconds, choice=choice, words=words, **step)


def hung_up(*, seconds: float = 60, lasted: int | None = 60, call: str = "CA1") -> MessageIdentified:
    end = CallEnd(status=CallStatus.COMPLETED, at=at(seconds), seconds=lasted)
    return word("end", seconds=seconds, end=end, call=call)


RECORDING = Attachment(content_type="audio/x-wav", url="https://api.twilio.example/RE1", media_id="RE1")
START = word("start")
VOICEMAIL = [
    START,
    chosen(1, "1", seconds=5, topic="orders"),
    chosen(2, "9", seconds=10, topic="orders/damaged", skills={"repairs": 2}, voicemail=True),
    word(
        "recorded",
        seconds=61,
        voicemail=True,
        files=[RECORDING],
        end=CallEnd(status=CallStatus.COMPLETED, at=at(61), implied=True),
    ),
    hung_up(),
    word("recording", seconds=64, files=[RECORDING], voicemail=True),
    word("text", seconds=180, text="My lamp is broken.", words=CallWords(transcript="TR1"), voicemail=True),
]
CONNECTED = [
    START,
    chosen(1, "2", seconds=5, topic="billing"),
    word("queued", seconds=59, answered=True),
    hung_up(),
]


def told(thread: Thread, item: MessageIdentified, known: int | None = None) -> tuple[Draft, bool]:
    change = Draft(thread, item.id, item.correlation, ATTACH.moment(item), item.home)
    row = None if known is None else Known(known)
    return change, ATTACH.decide(change, item, row, INBOXES)


def heard(items: Sequence[MessageIdentified], thread: Thread | None = None) -> tuple[Thread, dict[str, Any]]:
    """Apply the words, each as the store would; return the thread and the timeline's calls by id."""
    thread = thread or empty()
    rows: dict[str, dict[str, Any]] = {}
    for item in items:
        row = str(item.data.call.call_id) if item.data.call else ""
        change, _ = told(thread, item, rows[row]["status_seq"] if row in rows else None)
        thread = change.thread
        for effect in change.caused:
            if isinstance(effect, TimelineRow) and effect.kind == "call":
                assert effect.id not in rows
                rows[effect.id] = {"at": effect.at, **effect.fields}
            elif isinstance(effect, RowPatch) and rows[effect.id]["status_seq"] < effect.status_seq:
                rows[effect.id].update(effect.fields, status_seq=effect.status_seq)
    return thread, rows


def current(thread: Thread) -> Conversation:
    assert thread.current is not None
    return thread.current


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out what follows from which word was the first: the Contact's id, and the count of changes."""
    return {name: value for name, value in row.items() if name not in {"contact_id", "status_seq"}}


def test_a_call_opens_a_conversation_with_a_contact_and_asks_for_an_agent_with_a_free_line() -> None:
    change, changed = told(empty(), START)
    assert changed
    assert current(change.thread).status is Status.NEW
    (contact,) = current(change.thread).live_contacts
    assert (contact.channel, contact.started_at) == (Channel.VOICE, at(0))
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.channel, request.data.channel_class) == (Channel.VOICE, ChannelClass.VOICE)
    (event,) = commands(change, CallStarted)
    assert (event.data.call_status, event.data.contact_id) == (CallStatus.IN_PROGRESS, contact.id)


def test_a_call_is_one_item_that_says_all_there_is_to_say() -> None:
    thread, rows = heard(VOICEMAIL)
    (row,) = rows.values()
    assert comparable(row) == {
        "at": at(0),
        "received_at": at(0),
        "started_at": at(0),
        "ended_at": at(60),
        "duration_seconds": 60,
        "channel": Channel.VOICE,
        "account": "demo",
        "address": "+15551230001",
        "direction": "inbound",
        "status": CallStatus.MISSED,
        "text": "My lamp is broken.",
        "attachments": [
            {"id": str(ids.recording_id(ids.derive("call", "CA1"), "RE1")), "content_type": "audio/x-wav"}
        ],
        "choices": [
            {"n": 1, "menu": "main", "topic": "orders", "digits": "1"},
            {"n": 2, "menu": "main", "topic": "orders/damaged", "digits": "9"},
        ],
    }
    (contact,) = current(thread).contacts
    assert (contact.started_at, contact.ended_at) == (at(0), at(60))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([VOICEMAIL, CONNECTED]).flatmap(
        lambda call: st.tuples(
            st.just(call), st.permutations(call), st.lists(st.sampled_from(call), max_size=6)
        )
    )
)
def test_a_calls_words_in_any_order_and_repeated_make_the_same_item(
    case: tuple[list[MessageIdentified], list[MessageIdentified], list[MessageIdentified]],
) -> None:
    in_order, shuffled, repeats = case
    first, expected = heard(in_order)
    thread, rows = heard([*shuffled, *repeats])
    assert [comparable(row) for row in rows.values()] == [comparable(row) for row in expected.values()]
    one, other = current(first), current(thread)
    assert (other.status, other.topics, other.skills) == (one.status, one.topics, one.skills)
    assert [(each.started_at, each.ended_at) for each in other.contacts] == [
        (each.started_at, each.ended_at) for each in one.contacts
    ]


def test_a_word_that_is_repeated_changes_nothing() -> None:
    thread, _ = heard(VOICEMAIL)
    for item in VOICEMAIL:
        change, changed = told(thread, item, 9)
        assert (changed, change.caused, change.thread) == (False, [], thread)


def test_who_hangs_up_without_having_spoken_with_anybody_still_waits() -> None:
    thread, rows = heard([START, hung_up()])
    assert [row["status"] for row in rows.values()] == [CallStatus.MISSED]
    assert current(thread).status is Status.NEW
    assert current(thread).live_contacts == ()
    assert current(thread).routing.current
    change = draft(thread, 70)
    assert decisions.apply(change, grant(thread))
    assert current(change.thread).status is Status.OPEN


def test_who_was_spoken_with_waits_for_nothing() -> None:
    change, _ = told(heard(CONNECTED[:-1])[0], CONNECTED[-1])
    assert current(change.thread).status is Status.WAITING
    assert len(commands(change, contract.RoutingRelease)) == 1
    assert len(commands(change, ContactEnded)) == 1
    (event,) = commands(change, CallEnded)
    assert event.data.call_status is CallStatus.COMPLETED


def test_an_agent_who_has_the_conversation_at_the_end_took_the_call() -> None:
    thread, _ = heard([START])
    change = draft(thread, 5)
    assert decisions.apply(change, grant(thread))
    ended, changed = told(change.thread, hung_up())
    assert changed
    assert current(ended.thread).status is Status.WAITING
    assert ended.thread.calls[0].status is CallStatus.COMPLETED


def test_a_call_that_an_agent_with_the_conversation_did_not_take_is_missed_and_stays_with_them() -> None:
    thread = received(empty(), message(1)).thread
    change = draft(thread, 1)
    assert decisions.apply(change, grant(thread))
    called, _ = told(change.thread, word("start", seconds=20))
    ended, _ = told(called.thread, hung_up(seconds=30, lasted=5))
    assert ended.thread.calls[0].status is CallStatus.MISSED
    assert current(ended.thread).status is Status.OPEN
    assert [each.channel for each in current(ended.thread).live_contacts] == [Channel.SMS]


def test_an_agent_keeps_who_left_a_message() -> None:
    thread, _ = heard(VOICEMAIL[:3])
    change = draft(thread, 20)
    assert decisions.apply(change, grant(thread))
    ended, _ = told(change.thread, hung_up())
    assert current(ended.thread).status is Status.OPEN
    assert ended.thread.calls[0].status is CallStatus.MISSED


def test_a_call_that_could_not_be_made_failed() -> None:
    failed = word("end", seconds=3, end=CallEnd(status=CallStatus.FAILED, at=at(3)))
    thread, rows = heard([START, failed])
    assert [row["status"] for row in rows.values()] == [CallStatus.FAILED]
    assert current(thread).status is Status.NEW


def test_a_choice_sets_the_topic_and_asks_anew_with_its_skills_at_the_old_age() -> None:
    thread, _ = heard(VOICEMAIL[:2])
    change, _ = told(thread, VOICEMAIL[2])
    (topics,) = commands(change, TopicsChanged)
    assert topics.data.topics == ("orders/damaged",)
    (request,) = commands(change, contract.RoutingRequest)
    assert request.data.skills == {"repairs": 2}
    assert request.data.requested_at == at(0)
    assert request.data.epoch > current(thread).routing.epoch
    assert len(commands(change, CallUpdated)) == 1


def test_topics_that_an_agent_set_stay() -> None:
    change = draft(heard(VOICEMAIL[:2])[0], 7)
    lifecycle.set_topics(change, ("vip", "orders"))
    after, _ = told(change.thread, VOICEMAIL[2])
    assert current(after.thread).topics == ("vip", "orders/damaged")


def test_a_choice_moves_the_conversation_to_its_inbox_while_nobody_has_it() -> None:
    to_vip = chosen(1, "1", seconds=5, inbox="vip", skills={"gold": 1})
    thread, _ = heard([START])
    change, _ = told(thread, to_vip)
    assert current(change.thread).inbox == "vip"
    assert len(commands(change, ConversationTransferred)) == 1

    open_one = draft(thread, 2)
    assert decisions.apply(open_one, grant(thread))
    late, _ = told(open_one.thread, to_vip)
    assert current(late.thread).inbox == "support"
    assert current(late.thread).status is Status.OPEN


def test_a_choice_of_an_unknown_inbox_leaves_the_call_where_it_is() -> None:
    change, _ = told(heard([START])[0], chosen(1, "1", seconds=5, inbox="nowhere"))
    assert current(change.thread).inbox == "support"


def test_skills_of_a_call_are_not_asked_for_when_the_customer_comes_back_otherwise() -> None:
    thread, _ = heard([START, chosen(1, "2", seconds=5, skills={"billing": 1}), *CONNECTED[2:]])
    assert current(thread).skills == {"billing": 1}
    change = received(thread, message(7, seconds=100))
    (request,) = commands(change, contract.RoutingRequest)
    assert request.data.skills == {}


def test_two_calls_at_once_are_two_contacts_and_two_items() -> None:
    thread, rows = heard([START, word("start", call="CA2", seconds=1), hung_up()])
    assert len(rows) == 2
    assert len(current(thread).contacts) == 2
    assert len(current(thread).live_contacts) == 1


def test_a_call_joins_the_open_conversation_and_asks_for_room() -> None:
    thread = received(empty(), message(1)).thread
    change = draft(thread, 1)
    assert decisions.apply(change, grant(thread))
    called, _ = told(change.thread, word("start", seconds=2))
    assert current(called.thread).id == current(thread).id
    assert [widen.data.channel_class for widen in commands(called, contract.RoutingWiden)] == [
        ChannelClass.VOICE
    ]


def test_words_on_a_call_of_an_earlier_conversation_change_its_item_alone() -> None:
    thread, _ = heard(VOICEMAIL[:5])
    change = draft(thread, 70)
    lifecycle.close(change, confirmed=True)
    later = received(change.thread, message(2, seconds=200_000)).thread
    text = VOICEMAIL[-1].model_copy(
        update={"data": VOICEMAIL[-1].data.model_copy(update={"received_at": at(200_100)})}
    )
    told_late, changed = told(later, text, 3)
    assert changed
    assert current(told_late.thread) == current(later)
    (patch,) = told_late.caused
    assert isinstance(patch, RowPatch)
    assert patch.fields["text"] == "My lamp is broken."


def test_a_late_word_reopens_nothing() -> None:
    thread, _ = heard(VOICEMAIL[:5])
    change = draft(thread, 70)
    lifecycle.close(change, confirmed=True)
    late, _ = told(change.thread, VOICEMAIL[-1], 3)
    assert current(late.thread).status is Status.CLOSED


def test_a_call_of_ours_is_shown_and_opens_nothing() -> None:
    end = CallEnd(status=CallStatus.COMPLETED, at=at(30), seconds=30)
    thread, rows = heard([word("end", seconds=30, direction="outbound", end=end)])
    (row,) = rows.values()
    assert (row["direction"], row["status"], row["started_at"]) == ("outbound", CallStatus.COMPLETED, at(0))
    assert thread.current is None


def test_a_call_whose_end_nobody_heard_is_over_some_day() -> None:
    thread, _ = heard([START])
    due = next_due(replace(thread, current=replace(current(thread), status=Status.OPEN)), INBOXES)
    assert due == at(INBOXES["support"].call_max_seconds)
    change = draft(thread, INBOXES["support"].call_max_seconds)
    tick(change, INBOXES)
    assert current(change.thread).live_contacts == ()
    assert change.thread.calls[0].status is CallStatus.MISSED
    really, changed = told(change.thread, hung_up(), 1)
    assert changed
    assert really.thread.calls[0].ended_at == at(60)


def test_of_many_calls_the_oldest_that_are_over_are_forgotten_and_their_words_refused() -> None:
    calls = [word("start", call=f"CA{n}", seconds=n) for n in range(KEPT_CALLS + 2)]
    ends = [hung_up(call=f"CA{n}", seconds=n + 1, lasted=1) for n in (3, 4)]
    thread, rows = heard([*calls[:5], *ends, *calls[5:]])
    assert len(rows) == KEPT_CALLS + 2
    assert len(thread.calls) == KEPT_CALLS
    gone = {str(ids.derive("call", f"CA{n}")) for n in (3, 4)}
    assert gone.isdisjoint(call.id for call in thread.calls)
    with pytest.raises(ForgottenCallError):
        told(thread, word("text", call="CA3", text="too late"), 1)


def test_nobody_can_write_to_a_call() -> None:
    thread, _ = heard([START])

    def taken(thread: Thread, channel: Channel | None) -> Channel:
        return way(draft(thread, 1), Reply("hi", channel), NOWHERE, (), lambda *_: ())[0]

    with pytest.raises(Problem) as named:
        taken(thread, Channel.VOICE)
    assert named.value.status == 422
    with pytest.raises(Problem) as unnamed:
        taken(thread, None)
    assert unnamed.value.status == 409
    also = received(thread, message(2, seconds=-5)).thread
    assert taken(also, None) is Channel.SMS


def test_times_beyond_any_calendar_do_no_harm() -> None:
    end = CallEnd(status=CallStatus.COMPLETED, at=datetime.min.replace(tzinfo=at(0).tzinfo), seconds=9)
    _, rows = heard([word("end", end=end)])
    (row,) = rows.values()
    assert row["started_at"] == row["ended_at"] == at(0)
