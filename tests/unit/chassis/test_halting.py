"""When a consumer stops itself."""

from services.chassis.halting import HaltRule


def outcomes(failed: int, handled: int, keys: int) -> list[tuple[bool, bytes | None]]:
    bad: list[tuple[bool, bytes | None]] = [(True, b"k%d" % (number % keys)) for number in range(failed)]
    return [*bad, *[(False, b"fine")] * handled]


def test_a_bad_deploy_trips_it() -> None:
    assert HaltRule().trips(outcomes(failed=25, handled=10, keys=12))


def test_too_few_failures_do_not() -> None:
    assert not HaltRule().trips(outcomes(failed=19, handled=0, keys=19))


def test_one_poisonous_customer_does_not() -> None:
    assert not HaltRule().trips(outcomes(failed=100, handled=0, keys=9))


def test_a_minority_does_not() -> None:
    failed, handled = outcomes(failed=30, handled=0, keys=20), outcomes(failed=0, handled=30, keys=1)
    mixed = [outcome for pair in zip(handled, failed, strict=True) for outcome in pair]
    assert not HaltRule().trips(mixed)


def test_it_looks_back_over_batches_but_not_further_than_a_hundred() -> None:
    rule = HaltRule()
    assert not rule.trips(outcomes(failed=15, handled=0, keys=15))
    assert rule.trips(outcomes(failed=15, handled=0, keys=15))
    healed = HaltRule()
    healed.trips(outcomes(failed=19, handled=0, keys=19))
    assert not healed.trips(outcomes(failed=0, handled=100, keys=1))
    assert not healed.trips(outcomes(failed=19, handled=0, keys=19))


def test_good_records_at_the_end_of_a_batch_hide_nothing() -> None:
    assert HaltRule().trips(outcomes(failed=400, handled=100, keys=300))
