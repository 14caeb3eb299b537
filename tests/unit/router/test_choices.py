"""Whom a request goes to by each choice, and who is left in peace."""

from datetime import timedelta

import pytest

from schemas.common import Channel, ChannelClass
from schemas.envelope import Envelope
from services.router.domain.engine import NewPolicy
from services.router.domain.policy import ChoiceName, InboxPolicy, Policy
from tests.unit.router.commands import Desk, accept, assign, available, kinds, profile, pull, release, request

VOICE, MESSAGING, EMAIL = ChannelClass.VOICE, ChannelClass.MESSAGING, ChannelClass.EMAIL


def choosing(choice: ChoiceName, *agents: str, **fields: object) -> Desk:
    desk = Desk(*agents, **fields)
    desk.send(NewPolicy(Policy(inboxes={"support": InboxPolicy(choice=choice)})))
    return desk


def winners(desk: Desk, *conversations: str, **fields: object) -> list[tuple[str, str]]:
    found = []
    for conversation in conversations:
        desk.wait(1)
        [grant] = desk.send(request(conversation, **fields))
        found.append((grant.data.agent, grant.data.explanation.why))
        assert grant.data.explanation.policy == desk.pool.state.policy.of("support").choice
    return found


def test_round_robin_goes_round_whatever_ends_meanwhile() -> None:
    desk = choosing("round_robin", "ana", "ben", "cleo")
    assert [agent for agent, _ in winners(desk, "c1", "c2")] == ["ana", "ben"]
    desk.send(release("c1", 1), release("c2", 1))
    assert winners(desk, "c3", "c4") == [("cleo", "round_robin"), ("ana", "round_robin")]


def test_round_robin_passes_over_who_cannot_and_goes_on_after_a_restart() -> None:
    desk = choosing("round_robin", "ana", "ben", "cleo")
    winners(desk, "c1")
    desk.send(available("ben", on=False))
    desk.restart()
    assert [agent for agent, _ in winners(desk, "c2", "c3")] == ["cleo", "ana"]
    desk.send(available("ben"))
    assert [agent for agent, _ in winners(desk, "c4")] == ["ben"]


def test_an_offer_that_is_rejected_was_a_turn() -> None:
    desk = choosing("round_robin", "ana", "ben", auto_accept={"messaging": False})
    [first] = desk.send(request("c1"))
    [second] = desk.send(request("c2"))
    assert (first.data.agent, second.data.agent) == ("ana", "ben")


def test_the_longest_idle_gets_it_however_loaded() -> None:
    desk = choosing("longest_idle", "ana", "ben")
    desk.send(assign("c0", 1, "ben"))
    desk.wait(5)
    desk.send(assign("c1", 1, "ana"))
    assert winners(desk, "c2") == [("ben", "longest_idle")]


def test_the_most_proficient_has_the_most_above_what_is_needed() -> None:
    desk = choosing("most_proficient")
    levels = {"ana": 4, "ben": 9, "cleo": 2}
    for agent, level in levels.items():
        desk.send(profile(agent, skills={"billing": level, "french": 1}), available(agent))
    [grant] = desk.send(request("c1", skills={"billing": 3}))
    why = grant.data.explanation
    assert (grant.data.agent, why.why, why.margin) == ("ben", "most_proficient", {"billing": 6})
    assert (why.candidates, why.excluded) == (("ana",), {"missing_skill": 1})


def test_among_equally_proficient_agents_the_one_with_fewest_other_skills_gets_it() -> None:
    desk = choosing("most_proficient")
    desk.send(profile("ana", skills={"billing": 3, "french": 2}), available("ana"))
    desk.send(profile("ben", skills={"billing": 3}), available("ben"))
    assert winners(desk, "c1", skills={"billing": 3}) == [("ben", "least_collateral")]
    assert winners(desk, "c2") == [("ben", "least_collateral")]


def test_each_inbox_chooses_by_its_own_policy() -> None:
    desk = Desk("ana", "ben", inboxes=("support", "sales"))
    desk.send(NewPolicy(Policy(inboxes={"sales": InboxPolicy(choice="longest_idle")})))
    desk.send(assign("c0", 1, "ana"))
    desk.wait(1)
    desk.send(assign("c1", 1, "ben"), assign("c2", 1, "ben"))
    desk.wait(1)
    [by_load] = desk.send(request("c3"))
    assert (by_load.data.agent, by_load.data.explanation.why) == ("ana", "least_loaded")
    [by_idleness] = desk.send(request("c4", inbox="sales"))
    assert (by_idleness.data.agent, by_idleness.data.explanation.why) == ("ben", "longest_idle")


# --- left in peace --------------------------------------------------------------------------------


def test_who_focuses_is_given_nothing_but_may_pull_and_take() -> None:
    desk = Desk("ana")
    desk.send(available("ana", focus=True))
    assert desk.send(request("c1"), request("c2"), request("c3")) == []
    assert kinds(desk.send(pull("ana"))) == ["granted"]
    assert kinds(desk.send(assign("c2", 2, "ana", reason="take"))) == ["granted"]
    [grant] = desk.send(available("ana", focus=False))
    assert grant.data.conversation_id == "c3"


def test_focus_takes_back_what_was_pushed_and_leaves_what_was_asked_for() -> None:
    desk = Desk("ana", auto_accept={"messaging": False})
    [pushed] = desk.send(request("c1"))
    assert kinds(desk.send(available("ana", focus=True))) == ["offer_ended"]
    [asked] = desk.send(pull("ana"))
    assert asked.data.conversation_id == pushed.data.conversation_id
    assert desk.send(available("ana", Channel.SMS)) == []
    assert kinds(desk.send(accept("ana", asked.data.offer_id))) == ["granted"]


def test_focus_ends_with_the_sign_off() -> None:
    desk = Desk("ana")
    desk.send(available("ana", focus=True), available("ana", on=False), available("ana"))
    assert kinds(desk.send(request("c1"))) == ["granted"]


def called(wrap_up: float) -> Desk:
    desk = Desk("ana", auto_accept={"voice": True})
    desk.send(NewPolicy(Policy(defaults=InboxPolicy(wrap_up_seconds=wrap_up))))
    desk.send(request("call", channel=Channel.VOICE), request("c1"))
    assert desk.holder("call") == "ana"
    return desk


def test_after_a_call_nothing_is_pushed_for_a_while() -> None:
    desk = called(wrap_up=20)
    assert kinds(desk.send(release("call", 1))) == ["released"]
    assert desk.wait(19.9) == []
    assert kinds(desk.wait(0.1)) == ["granted"]


def test_a_wrap_up_ends_early_by_an_availability_command_and_does_not_stop_a_pull() -> None:
    desk = called(wrap_up=20)
    desk.send(release("call", 1), request("c2"))
    assert kinds(desk.send(pull("ana"))) == ["granted"]
    assert kinds(desk.send(available("ana"))) == ["granted"]


def test_a_wrap_up_goes_on_after_a_restart() -> None:
    desk = called(wrap_up=20)
    desk.send(release("call", 1))
    desk.restart()
    assert desk.wait(19.9) == []
    assert kinds(desk.wait(0.1)) == ["granted"]


def test_without_a_call_there_is_nothing_to_wrap_up() -> None:
    desk = Desk("ana")
    desk.send(NewPolicy(Policy(defaults=InboxPolicy(wrap_up_seconds=20))))
    desk.send(request("c1"), release("c1", 1))
    assert kinds(desk.send(request("c2"))) == ["granted"]


def test_who_holds_as_many_as_the_pull_limit_may_not_pull() -> None:
    desk = Desk("ana", pull_limit=2)
    desk.send(request("c1"), request("c2"), available("ana", focus=True), request("c3"))
    assert desk.step(pull("ana")).reply.status == 204  # type: ignore[union-attr]
    desk.send(release("c1", 1))
    assert kinds(desk.send(pull("ana"))) == ["granted"]


def test_what_an_agent_has_of_one_class_keeps_another_away() -> None:
    desk = Desk("ana", excludes={EMAIL: (MESSAGING,)})
    desk.send(request("mail", channel=Channel.EMAIL))
    assert desk.send(request("c1")) == []
    [refused] = desk.send(assign("c1", 2, "ana"))
    assert refused.data.detail == "ana has something of email, which excludes messaging"
    desk.send(request("mail-2", channel=Channel.EMAIL))
    assert desk.holder("mail-2") == "ana"
    desk.send(release("mail", 1))
    assert kinds(desk.send(release("mail-2", 1))) == ["released", "granted"]


@pytest.mark.parametrize(("channel", "seconds"), [(Channel.VOICE, 20), (Channel.SMS, 45)])
def test_how_long_an_agent_is_asked_is_by_class(channel: Channel, seconds: float) -> None:
    desk = Desk("ana", auto_accept={"messaging": False})
    desk.send(NewPolicy(Policy(defaults=InboxPolicy(offer_seconds={VOICE: 20}))))
    [offer] = desk.send(request("c1", channel=channel))
    assert offer.data.expires_at == desk.now + timedelta(seconds=seconds)


def test_a_rejected_offer_goes_to_another_at_once() -> None:
    desk = Desk("ana", "ben", auto_accept={"messaging": False})
    [offer] = desk.send(request("c1"))
    decisions: list[Envelope] = desk.wait(45)
    assert kinds(decisions) == ["offer_ended", "offered"]
    assert (offer.data.agent, decisions[1].data.agent) == ("ana", "ben")  # type: ignore[attr-defined]


def test_an_offer_is_accepted_once_and_by_its_own_agent() -> None:
    desk = Desk("ana", "ben", auto_accept={"messaging": False})
    [offer] = desk.send(request("c1"))
    statuses = []
    for who in ("ben", "ana", "ana", "ben"):
        reply = desk.step(accept(who, offer.data.offer_id)).reply
        assert reply is not None
        statuses.append(reply.status)
    assert statuses == [404, 200, 409, 409]
    assert desk.holder("c1") == "ana"
