"""An account that its provider refuses is left alone, tried by one message at a time, and taken up again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.common import Channel
from services.chassis.accounts import Account
from services.notifier.channels.sending import RateLimit
from services.notifier.pace import Pace, limit_of
from services.notifier.standing import Pause, ProbeRules, Standing

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = ProbeRules(timedelta(seconds=5), timedelta(seconds=60))
ACCOUNT = Account(provider="whatsapp", account="demo", channel=Channel.WHATSAPP, address="1", inbox="support")


def standing() -> Standing:
    return Standing(ACCOUNT, Pace(None, lambda: None), RULES)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_pause_grows_with_each_probe_in_vain_and_ends_with_the_first_that_is_served() -> None:
    one = standing()
    assert one.refused("m1", "190", at(0))
    assert [one.may_ask(at(4.9), 0), one.may_ask(at(5), 1), one.may_ask(at(5), 0)] == [False, False, True]
    waits, now = [], at(5)
    for _ in range(6):
        one.ask("m1")
        assert one.refused("m1", "190", now)
        assert one.pause is not None
        waits.append((one.pause.probe_at - now).total_seconds())
        now = one.pause.probe_at
    assert waits == [10, 20, 40, 60, 60, 60]
    assert one.pause == Pause(at(0), "190", now, 6)
    one.ask("m1")
    one.served("m1")
    assert one.pause is None
    assert one.may_ask(now, 7)


def test_requests_that_left_before_neither_prolong_the_pause_nor_end_it() -> None:
    one = standing()
    one.refused("m1", "190", at(0))
    first = one.pause
    one.refused("m2", "190", at(1))
    one.unsaid("m3", at(1))
    one.served("m4")
    assert one.pause is first


def test_a_probe_without_an_answer_prolongs_the_pause() -> None:
    one = standing()
    one.refused("m1", "190", at(0))
    one.ask("m2")
    one.unsaid("m2", at(5))
    assert one.pause == Pause(at(0), "190", at(15), 1)


def test_a_probe_that_is_refused_for_itself_says_nothing_and_the_next_one_may_go_at_once() -> None:
    one = standing()
    one.refused("m1", "190", at(0))
    first = one.pause
    one.ask("m2")
    one.passed("m2")
    assert one.pause is first
    assert one.may_ask(at(5), 0)


def test_a_message_that_alone_is_refused_time_and_again_is_at_fault_itself() -> None:
    one, now = standing(), 0.0
    for _ in range(2):
        assert one.refused("bad", "21408", at(now))
        now += 5
        one.ask("good")
        one.served("good")
        assert one.pause is None
    assert not one.refused("bad", "21408", at(now))
    assert one.pause is None
    assert one.refused("other", "21408", at(now))


def test_a_message_that_went_out_meanwhile_is_not_held_to_be_at_fault() -> None:
    one, now = standing(), 0.0
    for number in range(5):
        for name in ("m1", "m2"):
            assert one.refused(name, "190", at(now)), number
        now += 5
        one.ask("m1")
        one.served("m1")
        one.served("m2")


@given(
    st.floats(0.1, 1000), st.integers(1, 1000), st.none() | st.floats(0.1, 100), st.none() | st.integers(1, 9)
)
def test_an_accounts_own_limit_goes_before_the_providers(
    per_second: float, burst: int, own_rate: float | None, own_burst: int | None
) -> None:
    own = ACCOUNT.model_copy(update={"rate_per_second": own_rate, "burst": own_burst})
    limit = limit_of(own, RateLimit(per_second, burst))
    assert limit is not None
    assert limit.per_second == (own_rate or per_second)
    assert limit.burst == (own_burst or (burst if own_rate is None else max(1, round(own_rate))))
    assert (limit_of(own, None) is None) == (own_rate is None)


class Pausing(RuleBasedStateMachine):
    """However answers come: while paused, at most one request is out, and never before its time."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.now = standing(), START
        self.out: list[str] = []
        self.paused_out: set[str] = set()
        self.count = 0

    @rule(seconds=st.sampled_from([0.1, 1, 6, 61]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def ask(self) -> None:
        if self.one.may_ask(self.now, len(self.out)):
            name = f"m{self.count}"
            self.count += 1
            if self.one.pause is not None:
                assert self.out == []
                assert self.now >= self.one.pause.probe_at
            self.one.ask(name)
            self.out.append(name)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), answer=st.sampled_from(["served", "refused", "passed", "unsaid"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        name = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if answer == "served":
            self.one.served(name)
        elif answer == "passed":
            before = self.one.pause
            self.one.passed(name)
            assert self.one.pause is before
        elif answer == "refused":
            assert self.one.refused(name, "190", self.now)
            assert self.one.pause is not None
        else:
            self.one.unsaid(name, self.now)

    @invariant()
    def a_pause_ends(self) -> None:
        if self.one.pause is not None and not self.out:
            assert self.one.may_ask(max(self.now, self.one.pause.probe_at), 0)
            assert self.one.pause.probe_at <= self.now + RULES.most


TestPausing = Pausing.TestCase
