"""Up to when timers may fire: one moment where partitions keep up, its own for one that lags."""

from datetime import UTC, datetime, timedelta

from services.conversation.loops import level

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_partitions_that_keep_up_share_the_earliest_moment() -> None:
    assert level({1: NOW, 2: ago(0.3), 3: ago(0.1)}, NOW) == dict.fromkeys((1, 2, 3), ago(0.3))


def test_a_partition_that_lags_keeps_its_own_and_holds_up_no_other() -> None:
    assert level({1: ago(0.2), 2: ago(40)}, NOW) == {1: ago(0.2), 2: ago(40)}


def test_no_bound_becomes_later() -> None:
    bounds = {1: NOW, 2: ago(0.9), 3: ago(1.1), 4: ago(100)}
    leveled = level(bounds, NOW)
    assert all(leveled[partition] <= bound for partition, bound in bounds.items())


def test_nothing_is_due_where_nothing_is_owned() -> None:
    assert level({}, NOW) == {}
