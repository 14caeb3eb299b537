"""STOP, START and HELP; what providers report; and who may still be written to."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ids
from schemas.common import Channel, DeliveryStatus, Identifier, IdentifierKind
from schemas.conversations import ConsentChanged, MessageAdded, Status
from schemas.inbound import MessageIdentified
from schemas.outbound import OPTED_OUT, MessageSend, MessageStatus, StatusData
from schemas.routing import RoutingRequest
from services.conversation.domain.consent import Line, Word, keyword, opted_out, settle
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.model import Consent, Thread
from services.conversation.domain.replies import Words, write
from services.conversation.domain.rules import SHOW_DELIVERY, Known, attach
from services.conversation.domain.timers import next_due
from tests.unit.conversation.builders import INBOXES, at, commands, draft, empty, message, received

NUMBER = Identifier(kind=IdentifierKind.PHONE, value="+15551230001", verified=True)
SMS = Line("twilio-sms", "demo", Channel.SMS, NUMBER)
WHATSAPP = Line("whatsapp", "demo", Channel.WHATSAPP, NUMBER)
MESSENGER = Line("messenger", "demo", Channel.MESSENGER, NUMBER)

STOPS = ["STOP", "stop", " Stop. ", "“Stop!”", "STOPALL", "Stop all", "unsubscribe", "Cancel", "END"]
STOPS += ["quit", "revoke", "OptOut", "opt-out", "opt out", "ＳＴＯＰ", "STOP\u200b", "stop 🛑"]  # noqa: RUF001
STARTS = ["START", "start.", "Unstop", " un stop "]
HELPS = ["HELP", "help", "Help.", "INFO"]
NEITHER = ["Stop please", "please stop", "stop?", "help!", "Help!!", "Help?", "cancel my order", "the end"]
NEITHER += ["Start 7", "", "...", "stopp", "yes", "Yes!", "unstoppable", "info please", "STOP" * 20]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *((text, Word.STOP) for text in STOPS),
        *((text, Word.START) for text in STARTS),
        *((text, Word.HELP) for text in HELPS),
        *((text, None) for text in NEITHER),
    ],
)
def test_a_keyword_is_one_only_when_it_stands_alone(text: str, word: Word | None) -> None:
    assert keyword(text, opted_out=False) is word


def test_yes_opts_in_again_and_is_an_answer_from_anybody_else() -> None:
    assert keyword("YES", opted_out=True) is Word.START
    assert keyword("YES", opted_out=False) is None


@given(text=st.text(), opted=st.booleans())
def test_any_text_can_be_looked_at(text: str, *, opted: bool) -> None:
    word = keyword(text, opted_out=opted)
    assert word is None or len(text) <= 40


# --- what counts --------------------------------------------------------------------------------

WORDS = st.builds(
    Consent, st.booleans(), st.integers(0, 5).map(at), st.sampled_from(["customer", "provider"])
)


@given(words=st.lists(WORDS, min_size=1, max_size=6), seed=st.randoms())
def test_the_order_in_which_words_are_heard_does_not_matter(words: list[Consent], seed: Any) -> None:
    shuffled = [*words, *words]
    seed.shuffle(shuffled)
    assert _settled(shuffled) == _settled(words)
    assert _settled(words).at == max(word.at for word in words)


def _settled(words: list[Consent]) -> Consent:
    known: Consent | None = None
    for word in words:
        known = settle(known, word)
    assert known is not None
    return known


def test_of_two_words_at_once_the_one_that_opts_out_counts() -> None:
    out, in_ = Consent(opted_out=True, at=at(1), source="provider"), Consent(False, at(1), "customer")  # noqa: FBT003
    assert settle(in_, out) is settle(out, in_) is out


def test_messages_in_any_order_lead_to_the_same_consent() -> None:
    items = [
        message("stop", "STOP", seconds=40, sent=10),
        message("start", "START", seconds=41, sent=20),
        message("again", "stop", seconds=42, sent=30),
    ]
    ends = set()
    for order in permutations([*items, items[0]]):
        thread = empty()
        for item in order:
            thread = received(thread, item).thread
        ends.add(SMS.standing(thread).consent)
    assert ends == {Consent(opted_out=True, at=at(30), source="customer")}


# --- what a keyword does ------------------------------------------------------------------------


def opened() -> Thread:
    return received(empty(), message("first")).thread


def stopped(thread: Thread, *, seconds: float = 5) -> Thread:
    return received(thread, message("stop", "STOP", seconds=seconds)).thread


def rows(change: Draft, kind: str) -> list[TimelineRow]:
    return [row for row in commands(change, TimelineRow) if row.kind == kind]


def test_stop_is_on_the_timeline_as_a_message_and_as_a_change_of_consent() -> None:
    change = received(opened(), message("stop", "STOP", seconds=5))
    (event,) = commands(change, ConsentChanged)
    assert (event.data.opted_out, event.data.scope, event.data.source) == (True, "all", "customer")
    assert (event.personal.address, event.data.changed_at, event.seq) == (NUMBER, at(5), change.thread.seq)
    (row,), (said,) = rows(change, "consent"), rows(change, "message")
    assert (row.id, row.at, row.seq, row.fields["opted_out"]) == (str(event.id), at(5), event.seq, True)
    assert said.fields["noise"] is True


@pytest.mark.parametrize("text", ["STOP", "START", "HELP"])
@pytest.mark.parametrize("status", [Status.WAITING, Status.CLOSED])
def test_a_keyword_wakes_reopens_and_routes_nothing(text: str, status: Status) -> None:
    thread = opened()
    change = Draft(thread, ids.derive("x"), ids.derive("x"), at(2), thread.customer_id)
    change.change(status=status, closed_at=at(2) if status is Status.CLOSED else None)
    after = received(change.thread, message("word", text, seconds=100_000))
    assert after.thread.current == change.thread.current
    assert commands(after, RoutingRequest) == []


def test_a_stop_of_somebody_unknown_is_kept_without_a_conversation() -> None:
    change = received(empty(), message("stop", "STOP"))
    assert change.thread.current is None
    (event,) = commands(change, ConsentChanged)
    assert (event.data.conversation_id, event.data.inbox) == (None, "support")
    assert opted_out(change.thread, SMS) is not None
    assert next_due(change.thread, INBOXES) is None


def test_start_opts_in_again_and_a_repeat_changes_nothing() -> None:
    thread = stopped(opened())
    change = received(thread, message("start", "UNSTOP", seconds=6))
    (event,) = commands(change, ConsentChanged)
    assert event.data.opted_out is False
    again = received(change.thread, message("start-2", "START", seconds=7))
    assert commands(again, ConsentChanged) == []
    assert SMS.standing(again.thread).consent == Consent(opted_out=False, at=at(7), source="customer")


def test_a_reply_carries_the_time_of_the_word_by_which_it_may_be_sent() -> None:
    thread = received(stopped(opened()), message("start", "START", seconds=6)).thread
    for known, expected in ((opened(), None), (thread, at(6))):
        change = draft(known, 9)
        write(change, ids.derive("reply"), Channel.SMS, known.routes[Channel.SMS], Words("Hello"))
        (send,) = commands(change, MessageSend)
        assert send.data.consent_at == expected


def test_a_late_start_from_before_the_stop_changes_nothing() -> None:
    change = received(stopped(opened(), seconds=5), message("late", "START", seconds=9, sent=3))
    assert commands(change, ConsentChanged) == []
    assert opted_out(change.thread, SMS) is not None


def test_consent_is_of_one_number_and_one_account() -> None:
    thread = stopped(opened())
    assert opted_out(thread, Line("twilio-sms", "other", Channel.SMS, NUMBER)) is None
    other = Identifier(kind=IdentifierKind.PHONE, value="+15551230002")
    assert opted_out(thread, Line("twilio-sms", "demo", Channel.SMS, other)) is None


@pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.CHAT, Channel.WHATSAPP])
def test_elsewhere_the_words_mean_what_they_say(channel: Channel) -> None:
    change = received(empty(), message("stop", "STOP", channel=channel))
    assert commands(change, ConsentChanged) == []
    assert change.thread.current is not None


def test_what_twilio_calls_a_stop_is_one_in_any_language() -> None:
    item = message("arrêt", "Arrêt", seconds=5)
    item = item.model_copy(update={"data": item.data.model_copy(update={"consent": "stop"})})
    assert opted_out(received(opened(), item).thread, SMS) is not None


def test_a_preference_set_in_whatsapp_is_about_marketing_and_introduces_nobody() -> None:
    item = message("preference", "[marketing messages: stop]", channel=Channel.WHATSAPP, automatic=True)
    item = item.model_copy(update={"data": item.data.model_copy(update={"consent": "stop"})})
    change = received(empty(), item)
    (event,) = commands(change, ConsentChanged)
    assert (event.data.opted_out, event.data.scope) == (True, "marketing")
    assert change.thread.routes == {}


# --- what providers report ----------------------------------------------------------------------


def status(seconds: float, *, code: str = "21610", kind: str | None = OPTED_OUT) -> MessageStatus:
    return MessageStatus(
        id=ids.derive("status", seconds, code),
        occurred_at=at(seconds),
        correlation=ids.derive("x"),
        customer_id="c-1",
        home="c-1",
        seq=1,
        data=StatusData(
            message_id=ids.derive("reply"),
            conversation_id="none",
            status=DeliveryStatus.FAILED,
            at=at(seconds),
            error_code=code,
            error_kind=kind,
        ),
    )


def told(thread: Thread, item: MessageStatus, line: Line = SMS) -> Draft:
    change = Draft(thread, item.id, item.correlation, item.occurred_at, item.home)
    assert SHOW_DELIVERY.decide(change, item, Known(0, line), INBOXES)
    return change


def test_a_provider_s_refusal_opts_out_and_the_row_says_why() -> None:
    change = told(opened(), status(8))
    (event,) = commands(change, ConsentChanged)
    assert (event.data.opted_out, event.data.source, event.personal.address) == (True, "provider", NUMBER)
    assert opted_out(change.thread, SMS) == Consent(opted_out=True, at=at(8), source="provider")


@pytest.mark.parametrize(
    "refusal", [status(8, code=OPTED_OUT), status(8, kind="outside_window"), status(8, kind=None)]
)
def test_a_refusal_of_our_own_or_for_another_reason_says_nothing_of_consent(refusal: MessageStatus) -> None:
    assert commands(told(opened(), refusal), ConsentChanged) == []


def test_a_refusal_from_before_a_start_changes_nothing() -> None:
    thread = received(stopped(opened()), message("start", "START", seconds=9)).thread
    assert opted_out(told(thread, status(8)).thread, SMS) is None


def test_whatsapp_reports_marketing_only() -> None:
    change = told(opened(), status(8, code="131050"), WHATSAPP)
    (event,) = commands(change, ConsentChanged)
    assert event.data.scope == "marketing"


def by_messenger(key: str, *, seconds: float, sent: float | None = None) -> MessageIdentified:
    item = message(key, seconds=seconds, sent=sent, channel=Channel.SMS)
    data = item.data.model_copy(update={"provider": "messenger", "channel": Channel.MESSENGER})
    return item.model_copy(update={"data": data})


def test_who_had_blocked_us_and_writes_again_may_be_answered() -> None:
    thread = received(empty(), by_messenger("first", seconds=1)).thread
    blocked = told(thread, status(8, code="551"), MESSENGER).thread
    assert opted_out(blocked, MESSENGER) is not None
    late = received(blocked, by_messenger("late", seconds=10, sent=7)).thread
    assert opted_out(late, MESSENGER) is not None
    change = received(late, by_messenger("again", seconds=20))
    assert opted_out(change.thread, MESSENGER) is None
    assert opted_out(told(change.thread, status(15, code="551"), MESSENGER).thread, MESSENGER) is None


def by_telegram(key: str, *, seconds: float, word: str | None = None) -> MessageIdentified:
    item = message(key, seconds=seconds, automatic=word is not None)
    changed = {"provider": "telegram", "channel": Channel.TELEGRAM, "consent": word}
    return item.model_copy(update={"data": item.data.model_copy(update=changed)})


def test_who_blocks_a_bot_opts_out_until_they_let_it_in_or_write() -> None:
    telegram = Line("telegram", "demo", Channel.TELEGRAM, NUMBER)
    thread = received(empty(), by_telegram("first", seconds=1)).thread
    blocked = received(thread, by_telegram("block", seconds=5, word="stop")).thread
    assert opted_out(blocked, telegram) is not None
    for again in (by_telegram("start", seconds=9, word="start"), by_telegram("again", seconds=9)):
        assert opted_out(received(blocked, again).thread, telegram) is None


# --- HELP ---------------------------------------------------------------------------------------

RULE = attach(lambda _provider, account: "Call us on +1 555 000 1111." if account == "demo" else None)


def asked(thread: Thread, item: MessageIdentified) -> Draft:
    change = Draft(thread, item.id, item.correlation, item.data.received_at, item.home)
    assert RULE.decide(change, item, None, INBOXES)
    return change


def test_help_is_answered_by_itself_and_marked_so() -> None:
    change = asked(opened(), message("help", "HELP", seconds=5))
    (send,) = commands(change, MessageSend)
    assert (send.data.automatic, send.data.agent, send.personal.to) == (True, None, NUMBER)
    assert send.personal.text == "Call us on +1 555 000 1111."
    _, shown = commands(change, MessageAdded)
    assert (shown.data.automatic, shown.data.author, shown.seq) == (True, None, send.seq)
    assert change.thread.current is not None
    assert change.thread.current.answered is False


def test_help_is_answered_without_a_conversation_too() -> None:
    change = asked(empty(), message("help", "HELP"))
    (send,) = commands(change, MessageSend)
    assert (send.data.conversation_id, send.seq) == ("", change.thread.seq)
    assert change.thread.current is None
    assert [row.fields["automatic"] for row in rows(change, "message")[1:]] == [True]


def test_help_is_answered_once_a_minute_and_number() -> None:
    thread = asked(opened(), message("help", "HELP", seconds=5)).thread
    assert commands(asked(thread, message("help-2", "help", seconds=64)), MessageSend) == []
    assert len(commands(asked(thread, message("help-3", "help", seconds=65)), MessageSend)) == 1


def test_help_is_not_answered_where_nobody_should_be_written_to() -> None:
    item = message("help", "HELP", seconds=9)
    assert commands(asked(stopped(opened()), item), MessageSend) == []
    for changed in ({"automatic": True}, {"consent": "help"}, {"account": "silent"}):
        other = item.model_copy(update={"data": item.data.model_copy(update=changed)})
        assert commands(asked(opened(), other), MessageSend) == []
