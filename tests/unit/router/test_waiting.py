"""What becomes of a request while it waits: targets, ageing, steps, overflow; and why it waits."""

from collections.abc import Sequence
from datetime import timedelta

from schemas.common import Channel, ChannelClass
from schemas.envelope import Envelope
from services.router.domain.engine import NewPolicy, TakeOver
from services.router.domain.policy import InboxPolicy, Policy, Relaxation
from services.router.domain.views import agent_of, agent_view, request_view, why_waiting
from tests.unit.router.commands import START, Desk, accept, available, kinds, profile, release, request

MESSAGING = ChannelClass.MESSAGING


def under(policy: InboxPolicy, *agents: str, **others: InboxPolicy) -> Desk:
    """Return a desk where `policy` holds in support and the others in theirs."""
    desk = Desk(*agents)
    desk.send(NewPolicy(Policy(inboxes={"support": policy, **others})))
    return desk


def served(decisions: Sequence[Envelope]) -> list[str]:
    return [each.data.conversation_id for each in decisions if each.type == "routing.granted"]


# --- order ----------------------------------------------------------------------------------------


def test_without_a_due_time_a_request_is_due_by_its_target() -> None:
    desk = under(InboxPolicy(targets={MESSAGING: 60}))
    desk.send(
        request("by-target"),
        request("sooner", due_at=START + timedelta(seconds=59)),
        request("later", due_at=START + timedelta(seconds=61)),
    )
    desk.send(profile("ana"))
    assert served(desk.send(available("ana"))) == ["sooner", "by-target", "later"]


def test_inboxes_with_different_targets_are_served_by_the_earlier_one() -> None:
    desk = under(InboxPolicy(targets={MESSAGING: 60}), sales=InboxPolicy(targets={MESSAGING: 20}))
    desk.send(request("support"), request("sales", inbox="sales"))
    desk.send(profile("ana", inboxes=("support", "sales")))
    assert served(desk.send(available("ana"))) == ["sales", "support"]


def test_waiting_raises_the_priority_up_to_a_limit() -> None:
    desk = under(InboxPolicy(ageing_seconds=10, ageing_limit=2))
    desk.send(request("old"))
    desk.wait(25)
    desk.send(
        request("once", priority=1, requested_at=desk.now),
        request("twice", priority=2, requested_at=desk.now - timedelta(seconds=1)),
        request("thrice", priority=3, requested_at=desk.now),
    )
    desk.send(profile("ana", capacity={"messaging": 9}))
    assert served(desk.send(available("ana"))) == ["thrice", "old", "twice", "once"]


def test_nothing_starves_under_permanent_load_of_higher_priority() -> None:
    desk = under(InboxPolicy(ageing_seconds=30, ageing_limit=3), "ana")
    desk.send(profile("ana", capacity={"messaging": 1}))
    desk.send(request("first", priority=3), request("low"))
    waited = 0
    for number in range(200):
        desk.wait(1)
        last = "first" if number == 0 else holder_of(desk)
        desk.send(request(f"high-{number}", priority=3, requested_at=desk.now), release(last, 1))
        waited += 1
        if holder_of(desk) == "low":
            break
    assert 85 <= waited <= 95


def holder_of(desk: Desk) -> str:
    [held] = desk.pool.hands["ana"].held
    return held


def test_not_even_a_class_starves_where_the_policy_says_how_long() -> None:
    desk = under(InboxPolicy(starving_seconds=100), "ana")
    desk.send(profile("ana", auto_accept={"voice": True}))
    desk.send(request("call-0", channel=Channel.VOICE), request("mail", channel=Channel.EMAIL))
    for number in range(1, 200):
        desk.wait(1)
        desk.send(
            request(f"call-{number}", channel=Channel.VOICE, priority=9, requested_at=desk.now),
            release(holder_of(desk), 1),
        )
        if holder_of(desk) == "mail":
            break
    assert desk.now - START >= timedelta(seconds=100)
    assert desk.now - START <= timedelta(seconds=103)


def test_a_wait_goes_on_when_the_request_is_made_anew_and_begins_anew_after_an_agent_had_it() -> None:
    desk = under(InboxPolicy(ageing_seconds=10))
    desk.send(request("c1"))
    desk.wait(25)
    desk.send(request("c1", 2, priority=1))
    assert boost(desk, "c1") == 2
    desk.send(profile("ana"), available("ana"))
    desk.wait(100)
    desk.send(available("ana", on=False))
    assert boost(desk, "c1") == 0
    desk.wait(10)
    assert boost(desk, "c1") == 1


def boost(desk: Desk, conversation: str) -> int:
    held = desk.pool.state.standings[conversation].request
    assert held is not None
    return held.boost


# --- relaxation -----------------------------------------------------------------------------------

STEPS = (
    Relaxation(30, skills={"billing": -1}),
    Relaxation(60, lower=1, priority=2),
    Relaxation(90, inboxes=("sales",)),
    Relaxation(120, drop=("billing",)),
)


def test_a_skill_is_lowered_in_time_and_the_decision_says_so() -> None:
    desk = under(InboxPolicy(relaxation=STEPS))
    desk.send(profile("ana", skills={"billing": 2}), available("ana"))
    assert desk.send(request("c1", skills={"billing": 3})) == []
    assert desk.wait(29.9) == []
    [grant] = desk.wait(0.1)
    why = grant.data.explanation
    assert (grant.data.agent, why.margin) == ("ana", {"billing": -1})
    assert why.relaxed == ("after 30 s: billing -1",)


def test_a_later_step_brings_in_agents_of_another_inbox_and_the_grant_names_both() -> None:
    desk = under(InboxPolicy(relaxation=STEPS))
    desk.send(profile("ben", inboxes=("sales",)), available("ben"))
    desk.send(request("c1", skills={"billing": 2}))
    assert desk.wait(89.9) == []
    [grant] = desk.wait(0.1)
    assert (grant.data.agent, grant.data.inbox, grant.data.overflow_from) == ("ben", "sales", "support")
    assert grant.data.explanation.relaxed[2:] == ("after 90 s: also sales",)


def test_a_widened_request_prefers_its_own_inbox_and_leaves_all_lines_at_once() -> None:
    desk = under(InboxPolicy(relaxation=(Relaxation(1, inboxes=("sales",)),)))
    desk.send(request("c1"))
    desk.wait(1)
    assert [inbox for inbox in desk.pool.queues.inboxes() if list(desk.pool.queues.lines(inbox))] == [
        "sales",
        "support",
    ]
    assert desk.pool.depths == {("support", MESSAGING): 1}
    desk.send(profile("ben", inboxes=("sales",)), profile("ana", inboxes=("sales", "support")))
    [grant] = desk.send(available("ben"))
    assert grant.data.overflow_from == "support"
    assert [inbox for inbox in desk.pool.queues.inboxes() if list(desk.pool.queues.lines(inbox))] == []
    desk.send(available("ana"), request("c2"))
    assert desk.holder("c2") == "ana"


def test_what_an_agent_of_another_inbox_loses_waits_there() -> None:
    desk = under(InboxPolicy(relaxation=(Relaxation(1, inboxes=("sales",)),)))
    desk.send(profile("ben", inboxes=("sales",)), available("ben"), request("c1"))
    desk.wait(1)
    desk.send(available("ben", on=False))
    standing = desk.pool.state.standings["c1"]
    assert standing.need is not None
    assert standing.need.inbox == "sales"


def test_an_offer_by_overflow_is_of_the_inbox_of_who_is_asked() -> None:
    desk = under(InboxPolicy(relaxation=(Relaxation(1, inboxes=("sales",)),)))
    desk.send(profile("ben", inboxes=("sales",), auto_accept={"messaging": False}), available("ben"))
    desk.send(request("c1"))
    [offer] = desk.wait(1)
    assert (offer.data.agent, offer.data.inbox) == ("ben", "sales")
    [grant] = desk.send(accept("ben", offer.data.offer_id))
    assert (grant.data.inbox, grant.data.overflow_from) == ("sales", "support")


# --- overflow -------------------------------------------------------------------------------------


def test_what_nobody_could_ever_serve_goes_to_the_fallback_at_once_and_says_why() -> None:
    desk = under(InboxPolicy(fallback="last"), "ana")
    desk.send(profile("cleo", inboxes=("last",)))
    [overflowed] = desk.send(request("c1", skills={"french": 2}))
    assert (overflowed.type, overflowed.data.before, overflowed.data.inbox) == (
        "routing.overflowed",
        "support",
        "last",
    )
    why = "no Agent of support could ever have it (messaging; french 2): to last, skills waived"
    assert overflowed.data.detail == why
    [grant] = desk.send(available("cleo"))
    assert (grant.data.agent, grant.data.inbox, grant.data.overflow_from) == ("cleo", "last", "support")
    assert grant.data.explanation.overflow == why


def test_a_signed_off_agent_who_could_or_a_later_step_is_hope_enough() -> None:
    desk = under(InboxPolicy(fallback="last", relaxation=(Relaxation(60, lower=1),)))
    desk.send(profile("cleo", inboxes=("last",)), available("cleo"))
    desk.send(profile("ana", skills={"french": 1}))
    assert desk.send(request("c1", skills={"french": 2})) == []
    [moved, grant] = desk.send(request("c2", skills={"french": 3}))
    assert (moved.type, grant.data.agent) == ("routing.overflowed", "cleo")


def test_whoever_has_no_room_for_a_class_at_all_is_no_hope() -> None:
    desk = under(InboxPolicy(fallback="last"))
    desk.send(profile("ana", capacity={"voice": 0}), profile("cleo", inboxes=("last",)))
    assert kinds(desk.send(request("call", channel=Channel.VOICE))) == ["overflowed"]


def test_without_an_agent_in_the_fallback_it_waits_where_it_is_until_there_is_one() -> None:
    desk = under(InboxPolicy(fallback="last"))
    assert desk.send(request("c1")) == []
    assert kinds(desk.send(profile("cleo", inboxes=("last",)))) == ["overflowed"]


def test_losing_the_last_who_could_is_found_at_once() -> None:
    desk = under(InboxPolicy(fallback="last"))
    desk.send(profile("ana", skills={"french": 2}), profile("cleo", inboxes=("last",)))
    desk.send(request("c1", skills={"french": 2}))
    assert kinds(desk.send(profile("ana", skills={"french": 1}))) == ["overflowed"]


def test_along_fallbacks_it_goes_to_the_first_that_has_an_agent_for_it() -> None:
    desk = under(InboxPolicy(fallback="second"), second=InboxPolicy(fallback="third"))
    desk.send(profile("cleo", inboxes=("third",), skills={"french": 5}))
    [moved] = desk.send(request("c1", skills={"french": 2}))
    assert moved.data.inbox == "third"
    held = desk.pool.state.standings["c1"].request
    assert held is not None
    assert (held.skills, held.came_from) == ((("french", 2),), "support")


def test_asked_for_again_in_the_fallback_it_does_not_wait_for_a_skill_that_nobody_there_has() -> None:
    desk = under(InboxPolicy(fallback="last"))
    desk.send(profile("cleo", inboxes=("last",)), available("cleo"))
    [grant] = desk.send(request("c1", inbox="last", skills={"french": 2}))
    assert grant.data.agent == "cleo"
    assert grant.data.explanation.overflow is not None


# --- another policy -------------------------------------------------------------------------------


def test_another_policy_keeps_ages_and_changes_what_it_says() -> None:
    desk = under(InboxPolicy(relaxation=(Relaxation(10, lower=1),)))
    desk.send(profile("ana", skills={"billing": 1}))
    desk.send(request("c1", skills={"billing": 2}), request("c2"))
    desk.wait(20)
    before = {key: (held.since, held.arrival) for key, held in requests(desk).items()}
    assert desk.send(NewPolicy(Policy())) == []
    assert {key: (held.since, held.arrival) for key, held in requests(desk).items()} == before
    assert served(desk.send(available("ana"))) == ["c2"]
    again = InboxPolicy(relaxation=(Relaxation(15, drop=("billing",)),))
    assert served(desk.send(NewPolicy(Policy(inboxes={"support": again})))) == ["c1"]


def requests(desk: Desk) -> dict[str, object]:
    return {key: each.request for key, each in desk.pool.state.standings.items() if each.request}


def test_another_policy_lets_an_open_offer_stand() -> None:
    desk = Desk("ana", auto_accept={"messaging": False})
    [offer] = desk.send(request("c1"))
    desk.send(NewPolicy(Policy(defaults=InboxPolicy(offer_seconds={MESSAGING: 5}))))
    assert desk.wait(30) == []
    assert kinds(desk.send(accept("ana", offer.data.offer_id))) == ["granted"]


def test_the_same_policy_again_changes_nothing() -> None:
    desk = under(InboxPolicy(ageing_seconds=10))
    desk.send(request("c1"))
    crews = desk.pool.crews
    desk.send(NewPolicy(Policy(inboxes={"support": InboxPolicy(ageing_seconds=10)})))
    desk.send(TakeOver(Policy(inboxes={"support": InboxPolicy(ageing_seconds=10)})))
    assert desk.pool.crews is crews


# --- why it waits ---------------------------------------------------------------------------------


def test_the_read_models_say_why_it_waits_and_what_comes_next() -> None:
    desk = under(InboxPolicy(relaxation=STEPS))
    desk.send(
        profile("off"),
        profile("full", capacity={"messaging": 0}, skills={"billing": 9}),
        available("full"),
        profile("calm", skills={"billing": 9}),
        available("calm", focus=True),
        profile("weak", skills={"billing": 1}),
        available("weak"),
        profile("mute", skills={"billing": 9}),
        available("mute", Channel.EMAIL),
        request("c1", skills={"billing": 3}),
    )
    row = request_view(desk.pool, "c1")
    assert row is not None
    views = {key: agent_view(desk.pool, key) for key in desk.pool.state.agents}
    agents = [agent_of(key, view) for key, view in views.items() if view is not None]
    assert why_waiting(row, agents, desk.now) == {
        "signed_off": 1,
        "full": 1,
        "focus": 1,
        "missing_skill": 1,
        "channel_off": 1,
    }
    assert row["next_step"] == {"at": START + timedelta(seconds=30), "what": "after 30 s: billing -1"}
    assert row["relaxed"] == []
    desk.wait(35)
    row = request_view(desk.pool, "c1")
    assert row is not None
    assert (row["relaxed"], row["skills"]) == (["after 30 s: billing -1"], {"billing": 2})
    assert row["next_step"]["what"] == "after 60 s: billing -1, priority +2"


def test_who_waits_for_the_preferred_agent_says_so() -> None:
    desk = Desk("ana", "ben")
    desk.send(profile("ana", capacity={"messaging": 0}))
    desk.send(request("c1", preferred_agent="ana"))
    row = request_view(desk.pool, "c1")
    assert row is not None
    assert row["waits_for"] == {"agent": "ana", "until": desk.now + timedelta(seconds=10)}
