"""The checker of system runs: an exact run has no faults, and each planted one is named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from schemas.common import Channel
from schemas.conversations import (
    ConversationOpened,
    ConversationStatusChanged,
    OpenedData,
    Status,
    StatusChangedData,
)
from schemas.ids import derive
from schemas.routing import (
    Capacity,
    Explanation,
    GrantData,
    OfferData,
    ReleasedData,
    RoutingGranted,
    RoutingOffered,
    RoutingReleased,
    RoutingUnassigned,
    UnassignData,
)
from tests.system.checker import faults
from tests.system.evidence import Evidence, Replied, Wrote

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
CAUSE = UUID(int=1)
ANN = "sms:+12025550001"
WHY = Explanation(policy="least_loaded", why="only_one")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def item(text: str, seconds: float, **more: Any) -> dict[str, Any]:
    defaults = {"id": f"m-{text}", "kind": "message", "direction": "inbound", "status": "received"}
    return {**defaults, "text": text, "at": at(seconds).isoformat(), **more}


def conversation(name: str, status: str = "open") -> dict[str, Any]:
    return {"id": name, "status": status, "contacts": [{"channel": "sms"}]}


def envelope(kind: str, number: int) -> dict[str, Any]:
    own = derive(kind, number)
    return {"id": own, "occurred_at": NOW, "correlation": CAUSE, "customer_id": "c", "seq": number}


def granted(
    n: int,
    who: str,
    agent: str = "ana",
    epoch: int = 1,
    *,
    forced: bool = False,
    reason: Literal["push", "take"] = "push",
) -> RoutingGranted:
    data = GrantData(
        pool="main",
        n=n,
        conversation_id=who,
        epoch=epoch,
        agent=agent,
        reason=reason,
        forced=forced,
        explanation=WHY,
    )
    return RoutingGranted(**envelope("decision", n), data=data)


def offered(n: int, who: str, agent: str, epoch: int = 1) -> RoutingOffered:
    data = OfferData(
        pool="main",
        n=n,
        conversation_id=who,
        epoch=epoch,
        agent=agent,
        offer_id=derive("offer", n),
        inbox="support",
        channel=Channel.SMS,
        expires_at=NOW,
    )
    return RoutingOffered(**envelope("decision", n), data=data)


def released(n: int, who: str, epoch: int = 1) -> RoutingReleased:
    return RoutingReleased(
        **envelope("decision", n), data=ReleasedData(pool="main", n=n, conversation_id=who, epoch=epoch)
    )


def unassigned(n: int, who: str, agent: str = "ana") -> RoutingUnassigned:
    data = UnassignData(pool="main", n=n, conversation_id=who, epoch=1, agent=agent, reason="signed_off")
    return RoutingUnassigned(**envelope("decision", n), data=data)


def opened(seq: int, who: str) -> ConversationOpened:
    data = OpenedData(conversation_id=who, inbox="support", status=Status.NEW, channel=Channel.SMS)
    return ConversationOpened(**envelope("open", seq), home="c", data=data)


def closed(seq: int, who: str) -> ConversationStatusChanged:
    data = StatusChangedData(
        conversation_id=who, inbox="support", status=Status.CLOSED, before=Status.NEW, reason="agent"
    )
    return ConversationStatusChanged(**envelope("close", seq), home="c", data=data)


EXACT = Evidence(
    wrote=[Wrote(ANN, "one", at(0), at(1)), Wrote(ANN, "two", at(2), at(3), provider_at=at(2))],
    replied=[Replied("m-soon", "soon"), Replied("m-perhaps", "perhaps")],
    customers={ANN: ["c"]},
    timelines={
        "c": [
            item("perhaps", 5, direction="outbound", status="unknown"),
            item("soon", 4, direction="outbound", status="delivered"),
            item("two", 2),
            item("one", 0.5),
        ]
    },
    conversations={"c": [conversation("k1", "closed"), conversation("k2")]},
    sent=[{"text": "soon", "to": "+12025550001"}],
    decisions=[
        granted(1, "k1"),
        granted(1, "k1"),
        released(2, "k1"),
        offered(3, "k2", "ana"),
        granted(4, "k2"),
    ],
    events=[opened(1, "k1"), closed(2, "k1"), opened(3, "k2"), opened(3, "k2")],
    capacities={"ana": Capacity(messaging=1)},
)


def with_timeline(*items: dict[str, Any]) -> Evidence:
    return replace(EXACT, timelines={"c": [*EXACT.timelines["c"][:2], *items]})


def with_reply(status: str, *, times: int) -> Evidence:
    shown = item("soon", 4, direction="outbound", status=status)
    perhaps, _, *rest = EXACT.timelines["c"]
    return replace(EXACT, timelines={"c": [perhaps, shown, *rest]}, sent=[{"text": "soon"}] * times)


def deciding(*decisions: Any, room: int = 1) -> Evidence:
    return replace(EXACT, decisions=decisions, capacities={"ana": Capacity(messaging=room)})


def test_an_exact_run_has_no_faults() -> None:
    assert faults(EXACT) == []


ONE, TWO = item("one", 0.5), item("two", 2)
PLANTED: dict[str, tuple[Evidence, str]] = {
    "lost message": (with_timeline(TWO), "'one' of sms:+12025550001 is on the timeline 0 times"),
    "doubled message": (with_timeline(TWO, TWO, ONE), "'two' of sms:+12025550001 is on the timeline 2 times"),
    "message of nobody": (with_timeline(TWO, item("three", 1), ONE), "'three' is on the timeline of"),
    "refused, and doubled": (
        replace(with_timeline(TWO, TWO, ONE), wrote=EXACT.wrote[:1], unanswered={"two"}),
        "'two' of sms:+12025550001 is on the timeline 2 times",
    ),
    "wrong order": (with_timeline(ONE, TWO), "the timeline of c is not in the order"),
    "not the provider's time": (
        with_timeline(item("two", 2.5), ONE),
        "'two' of sms:+12025550001 is shown at",
    ),
    "not the time it came": (with_timeline(TWO, item("one", 1.9)), "'one' of sms:+12025550001 is shown at"),
    "wrong order within a second": (
        replace(
            EXACT,
            wrote=[Wrote(ANN, "one", at(2), at(2.1), at(2)), Wrote(ANN, "two", at(2.2), at(2.3), at(2))],
            timelines={"c": [*EXACT.timelines["c"][:2], item("one", 2), item("two", 2)]},
        ),
        "'two' of sms:+12025550001 is shown before 'one', which was answered first",
    ),
    "two Customers": (replace(EXACT, customers={ANN: ["c", "d"]}), "is known as 2 Customers"),
    "refused, and two Customers": (
        replace(EXACT, wrote=[], unanswered={"one", "two"}, customers={ANN: ["c", "d"]}),
        "is known as 2 Customers",
    ),
    "only refused, and doubled": (
        replace(with_timeline(TWO, TWO), wrote=[], unanswered={"two"}),
        "'two' of sms:+12025550001 is on the timeline 2 times",
    ),
    "no Customer": (replace(EXACT, customers={}), "is known as 0 Customers"),
    "sent twice": (with_reply("delivered", times=2), "the reply 'soon' was sent 2 times"),
    "unknown and sent twice": (with_reply("unknown", times=2), "the reply 'soon' was sent 2 times"),
    "never sent": (with_reply("sent", times=0), "the reply 'soon' is sent, and was never sent"),
    "left lying": (with_reply("queued", times=0), "the reply 'soon' is still queued"),
    "failed but sent": (with_reply("failed", times=1), "the reply 'soon' is failed, and was sent"),
    "reply lost": (replace(EXACT, replied=[Replied("m-x", "x")], sent=[]), "the reply 'x' is on no timeline"),
    "reply of nobody": (replace(EXACT, sent=[*EXACT.sent, {"text": "spam"}]), "'spam' was sent, and nobody"),
    "two open": (
        replace(EXACT, conversations={"c": [conversation("k1"), conversation("k2", "new")]}),
        "c has 2 Conversations that are not closed: k1, k2",
    ),
    "two open for a while": (
        replace(EXACT, events=[opened(1, "k1"), opened(2, "k2"), closed(3, "k1")]),
        "c has 2 Conversations that are not closed at event 2",
    ),
    "an event is missing": (
        replace(EXACT, events=[opened(1, "k1"), closed(3, "k1")]),
        "without a gap: [1, 3]",
    ),
    "two events with a number": (
        replace(EXACT, events=[opened(1, "k1"), closed(1, "k1")]),
        "two events of c share a number",
    ),
    "two owners of a pool": (
        deciding(granted(1, "k1"), granted(1, "k2")),
        "two decisions of pool main have number 1",
    ),
    "offered twice": (
        deciding(offered(1, "k1", "ana"), offered(2, "k1", "ben")),
        "k1 is offered to ben while ana",
    ),
    "over the room of a channel": (
        replace(
            deciding(granted(1, "k1"), granted(2, "k2")),
            conversations={"c": [conversation("k1", "closed"), conversation("k2")]},
        ),
        "ana has 2 of 1 messaging Conversations at decision 2",
    ),
    "over the room in all": (
        replace(deciding(granted(1, "x"), granted(2, "y")), capacities={"ana": Capacity(total=1)}),
        "ana has 2 of 1 Conversations at decision 2",
    ),
    "a place that is never given back": (
        replace(EXACT, loads={"ana": 2}, desks={"ana": ["k2"]}),
        "the router counts 2 Conversations of ana, who has 1",
    ),
    "an Agent the router forgot": (
        replace(EXACT, loads={"ana": 0}, desks={"ana": ["k2"]}),
        "the router counts 0 Conversations of ana, who has 1",
    ),
    "dead letter": (replace(EXACT, set_aside=["identity gave up"]), "identity gave up"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named(name: str) -> None:
    evidence, expected = PLANTED[name]
    found = faults(evidence)
    assert any(expected in fault for fault in found), found


@pytest.mark.parametrize(
    "decisions",
    [
        pytest.param([granted(1, "k1"), released(2, "k1"), granted(3, "k2")], id="released"),
        pytest.param([granted(1, "k1"), unassigned(2, "k1"), granted(3, "k2")], id="lost its Agent"),
        pytest.param([granted(1, "k1"), granted(2, "k1", "ben", 2), granted(3, "k2")], id="transferred"),
        pytest.param([granted(1, "k1"), granted(2, "k2", forced=True)], id="forced"),
        pytest.param(
            [granted(1, "k1"), released(2, "k1", 2), granted(3, "k2")], id="released by a newer wish"
        ),
        pytest.param([granted(1, "k1"), offered(2, "k1", "ben", 2), granted(3, "k2")], id="asked for anew"),
        pytest.param([granted(3, "k2"), released(2, "k1"), granted(1, "k1")], id="read out of order"),
    ],
)
def test_an_agent_who_was_free_again_is_not_over_capacity(decisions: list[Any]) -> None:
    assert faults(deciding(*decisions)) == []


def test_a_webhook_that_was_not_answered_may_or_may_not_have_come_in() -> None:
    unanswered = replace(EXACT, wrote=EXACT.wrote[:1], unanswered={"two", "three"})
    assert faults(unanswered) == []


def test_messages_that_were_written_at_the_same_time_have_no_order() -> None:
    overlapping = [Wrote(ANN, "one", at(0), at(3)), Wrote(ANN, "two", at(0.1), at(3))]
    either = with_timeline(item("one", 2), item("two", 1))
    assert faults(replace(either, wrote=overlapping)) == []


def test_a_release_of_an_older_wish_frees_nobody() -> None:
    found = faults(deciding(granted(1, "k1", epoch=2), released(2, "k1", epoch=1), granted(3, "k2")))
    assert found == ["ana has 2 of 1 messaging Conversations at decision 3 of pool main"]
