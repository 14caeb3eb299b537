"""Failures wait while many records fail."""

from aiokafka import TopicPartition

from services.chassis.deadletters.letter import Failure
from services.chassis.halting import WINDOW, HaltRule
from services.chassis.holding import Failed, HeldBack
from tests.suites.consumed import consumed


def failed(offset: int, since: float, partition: int = 0) -> Failed:
    return Failed(consumed("t", offset, partition=partition), Failure("LookupError", 3), since)


def test_nothing_waits_while_few_records_fail() -> None:
    held = HeldBack(60, [failed(1, 100), failed(2, 101)])
    assert held.due(101, suspicious=False) == held.failed


def test_while_many_records_fail_each_waits_its_time() -> None:
    held = HeldBack(60, [failed(1, 100), failed(2, 130)])
    assert held.due(159, suspicious=True) == []
    assert held.due(160, suspicious=True) == held.failed[:1]


def test_more_than_the_rule_looks_at_never_wait() -> None:
    held = HeldBack(60, [failed(offset, 100) for offset in range(WINDOW + 1)])
    assert held.due(100, suspicious=True) == held.failed


def test_offsets_are_committed_up_to_the_first_that_waits() -> None:
    held = HeldBack(60, [failed(7, 100), failed(4, 100), failed(9, 100, partition=1)])
    one, two, three = (TopicPartition("t", number) for number in range(3))
    assert held.below({one: 12, two: 10, three: 3}) == {one: 4, two: 9, three: 3}
    held.forget(held.failed[1:2])
    assert held.below({one: 12, three: 3}) == {one: 7, three: 3}


def test_more_than_a_quarter_failing_is_suspicious_long_before_the_rule_is_met() -> None:
    rule = HaltRule()
    assert not rule.suspicious
    assert not rule.trips([(True, "one")])
    assert rule.suspicious
    rule.trips([(False, "two"), (False, "three")])
    assert rule.suspicious
    rule.trips([(False, "four")])
    assert not rule.suspicious


def test_a_copy_of_the_rule_looks_ahead_alone() -> None:
    rule = HaltRule([(True, number) for number in range(19)])
    assert rule.copy().trips([(True, 19)])
    assert not rule.trips([(False, 0)])
