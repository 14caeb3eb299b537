"""The expected wait: what it comes to in cases that can be done by hand, and what must hold in all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Channel, ChannelClass
from services.router.domain.queues import Line
from services.router.domain.waits import (
    HANDLING_SECONDS,
    MOST_LINES,
    Ahead,
    Foresight,
    expected_wait,
    longest,
    shared_room,
)
from tests.unit.router.commands import Desk, available, profile, release, request


def waits(desk: Desk, conversation: str) -> float | None:
    return Foresight(desk.pool).of(desk.pool.state.standings[conversation])


LINES = st.lists(
    st.builds(
        lambda work, own, other: Ahead(work, own + other, own),
        st.floats(0, 1e5),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    max_size=6,
)


@given(st.floats(1, 1e4), st.integers(1, 50), LINES)
def test_the_agents_work_is_what_the_formula_says(handling: float, room: int, lines: list[Ahead]) -> None:
    wait = expected_wait(handling, room, lines)
    assert wait is not None
    done = [min(each.work_seconds / each.room, wait) * min(each.shared, room) for each in lines if each.room]
    if all(each.shared <= room for each in lines):
        assert room * wait == pytest.approx(handling + sum(done), rel=1e-6)


@given(st.floats(1, 1e4), st.integers(1, 50), LINES, st.floats(0, 1e4))
def test_more_ahead_is_never_a_shorter_wait(
    handling: float, room: int, lines: list[Ahead], more: float
) -> None:
    lines = [Ahead(each.work_seconds, each.room, min(each.shared, room)) for each in lines]
    before = expected_wait(handling, room, lines)
    after = expected_wait(handling, room, [*lines, Ahead(more, room, room)])
    assert before is not None
    assert after is not None
    assert after >= before * (1 - 1e-9)


def test_a_line_alone_is_position_times_handling_by_room() -> None:
    assert expected_wait(300, 6, [Ahead(4 * 300, 6, 6)]) == pytest.approx(5 * 300 / 6)


def test_without_agents_nobody_knows() -> None:
    assert expected_wait(300, 0, [Ahead(300, 3, 0)]) is None


def test_a_long_line_of_few_shared_agents_keeps_only_them_busy() -> None:
    """Two of ten Agents have a hundred in line before; the other eight serve us."""
    assert expected_wait(600, 10, [Ahead(100 * 600, 2, 2)]) == pytest.approx(600 / 8)


def test_a_line_that_all_our_agents_serve_first_is_waited_for() -> None:
    assert expected_wait(300, 3, [Ahead(10 * 120, 3, 3)]) == pytest.approx((10 * 120 + 300) / 3)


def test_shared_room_is_that_of_agents_in_both() -> None:
    assert shared_room({"ana": 3, "ben": 2}, {"ben": 1}) == 2
    assert shared_room({"ben": 2}, {"ana": 3, "ben": 1, "cleo": 1}) == 2


def test_beyond_the_longest_lines_requests_count_as_one_line_without_skills() -> None:
    own = Line(Channel.SMS, (ChannelClass.MESSAGING,), (("x", 1),))
    lines = [(("support",), own._replace(skills=((f"s{n}", 1),)), n + 1) for n in range(MOST_LINES + 3)]
    shortened = longest([*lines, (("support",), own, 1)], ("support",), own)
    assert sum(count for _, _, count in shortened) == sum(count for _, _, count in lines) + 1
    assert shortened[0] == (("support",), own, 1)
    assert shortened[-1] == (("support",), own._replace(skills=()), 1 + 2 + 3)


def test_in_a_pool_who_stands_further_back_waits_longer() -> None:
    desk = Desk("ana", capacity={"messaging": 1})
    desk.send(*(request(f"c{number}") for number in range(4)))
    assert [waits(desk, f"c{number}") for number in (1, 2, 3)] == [
        position * HANDLING_SECONDS for position in (1, 2, 3)
    ]


def test_calls_that_are_served_first_by_the_same_agents_count() -> None:
    desk = Desk("ana", capacity={"messaging": 1})
    desk.send(request("held"), request("call", channel=Channel.VOICE), request("text"))
    assert waits(desk, "text") == 2 * HANDLING_SECONDS


def test_another_inbox_of_the_same_agents_counts_and_one_of_others_does_not() -> None:
    desk = Desk("ana", inboxes=("support", "billing"), capacity={"messaging": 1})
    desk.send(profile("ben", inboxes=("far",), capacity={"messaging": 1}), available("ben"))
    desk.send(request("a"), request("b", inbox="far"))
    desk.send(request("c", inbox="billing"), request("d", inbox="far"), request("e"))
    assert waits(desk, "e") == 2 * HANDLING_SECONDS
    assert waits(desk, "d") == HANDLING_SECONDS


def test_only_agents_with_the_skill_serve_its_line() -> None:
    desk = Desk("ana", capacity={"messaging": 1}, skills={"billing": 2})
    desk.send(profile("ben", capacity={"messaging": 1}), available("ben"))
    desk.send(request("a"), request("b"))
    desk.send(request("skilled", skills={"billing": 2}), request("plain"))
    assert waits(desk, "skilled") == HANDLING_SECONDS
    assert waits(desk, "plain") == HANDLING_SECONDS
    desk.send(request("none", skills={"pottery": 1}))
    assert waits(desk, "none") is None


def test_handling_times_are_learnt_the_first_ones_alike() -> None:
    desk = Desk("ana")
    for number, seconds in enumerate((100, 200, 600)):
        desk.send(request(f"c{number}"))
        desk.wait(seconds)
        desk.send(release(f"c{number}", 1))
    assert desk.pool.state.handling["support"][ChannelClass.MESSAGING] == pytest.approx(300)
