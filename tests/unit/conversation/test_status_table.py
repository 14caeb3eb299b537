"""Every cell of the status table that messages, replies and closes can reach."""

from dataclasses import replace

import pytest

from schemas import ids
from schemas import routing as contract
from schemas.common import Channel
from schemas.conversations import ConversationOpened, MessageAdded, Status
from schemas.outbound import MessageSend
from services.conversation.domain import decisions, lifecycle, replies, routing
from services.conversation.domain.draft import TimelineRow
from services.conversation.domain.inbound import receive
from services.conversation.domain.model import KEPT_CONTACTS, Thread
from services.conversation.domain.timers import next_due, tick
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


def started() -> Thread:
    return received(empty(), message(1)).thread


def opened(agent: str = "ana") -> Thread:
    thread = started()
    change = draft(thread, 1)
    assert decisions.apply(change, grant(thread, agent))
    return change.thread


def answered(
    thread: Thread, seconds: float = 2, agent: str = "ana", channel: Channel = Channel.SMS
) -> Thread:
    change = draft(thread, seconds)
    replies.reply(
        change,
        message_id=ids.derive("reply", seconds),
        agent=agent,
        channel=channel,
        route=thread.routes[channel],
        text="We send a new one",
    )
    return change.thread


def waiting() -> Thread:
    change = draft(opened(), 3)
    lifecycle.no_reply_needed(change)
    return change.thread


def closed(seconds: float = 3) -> Thread:
    change = draft(opened(), seconds)
    lifecycle.close(change, confirmed=True)
    return change.thread


def status(thread: Thread) -> Status:
    assert thread.current is not None
    return thread.current.status


def test_the_first_message_opens_a_conversation_and_asks_for_an_agent() -> None:
    change = received(empty(), message(1))
    assert status(change.thread) is Status.NEW
    assert len(commands(change, ConversationOpened)) == 1
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.epoch, request.data.inbox, request.data.preferred_agent) == (1, "support", None)


def test_a_message_while_new_or_open_joins_and_asks_for_nothing() -> None:
    for thread in (started(), opened()):
        change = received(thread, message(2, seconds=5))
        assert change.thread.current is not None
        assert status(change.thread) is status(thread)
        assert change.thread.current.id == thread.current.id  # type: ignore[union-attr]
        assert len(change.thread.current.contacts) == 1
        assert not commands(change, contract.RoutingRequest)


def test_a_message_while_waiting_is_routed_again_preferring_its_agent() -> None:
    change = received(waiting(), message(2, seconds=60))
    assert status(change.thread) is Status.NEW
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.preferred_agent, request.data.epoch) == ("ana", 2)


def test_the_same_agent_is_preferred_only_within_the_limit() -> None:
    change = received(waiting(), message(2, seconds=8 * 3600 + 60))
    (request,) = commands(change, contract.RoutingRequest)
    assert request.data.preferred_agent is None


def test_a_message_within_the_reopen_window_goes_on_with_the_same_conversation() -> None:
    thread = closed()
    change = received(thread, message(2, seconds=3600))
    assert change.thread.current is not None
    assert (status(change.thread), change.thread.current.id) == (Status.NEW, thread.current.id)  # type: ignore[union-attr]


def test_a_message_after_the_reopen_window_starts_a_new_conversation() -> None:
    thread = closed()
    change = received(thread, message(2, seconds=24 * 3600 + 10))
    assert change.thread.current is not None
    assert change.thread.current.id != thread.current.id  # type: ignore[union-attr]
    assert [item.id for item in change.displaced] == [thread.current.id]  # type: ignore[union-attr]


@pytest.mark.parametrize("make", [started, opened, waiting, closed])
def test_noise_is_recorded_and_changes_no_status(make: object) -> None:
    thread: Thread = make()  # type: ignore[operator]
    change = received(thread, message(2, "Thanks, that worked!", seconds=60))
    assert status(change.thread) is status(thread)
    assert not commands(change, contract.RoutingRequest)
    (event,) = commands(change, MessageAdded)
    assert event.data.noise


def test_noise_without_a_conversation_is_only_recorded() -> None:
    change = received(empty(), message(1, automatic=True))
    assert change.thread.current is None
    (row,) = commands(change, TimelineRow)
    assert (row.kind, row.conversation_id) == ("message", None)


def test_a_greeting_opens_where_there_is_none_but_does_not_reopen() -> None:
    assert status(received(empty(), message(1, "Hello there")).thread) is Status.NEW
    assert status(received(closed(), message(2, "hello", seconds=60)).thread) is Status.CLOSED


def test_a_grant_opens_and_a_repeated_one_changes_nothing() -> None:
    thread = opened()
    assert thread.current is not None
    assert (thread.current.status, thread.current.agent) == (Status.OPEN, "ana")
    assert not decisions.apply(draft(thread, 2), grant(thread, "ana", epoch=1))


def test_a_grant_of_a_cancelled_request_is_given_back() -> None:
    change = draft(started(), 1)
    lifecycle.close(change, confirmed=None)
    late = draft(change.thread, 2)
    decisions.apply(late, grant(change.thread, epoch=1))
    assert status(late.thread) is Status.CLOSED
    (release,) = commands(late, contract.RoutingRelease)
    assert release.data.epoch == 1


def test_a_take_of_a_waiting_conversation_opens_it() -> None:
    change = draft(waiting(), 5)
    routing.assign(change, "ben", "take", force=False)
    (wish,) = commands(change, contract.RoutingAssign)
    after = draft(change.thread, 6)
    decisions.apply(after, grant(change.thread, "ben", n=9, epoch=wish.data.epoch, reason="take"))
    assert after.thread.current is not None
    assert (after.thread.current.status, after.thread.current.agent) == (Status.OPEN, "ben")


def test_a_refused_transfer_leaves_everything_and_says_why() -> None:
    change = draft(opened(), 5)
    routing.assign(change, "ben", "transfer", force=False)
    (wish,) = commands(change, contract.RoutingAssign)
    after = draft(change.thread, 6)
    data = contract.RefusalData(
        pool="main",
        n=7,
        conversation_id=wish.data.conversation_id,
        epoch=wish.data.epoch,
        agent="ben",
        command_id=wish.id,
        reason="full",
        detail="ben has 3 of 3 messaging Conversations",
    )
    assert decisions.refused(after, data)
    assert after.thread.current is not None
    assert (after.thread.current.status, after.thread.current.agent) == (Status.OPEN, "ana")
    outcome = routing.outcome(after.thread.current, wish.id)
    assert outcome is not None
    assert (outcome.granted, outcome.detail) == (False, data.detail)


def test_a_lost_agent_makes_it_new_and_a_later_grant_under_the_same_epoch_opens_it() -> None:
    thread = opened()
    assert thread.current is not None
    lost = contract.UnassignData(
        pool="main", n=2, conversation_id=thread.current.id, epoch=1, agent="ana", reason="signed_off"
    )
    change = draft(thread, 5)
    assert decisions.unassigned(change, lost)
    assert change.thread.current is not None
    assert (status(change.thread), change.thread.current.agent) == (Status.NEW, None)
    after = draft(change.thread, 6)
    decisions.apply(after, grant(change.thread, "ben", n=3))
    assert after.thread.current is not None
    assert (status(after.thread), after.thread.current.agent) == (Status.OPEN, "ben")


def test_replies_leave_new_new_and_open_open() -> None:
    assert status(answered(started())) is Status.NEW
    assert status(answered(opened())) is Status.OPEN


def test_a_reply_is_sent_once_to_where_the_customer_wrote_from() -> None:
    thread = opened()
    change = draft(thread, 2)
    replies.reply(
        change,
        message_id=ids.derive("reply", "r"),
        agent="ana",
        channel=Channel.SMS,
        route=thread.routes[Channel.SMS],
        text="Hello",
    )
    (send,) = commands(change, MessageSend)
    assert (send.personal.to.value, send.personal.text) == ("+15551230001", "Hello")
    assert (send.data.provider, send.data.account) == ("twilio-sms", "demo")


def test_an_answered_mail_contact_ends_and_the_conversation_waits() -> None:
    thread = received(empty(), message(1, channel=Channel.EMAIL)).thread
    change = draft(thread, 1)
    decisions.apply(change, grant(thread))
    after = answered(change.thread, 2, channel=Channel.EMAIL)
    assert after.current is not None
    assert (status(after), after.current.agent) == (Status.WAITING, "ana")


def test_an_idle_contact_ends_only_when_the_last_message_is_ours() -> None:
    assert next_due(opened(), INBOXES) is None
    thread = answered(opened(), 10)
    due = next_due(thread, INBOXES)
    assert due == at(10 + 900)
    early = draft(thread, 900)
    tick(early, INBOXES)
    assert status(early.thread) is Status.OPEN
    late = draft(thread, 910)
    tick(late, INBOXES)
    assert status(late.thread) is Status.WAITING
    assert len(commands(late, contract.RoutingRelease)) == 1


def test_an_answer_of_the_customer_stops_the_idle_timer() -> None:
    thread = received(answered(opened(), 10), message(2, seconds=20)).thread
    assert next_due(thread, INBOXES) is None


def test_a_request_without_an_answer_is_sent_again_under_its_epoch() -> None:
    thread = started()
    assert next_due(thread, INBOXES) == at(30)
    change = draft(thread, 30)
    tick(change, INBOXES)
    (request,) = commands(change, contract.RoutingRequest)
    assert request.data.epoch == 1
    assert next_due(change.thread, INBOXES) == at(30 + 60)


def test_closing_releases_the_agent_and_ends_contacts() -> None:
    change = draft(opened(), 3)
    lifecycle.close(change, confirmed=True)
    assert change.thread.current is not None
    assert (status(change.thread), change.thread.current.confirmed) == (Status.CLOSED, True)
    assert not change.thread.current.live_contacts
    assert len(commands(change, contract.RoutingRelease)) == 1


def test_unassigning_queues_it_ahead_without_asking_the_same_agent_at_once() -> None:
    change = draft(opened(), 3)
    lifecycle.unassign(change)
    assert status(change.thread) is Status.NEW
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.ahead, request.data.avoid_agent, request.data.requested_at) == (True, "ana", at(0))


def test_another_pool_is_asked_only_after_the_first_has_let_go() -> None:
    change = draft(opened(), 3)
    lifecycle.transfer_to_inbox(change, INBOXES["vip"], by="ana")
    assert change.thread.current is not None
    assert (status(change.thread), change.thread.current.inbox) == (Status.NEW, "vip")
    assert not commands(change, contract.RoutingRequest)
    (release,) = commands(change, contract.RoutingRelease)
    after = draft(change.thread, 4)
    data = contract.ReleasedData(
        pool="main", n=9, conversation_id=release.data.conversation_id, epoch=release.data.epoch
    )
    assert decisions.released(after, data)
    (request,) = commands(after, contract.RoutingRequest)
    assert (request.data.pool, request.data.inbox) == ("vip", "vip")


def test_a_contact_of_another_class_asks_for_more_room() -> None:
    change = received(opened(), message(2, channel=Channel.EMAIL, seconds=9))
    (widen,) = commands(change, contract.RoutingWiden)
    assert widen.data.channel_class == "email"
    assert len(change.thread.current.contacts) == 2  # type: ignore[union-attr]


def test_messages_that_come_late_are_marked_and_keep_their_time() -> None:
    thread = received(empty(), message(1, seconds=100)).thread
    change = received(thread, message(2, seconds=101, sent=50))
    (row,) = commands(change, TimelineRow)
    assert (row.at, row.fields["late"]) == (at(50), True)


def test_an_echo_from_the_providers_app_is_outbound_and_wakes_nobody() -> None:
    change = received(waiting(), message(2, direction="outbound", seconds=60))
    assert status(change.thread) is Status.WAITING
    (row,) = commands(change, TimelineRow)
    assert row.fields["direction"] == "outbound"


def test_ids_of_what_a_message_causes_do_not_depend_on_when_it_is_applied() -> None:
    first, again = received(empty(), message(1)), received(empty(), message(1))
    assert [item.id for item in first.caused] == [item.id for item in again.caused]
    assert replace(first.thread) == again.thread
    assert first.thread.customer_id == CUSTOMER


def test_unassigning_a_waiting_conversation_changes_nothing() -> None:
    change = draft(waiting(), 5)
    lifecycle.unassign(change)
    assert change.thread.current is not None
    assert (status(change.thread), change.thread.current.agent, change.caused) == (Status.WAITING, "ana", [])


def test_a_conversation_of_an_inbox_that_was_removed_goes_on_by_the_default_rules() -> None:
    removed = received(empty(), message(1, inbox="vip")).thread
    left = {"support": INBOXES["support"]}
    assert next_due(removed, left) == at(30)
    change = draft(removed, 5)
    lifecycle.close(change, confirmed=None)
    again = message(2, seconds=60)
    after = draft(change.thread, 60, again.id)
    receive(after, again, left)
    assert status(after.thread) is Status.NEW


def test_only_the_release_that_was_asked_for_lets_another_pool_be_asked() -> None:
    change = draft(opened(), 3)
    lifecycle.unassign(change)
    lifecycle.transfer_to_inbox(change, INBOXES["vip"], by="lea")
    first, second = commands(change, contract.RoutingRelease)
    for release, asked in ((first, False), (second, True)):
        after = draft(change.thread, 4)
        data = contract.ReleasedData(
            pool="main", n=9, conversation_id=release.data.conversation_id, epoch=release.data.epoch
        )
        assert decisions.released(after, data) is asked
        assert bool(commands(after, contract.RoutingRequest)) is asked


def test_a_conversation_keeps_its_place_when_it_moves_to_another_inbox() -> None:
    change = draft(started(), 3600)
    lifecycle.transfer_to_inbox(change, INBOXES["fallback"], by="lea")
    (request,) = commands(change, contract.RoutingRequest)
    assert (request.data.inbox, request.data.requested_at) == ("fallback", at(0))


def test_a_priority_set_while_open_counts_once_the_agent_is_lost() -> None:
    change = draft(opened(), 3)
    lifecycle.set_priority(change, 2)
    assert not commands(change, contract.RoutingRequest)
    assert change.thread.current is not None
    lost = contract.UnassignData(
        pool="main", n=2, conversation_id=change.thread.current.id, epoch=1, agent="ana", reason="lost"
    )
    after = draft(change.thread, 5)
    assert decisions.unassigned(after, lost)
    (request,) = commands(after, contract.RoutingRequest)
    assert (request.data.priority, request.data.ahead, request.data.requested_at) == (2, True, at(0))


def test_a_message_belongs_to_the_contact_with_its_sender() -> None:
    thread = received(empty(), message(1)).thread
    other = message(2, seconds=5)
    sender = other.personal.sender.model_copy(update={"value": "+15551230002"})
    other = other.model_copy(update={"personal": other.personal.model_copy(update={"sender": sender})})
    thread = received(thread, other).thread
    again = received(thread, message(3, seconds=9))
    assert again.thread.current is not None
    (event,) = commands(again, MessageAdded)
    assert event.data.contact_id == again.thread.current.contacts[0].id


def test_of_many_contacts_the_oldest_ended_ones_are_forgotten_never_a_live_one() -> None:
    conversation = started().current
    assert conversation is not None
    live = conversation.contacts[0]
    for number in range(KEPT_CONTACTS + 20):
        ended = replace(live, id=f"k{number}", ended_at=at(number))
        conversation = conversation.with_contact(ended)
    assert len(conversation.contacts) == KEPT_CONTACTS
    assert conversation.contacts[0] == live
    assert conversation.contacts[-1].id == f"k{KEPT_CONTACTS + 19}"


def test_a_reply_goes_on_under_the_correlation_of_the_message_it_answers() -> None:
    thread = received(opened(), message("asked", seconds=5)).thread
    change = draft(thread, 6)
    replies.reply(
        change,
        message_id=ids.derive("reply", "r"),
        agent="ana",
        channel=Channel.SMS,
        route=thread.routes[Channel.SMS],
        text="Hello",
    )
    (send,) = commands(change, MessageSend)
    (event,) = commands(change, MessageAdded)
    assert send.correlation == event.correlation == ids.derive("webhook", "asked")
