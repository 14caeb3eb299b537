"""What conversation asks for, and what the pool answers."""

from datetime import timedelta

import pytest

from schemas.common import Channel, ChannelClass
from tests.unit.router.commands import START, Desk, assign, available, kinds, profile, release, request, widen


def test_a_request_is_granted_at_once_to_an_agent_with_room() -> None:
    desk = Desk("ana")
    [grant] = desk.send(request("c1", requested_at=START - timedelta(seconds=5)))
    assert grant.type == "routing.granted"
    assert (grant.data.agent, grant.data.reason, grant.data.epoch) == ("ana", "push", 1)
    assert grant.data.waited_seconds == 6.0
    assert grant.customer_id == "customer-c1"


def test_a_repeated_request_repeats_the_same_grant() -> None:
    desk = Desk("ana")
    first = desk.send(request("c1"))
    assert desk.send(request("c1")) == first
    assert desk.load("ana") == 1


def test_a_repeated_request_that_waits_changes_nothing() -> None:
    desk = Desk()
    assert desk.send(request("c1"), request("c2"), request("c1")) == []
    desk.send(profile("ana", capacity={"total": 1}))
    assert [each.data.conversation_id for each in desk.send(available("ana"))] == ["c1"]


def test_an_older_epoch_is_ignored() -> None:
    desk = Desk("ana")
    desk.send(request("c1", 3))
    assert desk.send(request("c1", 2)) == []
    assert desk.pool.state.standings["c1"].held_epoch == 3


def test_a_newer_request_moves_the_conversation_to_the_other_inbox() -> None:
    desk = Desk("ana")
    desk.send(profile("ben", inboxes=("billing",)), available("ben"), request("c1", 1))
    [grant] = desk.send(request("c1", 2, inbox="billing"))
    assert grant.data.agent == "ben"
    assert desk.load("ana") == 0


def test_a_release_frees_the_slot_and_the_next_in_line_gets_it() -> None:
    desk = Desk("ana", capacity={"messaging": 1})
    desk.send(request("c1"), request("c2"))
    released, grant = desk.send(release("c1", 1))
    assert (released.type, released.data.epoch) == ("routing.released", 1)
    assert (grant.type, grant.data.conversation_id) == ("routing.granted", "c2")


def test_a_release_of_an_older_epoch_leaves_the_newer_slot() -> None:
    desk = Desk("ana")
    desk.send(request("c1", 2))
    assert kinds(desk.send(release("c1", 1))) == ["released"]
    assert desk.holder("c1") == "ana"


def test_a_request_that_arrives_after_its_release_is_not_revived() -> None:
    desk = Desk("ana")
    assert kinds(desk.send(release("c1", 1))) == ["released"]
    assert desk.send(request("c1", 1)) == []
    assert desk.load("ana") == 0


def test_epochs_of_released_conversations_are_forgotten_after_a_while() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), release("c1", 1))
    desk.wait(599)
    assert "c1" in desk.pool.state.standings
    desk.wait(1)
    assert "c1" not in desk.pool.state.standings


def test_a_transfer_gives_the_conversation_to_the_named_agent_under_the_new_epoch() -> None:
    desk = Desk("ana", "ben")
    desk.send(request("c1", 1))
    [grant] = desk.send(assign("c1", 2, "ben"))
    assert (grant.data.agent, grant.data.epoch, grant.data.reason, grant.data.forced) == (
        "ben",
        2,
        "transfer",
        False,
    )
    assert (desk.load("ana"), desk.load("ben")) == (0, 1)


def test_a_transfer_to_a_full_agent_is_refused_in_words_and_the_old_agent_keeps_it() -> None:
    desk = Desk("ana")
    desk.send(request("c1", 1), profile("ben", capacity={"messaging": 0}), available("ben"))
    command = assign("c1", 2, "ben")
    [refusal] = desk.send(command)
    assert (refusal.data.reason, refusal.data.command_id) == ("full", command.id)
    assert refusal.data.detail == "ben has 0 of 0 messaging Conversations"
    assert (desk.holder("c1"), desk.pool.state.standings["c1"].held_epoch) == ("ana", 1)
    assert desk.send(request("c1", 1))[0].data.agent == "ana"


def test_a_refused_epoch_can_be_used_by_the_next_command() -> None:
    desk = Desk("ana")
    desk.send(request("c1", 1), assign("c1", 2, "nobody"))
    [grant] = desk.send(request("c1", 2))
    assert grant.data.epoch == 2


def test_a_repeated_assign_repeats_its_answer_even_if_it_could_now_be_granted() -> None:
    desk = Desk("ana")
    desk.send(request("c1", 1), profile("ben"))
    command = assign("c1", 2, "ben")
    first = desk.send(command)
    assert first[0].data.reason == "signed_off"
    desk.send(available("ben"))
    assert desk.send(command) == first
    granted = assign("c1", 2, "ben")
    assert desk.send(granted) == desk.send(granted)
    assert desk.load("ben") == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"agent": "nobody"}, "unknown_agent"),
        ({"agent": "off"}, "signed_off"),
        ({"agent": "off", "reason": "take"}, "signed_off"),
        ({"agent": "ana", "inbox": "billing"}, "other_inbox"),
        ({"agent": "ana", "epoch": 1}, "stale"),
        ({"agent": "ana", "channel": Channel.EMAIL, "channel_class": ChannelClass.EMAIL}, "signed_off"),
    ],
)
def test_an_assign_that_cannot_be_names_its_reason(fields: dict[str, object], reason: str) -> None:
    desk = Desk("ana")
    desk.send(available("ana", Channel.EMAIL, on=False), profile("off"), request("c1", 1))
    [refusal] = desk.send(assign("c1", **{"epoch": 2, **fields}))
    assert (refusal.type, refusal.data.reason) == ("routing.refused", reason)


def test_the_agents_own_slot_does_not_count_against_a_take() -> None:
    desk = Desk("ana", capacity={"total": 1})
    desk.send(request("c1", 1))
    [grant] = desk.send(assign("c1", 2, "ana", reason="take"))
    assert (grant.data.reason, grant.data.epoch, desk.load("ana")) == ("take", 2, 1)


def test_a_lead_may_force_beyond_capacity_and_it_is_recorded() -> None:
    desk = Desk("ana", capacity={"total": 1})
    desk.send(request("c1", 1), request("c2", 1))
    [grant] = desk.send(assign("c2", 2, "ana", force=True))
    assert (grant.data.forced, grant.data.explanation.why) == (True, "forced")
    assert desk.load("ana") == 2
    assert kinds(desk.send(release("c1", 1), request("c3"))) == ["released"]


def test_force_where_there_is_room_is_no_force() -> None:
    desk = Desk("ana")
    [grant] = desk.send(assign("c1", 1, "ana", force=True))
    assert grant.data.forced is False


def test_widening_takes_room_of_the_other_class() -> None:
    desk = Desk("ana", capacity={"email": 1})
    desk.send(request("c1"))
    assert desk.send(widen("c1", 1, ChannelClass.EMAIL)) == []
    assert desk.send(request("c2", channel=Channel.EMAIL)) == []
    assert desk.pool.hands["ana"].load() == {"total": 1, "voice": 0, "messaging": 1, "email": 1, "tasks": 0}


def test_without_room_for_the_other_class_the_conversation_is_routed_again_needing_both() -> None:
    desk = Desk("ana", capacity={"email": 0})
    desk.send(request("c1"))
    [lost] = desk.send(widen("c1", 1, ChannelClass.EMAIL))
    assert (lost.type, lost.data.reason, lost.data.agent, lost.data.epoch) == (
        "routing.unassigned",
        "no_room",
        "ana",
        1,
    )
    assert desk.send(profile("ben"), available("ben", Channel.SMS)) == []
    [grant] = desk.send(available("ben", Channel.EMAIL))
    assert (grant.data.agent, grant.data.epoch) == ("ben", 1)


def test_a_waiting_request_is_widened_in_line() -> None:
    desk = Desk()
    desk.send(request("c1"), widen("c1", 1, ChannelClass.EMAIL))
    assert desk.send(profile("ana"), available("ana", Channel.SMS)) == []
    assert kinds(desk.send(available("ana", Channel.EMAIL))) == ["granted"]


def test_widening_under_another_epoch_is_ignored() -> None:
    desk = Desk("ana", capacity={"email": 0})
    desk.send(request("c1", 2))
    assert desk.send(widen("c1", 1, ChannelClass.EMAIL)) == []
    assert desk.holder("c1") == "ana"


def test_a_request_may_need_room_of_several_classes() -> None:
    desk = Desk()
    desk.send(profile("ana"), available("ana", Channel.SMS))
    assert desk.send(request("c1", also=(ChannelClass.EMAIL,))) == []
    assert kinds(desk.send(available("ana", Channel.EMAIL))) == ["granted"]
    assert desk.pool.hands["ana"].load() == {"total": 1, "voice": 0, "messaging": 1, "email": 1, "tasks": 0}
    desk.send(profile("ben", capacity={"email": 0}), available("ben"))
    [refusal] = desk.send(assign("c1", 2, "ben", also=(ChannelClass.EMAIL,)))
    assert refusal.data.detail == "ben has 0 of 0 email Conversations"


def test_whoever_gave_it_back_is_not_asked_again_for_a_minute() -> None:
    desk = Desk("ana")
    assert desk.send(request("c1", 2, avoid_agent="ana")) == []
    assert desk.wait(59.9) == []
    assert kinds(desk.wait(0.1)) == ["granted"]
