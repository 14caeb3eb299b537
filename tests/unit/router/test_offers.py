"""Offers, answers, silence and pulling."""

from schemas.common import Channel
from schemas.routing import AgentChanged
from tests.unit.router.commands import (
    Desk,
    accept,
    assign,
    available,
    kinds,
    profile,
    pull,
    reject,
    release,
    request,
)

ASK = {"auto_accept": {"messaging": False}}


def test_a_call_is_offered_and_reserves_the_agent() -> None:
    desk = Desk("ana")
    [offer] = desk.send(request("call", channel=Channel.VOICE))
    assert (offer.type, offer.data.agent) == ("routing.offered", "ana")
    assert (offer.data.expires_at - desk.now).total_seconds() == 45
    assert desk.send(request("text")) == []
    assert desk.load("ana") == 1


def test_an_accepted_offer_is_granted() -> None:
    desk = Desk("ana", **ASK)
    [offer] = desk.send(request("c1"))
    step = desk.step(accept("ana", offer.data.offer_id))
    assert step.reply is not None
    assert (step.reply.status, step.reply.body["state"]) == (200, "accepted")
    assert kinds(list(step.decisions)) == ["granted"]
    assert (desk.holder("c1"), desk.load("ana")) == ("ana", 1)


def test_an_offer_is_accepted_only_once_and_only_by_whom_it_was_made_to() -> None:
    desk = Desk("ana", "ben", **ASK)
    [offer] = desk.send(request("c1"))
    other = desk.step(accept("ben", offer.data.offer_id)).reply
    assert other is not None
    assert other.status == 404
    desk.send(accept("ana", offer.data.offer_id))
    again = desk.step(accept("ana", offer.data.offer_id)).reply
    assert again is not None
    assert again.status == 409


def test_a_rejected_offer_goes_to_the_next_agent_and_not_back_for_a_minute() -> None:
    desk = Desk("ana", "ben", **ASK)
    [first] = desk.send(request("c1"))
    ended, second = desk.send(reject("ana", first.data.offer_id))
    assert (ended.data.outcome, second.data.agent) == ("rejected", "ben")
    assert kinds(desk.send(reject("ben", second.data.offer_id))) == ["offer_ended"]
    assert desk.wait(59.9) == []
    [third] = desk.wait(0.1)
    assert third.data.agent in {"ana", "ben"}


def test_an_unanswered_offer_times_out_after_45_seconds() -> None:
    desk = Desk("ana", "ben", **ASK)
    desk.send(request("c1"))
    assert desk.wait(44.9) == []
    ended, offer = desk.wait(0.1)
    assert (ended.data.outcome, ended.data.agent, offer.data.agent) == ("timed_out", "ana", "ben")


def test_an_answer_after_the_time_out_comes_too_late_even_before_the_tick() -> None:
    desk = Desk("ana", **ASK)
    [offer] = desk.send(request("c1"))
    desk.now = offer.data.expires_at
    step = desk.step(accept("ana", offer.data.offer_id))
    assert step.reply is not None
    assert (step.reply.status, kinds(list(step.decisions))) == (409, ["offer_ended"])


def test_two_time_outs_in_a_row_make_the_agent_away_until_the_next_availability_command() -> None:
    desk = Desk("ana", **ASK)
    desk.send(request("c1"))
    desk.wait(45)
    desk.wait(60)
    step_decisions = desk.wait(45)
    assert kinds(step_decisions) == ["offer_ended"]
    assert desk.pool.state.agents["ana"].away
    assert desk.wait(60) == []
    assert kinds(desk.send(available("ana"))) == ["offered"]


def test_being_away_is_announced() -> None:
    desk = Desk("ana", **ASK)
    desk.pool.state.agents["ana"].timeouts = 1
    [offer] = desk.send(request("c1"))
    desk.now = offer.data.expires_at
    decisions = desk.step(reject("ana", offer.data.offer_id)).decisions
    [changed] = [each for each in decisions if isinstance(each, AgentChanged)]
    assert (changed.data.away, changed.data.signed_on) == (True, True)


def test_an_answer_between_makes_time_outs_not_in_a_row() -> None:
    desk = Desk("ana", **ASK)
    desk.send(request("c1"))
    desk.wait(45)
    [offer] = desk.wait(60)
    desk.send(reject("ana", offer.data.offer_id))
    desk.wait(60)
    desk.wait(45)
    assert not desk.pool.state.agents["ana"].away


def test_an_offer_is_withdrawn_when_the_conversation_is_released_or_assigned() -> None:
    desk = Desk("ana", **ASK)
    desk.send(request("c1"))
    assert kinds(desk.send(release("c1", 1))) == ["offer_ended", "released"]
    desk.send(request("c2"))
    assert kinds(desk.send(assign("c2", 2, "ana", reason="take"))) == ["offer_ended", "granted"]
    assert desk.load("ana") == 1


def test_an_offer_is_withdrawn_when_the_agent_switches_its_channel_off() -> None:
    desk = Desk("ana", **ASK)
    desk.send(request("c1"))
    [ended] = desk.send(available("ana", Channel.SMS, on=False))
    assert ended.data.outcome == "withdrawn"
    assert desk.load("ana") == 0


def test_pulling_finds_nothing_when_nothing_waits() -> None:
    desk = Desk("ana")
    reply = desk.step(pull("ana")).reply
    assert reply is not None
    assert reply.status == 204


def test_a_pull_gets_what_waits_for_another_agent() -> None:
    desk = Desk("ana", "ben", capacity={"total": 1})
    desk.send(assign("c0", 1, "ana"), request("c1", preferred_agent="ana"))
    step = desk.step(pull("ben"))
    assert step.reply is not None
    assert (step.reply.status, step.reply.body["conversation_id"]) == (200, "c1")
    assert (step.decisions[0].type, desk.holder("c1")) == ("routing.granted", "ben")


def test_a_pull_may_change_an_agents_mind_and_repeats_the_open_offer() -> None:
    desk = Desk("ana", **ASK)
    [offer] = desk.send(request("c1"))
    desk.send(reject("ana", offer.data.offer_id))
    first = desk.step(pull("ana")).reply
    second = desk.step(pull("ana")).reply
    assert first is not None
    assert first.body["conversation_id"] == "c1"
    assert first == second


def test_a_pull_needs_room_and_a_signed_on_agent() -> None:
    desk = Desk("ana", capacity={"total": 0})
    desk.send(request("c1"), profile("ben"))
    full, off, unknown = (desk.step(pull(agent)).reply for agent in ("ana", "ben", "nobody"))
    assert full is not None
    assert off is not None
    assert unknown is not None
    assert (full.status, off.status, unknown.status) == (204, 409, 404)
