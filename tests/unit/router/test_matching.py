"""In which order requests are served, by whom, and why."""

from datetime import timedelta

from schemas.common import Channel
from schemas.envelope import Envelope
from schemas.routing import RoutingRequest
from tests.unit.router.commands import START, Desk, assign, available, kinds, profile, release, request


def served(decisions: list[Envelope]) -> list[str]:
    return [
        each.data.conversation_id for each in decisions if each.type in {"routing.granted", "routing.offered"}
    ]


def waiting(*requests: RoutingRequest) -> Desk:
    desk = Desk()
    assert desk.send(*requests) == []
    return desk


def test_voice_comes_before_messaging_before_email() -> None:
    desk = waiting(
        request("mail", channel=Channel.EMAIL), request("text"), request("call", channel=Channel.VOICE)
    )
    desk.send(profile("ana", voice_alone=False, auto_accept={"voice": True}))
    assert served(desk.send(available("ana"))) == ["call", "text", "mail"]


def test_then_priority_then_due_time_then_those_who_lost_their_agent_then_age_then_arrival() -> None:
    desk = waiting(
        request("last"),
        request("older", requested_at=START - timedelta(minutes=1)),
        request("later-older", requested_at=START - timedelta(minutes=1)),
        request("ahead", requested_at=START + timedelta(minutes=1), ahead=True),
        request("due", due_at=START + timedelta(hours=1)),
        request("due-sooner", due_at=START + timedelta(minutes=5)),
        request("urgent", priority=2),
    )
    desk.send(profile("ana", capacity={"messaging": 9, "total": 9}))
    order = ["urgent", "due-sooner", "due", "ahead", "older", "later-older", "last"]
    assert served(desk.send(available("ana"))) == order


def test_the_least_loaded_agent_gets_it() -> None:
    desk = Desk("ana", "ben")
    desk.send(assign("c0", 1, "ana"))
    [grant] = desk.send(request("c1"))
    assert (grant.data.agent, grant.data.explanation.why) == ("ben", "least_loaded")
    assert grant.data.explanation.candidates == ("ana",)


def test_among_equally_loaded_agents_the_longest_idle_gets_it() -> None:
    desk = Desk("ana", "ben")
    [first] = desk.send(request("c1"))
    assert (first.data.agent, first.data.explanation.why) == ("ana", "longest_idle")
    desk.wait(1)
    desk.send(release("c1", 1))
    assert desk.send(request("c2"))[0].data.agent == "ben"


def test_the_explanation_counts_who_was_excluded_for_what() -> None:
    desk = Desk("ana")
    desk.send(
        profile("other", inboxes=("billing",)),
        profile("off"),
        profile("mute"),
        available("mute", Channel.EMAIL),
        profile("unskilled"),
        available("unskilled"),
        profile("full", skills={"billing": 3}, capacity={"total": 0}),
        available("full"),
        profile("ana", skills={"billing": 3}),
    )
    [grant] = desk.send(request("c1", skills={"billing": 2}))
    assert grant.data.agent == "ana"
    assert grant.data.explanation.why == "only_one"
    assert grant.data.explanation.excluded == {
        "other_inbox": 1,
        "signed_off": 1,
        "channel_off": 1,
        "missing_skill": 1,
        "full": 1,
    }


def test_a_skill_below_the_needed_level_is_not_enough() -> None:
    desk = waiting(request("c1", skills={"billing": 3}))
    assert desk.send(profile("ana", skills={"billing": 2}), available("ana")) == []
    assert served(desk.send(profile("ana", skills={"billing": 3}))) == ["c1"]


def test_the_preferred_agent_gets_it_even_when_more_loaded() -> None:
    desk = Desk("ana", "ben")
    desk.send(assign("c0", 1, "ana"))
    [grant] = desk.send(request("c1", preferred_agent="ana"))
    assert (grant.data.agent, grant.data.explanation.why) == ("ana", "preferred")


def test_a_request_waits_ten_seconds_for_a_full_preferred_agent_then_takes_another() -> None:
    desk = Desk("ana", "ben", capacity={"total": 1})
    desk.send(assign("c0", 1, "ana"))
    assert desk.send(request("c1", preferred_agent="ana")) == []
    assert desk.wait(9.9) == []
    [grant] = desk.wait(0.1)
    assert grant.data.agent == "ben"


def test_the_preferred_agent_who_gets_room_in_time_gets_it() -> None:
    desk = Desk("ana", "ben", capacity={"total": 1})
    desk.send(assign("c0", 1, "ana"), request("c1", preferred_agent="ana"))
    desk.wait(5)
    assert desk.send(release("c0", 1))[1].data.agent == "ana"


def test_waiting_for_a_preferred_agent_ends_when_they_sign_off() -> None:
    desk = Desk("ana", "ben", capacity={"total": 1})
    desk.send(assign("c0", 1, "ana"), request("c1", preferred_agent="ana"))
    decisions = desk.send(available("ana", on=False))
    assert kinds(decisions) == ["unassigned", "granted"]
    assert decisions[1].data.agent == "ben"


def test_a_signed_off_preferred_agent_is_not_waited_for() -> None:
    desk = Desk("ben")
    desk.send(profile("ana"))
    assert desk.send(request("c1", preferred_agent="ana"))[0].data.agent == "ben"


def test_one_who_waits_for_their_agent_holds_up_nobody_behind() -> None:
    desk = Desk("ana", "ben", capacity={"total": 1})
    desk.send(assign("c0", 1, "ana"), request("c1", preferred_agent="ana"))
    assert served(desk.send(request("c2"))) == ["c2"]


def test_an_agent_has_at_most_three_messaging_conversations_by_default() -> None:
    desk = Desk("ana")
    decisions = desk.send(*(request(f"c{number}") for number in range(5)))
    assert served(decisions) == ["c0", "c1", "c2"]


def test_the_total_limits_across_classes() -> None:
    desk = Desk("ana", capacity={"total": 4})
    decisions = desk.send(
        *(request(f"t{number}") for number in range(3)),
        *(request(f"m{number}", channel=Channel.EMAIL) for number in range(3)),
    )
    assert served(decisions) == ["t0", "t1", "t2", "m0"]


def test_nothing_joins_a_call_unless_the_profile_allows_it() -> None:
    desk = Desk("ana", auto_accept={"voice": True})
    desk.send(request("call", channel=Channel.VOICE))
    assert desk.send(request("text")) == []
    assert served(desk.send(profile("ana", voice_alone=False))) == ["text"]


def test_a_call_waits_for_empty_hands() -> None:
    desk = Desk("ana", auto_accept={"voice": True})
    desk.send(request("text"))
    assert desk.send(request("call", channel=Channel.VOICE)) == []
    assert served(desk.send(release("text", 1))) == ["call"]
