"""The live measure of expected waits."""

from datetime import timedelta

from services.router.expectations import MOST_AT_ONCE, Expectations
from tests.unit.router.commands import MESSAGING, Desk, assign, available, release, request


def busy() -> tuple[Desk, Expectations]:
    desk = Desk("ana", capacity={"messaging": 1})
    followed = Expectations(desk.pool)
    assert list(followed.follow([desk.step(request("held"))])) == []
    return desk, followed


def test_the_error_is_told_at_the_grant_of_who_had_to_wait() -> None:
    desk, followed = busy()
    assert list(followed.follow([desk.step(request("c1"))])) == []
    desk.now += timedelta(seconds=400)
    assert list(followed.follow([desk.step(release("held", 1))])) == [(MESSAGING, 400 - 300)]


def test_who_is_served_at_once_or_by_hand_is_not_measured() -> None:
    desk, followed = busy()
    list(followed.follow([desk.step(request("c1"))]))
    assert list(followed.follow([desk.step(assign("c1", 2, "ana", force=True, reason="take"))])) == []
    desk.now += timedelta(seconds=10)
    assert list(followed.follow([desk.step(release("c1", 2)), desk.step(release("held", 1))])) == []
    assert list(followed.follow([desk.step(request("c2"))])) == []


def test_who_leaves_is_forgotten() -> None:
    desk, followed = busy()
    list(followed.follow([desk.step(request("c1"))]))
    list(followed.follow([desk.step(release("c1", 1))]))
    list(followed.follow([desk.step(release("held", 1))]))
    assert list(followed.follow([desk.step(request("c1", 2))])) == []


def test_nobody_is_foreseen_without_agents_and_few_at_once() -> None:
    desk, followed = busy()
    steps = [desk.step(request(f"c{number}")) for number in range(MOST_AT_ONCE + 5)]
    assert list(followed.follow(steps)) == []
    over = [release("held", 1), *(release(f"c{number}", 1) for number in range(MOST_AT_ONCE + 5))]
    ended = [desk.step(each) for each in over]
    assert len(list(followed.follow(ended))) == MOST_AT_ONCE
    alone = Desk()
    followed = Expectations(alone.pool)
    list(followed.follow([alone.step(request("c1"))]))
    alone.send(available("ana"))
    assert list(followed.follow([alone.step(release("c1", 1))])) == []
