"""Agents come, go, and are lost."""

from datetime import timedelta

from schemas.common import Channel, ChannelClass
from schemas.routing import AgentChanged
from services.router.domain.engine import MOST_TIMERS, TakeOver
from services.router.domain.policy import InboxPolicy, Policy
from tests.unit.router.commands import Desk, accept, available, heartbeat, kinds, profile, request


def test_signing_off_gives_everything_back_under_the_same_epoch_and_to_another_at_once() -> None:
    desk = Desk("ana")
    desk.send(request("c1", 4))
    desk.send(profile("ben"), available("ben"))
    lost, grant = desk.send(available("ana", on=False))
    assert (lost.type, lost.data.agent, lost.data.reason, lost.data.epoch) == (
        "routing.unassigned",
        "ana",
        "signed_off",
        4,
    )
    assert (grant.data.agent, grant.data.epoch) == ("ben", 4)
    assert grant.data.n > lost.data.n


def test_what_was_given_back_comes_before_its_equals() -> None:
    desk = Desk("ana", capacity={"messaging": 1})
    desk.send(request("c1"), request("c2"), available("ana", on=False))
    [grant] = desk.send(available("ana"))
    assert grant.data.conversation_id == "c1"


def test_switching_one_channel_off_keeps_what_the_agent_has_on_it() -> None:
    desk = Desk("ana")
    desk.send(request("c1"))
    assert desk.send(available("ana", Channel.SMS, on=False)) == []
    assert desk.holder("c1") == "ana"
    assert desk.send(request("c2")) == []


def test_thirty_seconds_without_a_heartbeat_lose_the_agent() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), heartbeat("ana"))
    assert desk.wait(29.9) == []
    [lost] = desk.wait(0.1)
    assert (lost.data.reason, lost.data.agent) == ("lost", "ana")
    assert desk.send(request("c2")) == []


def test_an_agent_heard_again_is_back() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), heartbeat("ana"))
    desk.wait(30)
    step = desk.step(heartbeat("ana", at=desk.now))
    assert [type(each) for each in step.decisions][:1] == [AgentChanged]
    assert desk.holder("c1") == "ana"


def test_each_heartbeat_counts_from_when_it_was_handled() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), heartbeat("ana"))
    desk.wait(20)
    desk.send(heartbeat("ana", at=desk.now))
    assert desk.wait(29.9) == []
    assert kinds(desk.wait(0.1)) == ["unassigned"]


def test_a_heartbeat_from_the_past_does_not_bring_an_agent_back() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), heartbeat("ana", at=desk.now))
    desk.wait(30)
    assert desk.send(heartbeat("ana", at=desk.now - timedelta(minutes=5))) == []
    assert desk.pool.state.agents["ana"].lost


def test_an_agent_who_never_sent_a_heartbeat_stays_until_sign_off() -> None:
    desk = Desk("ana")
    desk.send(request("c1"))
    assert desk.wait(86400) == []
    assert desk.holder("c1") == "ana"


def test_a_heartbeat_before_sign_on_does_not_count_against_the_agent_later() -> None:
    desk = Desk()
    desk.send(profile("ana"), heartbeat("ana"))
    desk.wait(60)
    desk.send(available("ana"), request("c1"))
    assert desk.wait(60) == []


def test_after_a_take_over_heartbeats_start_with_full_grace() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), heartbeat("ana"))
    desk.now += timedelta(minutes=5)
    desk.send(TakeOver(Policy()))
    assert desk.wait(29.9) == []
    assert kinds(desk.wait(0.1)) == ["unassigned"]


def test_a_take_over_brings_its_policy() -> None:
    desk = Desk("ana", auto_accept={"messaging": False})
    desk.send(TakeOver(Policy(defaults=InboxPolicy(offer_seconds={ChannelClass.MESSAGING: 2}))))
    desk.send(request("c1"))
    assert kinds(desk.wait(2)) == ["offer_ended"]


def test_a_smaller_capacity_takes_nothing_away_but_stops_more() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), request("c2"))
    assert desk.send(profile("ana", capacity={"messaging": 1})) == []
    assert desk.load("ana") == 2
    assert desk.send(request("c3")) == []


def test_a_smaller_capacity_withdraws_offers_that_no_longer_fit() -> None:
    desk = Desk("ana", auto_accept={"messaging": False})
    [offer] = desk.send(request("c1"))
    [ended] = desk.send(profile("ana", capacity={"messaging": 0}))
    assert ended.data.outcome == "withdrawn"
    reply = desk.step(accept("ana", offer.data.offer_id)).reply
    assert reply is not None
    assert reply.status == 409


def test_an_agent_leaves_the_pool_only_without_load_and_their_events_go_on_counting() -> None:
    desk = Desk("ana")
    desk.send(request("c1"))
    busy = desk.step(profile("ana", moved_to="other")).reply
    assert busy is not None
    assert busy.status == 409
    desk.send(available("ana", on=False))
    left = desk.step(profile("ana", moved_to="other")).reply
    assert left is not None
    assert left.body["above"] == desk.pool.state.decided
    assert "ana" not in desk.pool.state.agents
    there = Desk()
    changed = there.step(profile("ana", above=left.body["above"])).decisions[0]
    assert changed.seq == left.body["above"] + 1


def test_only_what_others_see_is_announced() -> None:
    desk = Desk("ana")
    assert desk.step(profile("ana")).decisions == ()
    assert desk.step(heartbeat("ana")).decisions == ()
    [changed] = desk.step(available("ana", Channel.SMS, on=False)).decisions
    assert changed.data.availability[Channel.SMS] is False
    assert changed.personal.name == "Ana"


def test_very_many_timers_due_at_once_are_spread_over_ticks() -> None:
    agents = [f"agent{number:03}" for number in range(MOST_TIMERS + 10)]
    desk = Desk()
    desk.send(*(each for agent in agents for each in (profile(agent), available(agent), heartbeat(agent))))
    desk.wait(31)
    lost = [agent for agent in agents if desk.pool.state.agents[agent].lost]
    assert len(lost) == MOST_TIMERS
    assert desk.pool.has_due(desk.now)
    desk.wait(0)
    assert all(desk.pool.state.agents[agent].lost for agent in agents)
