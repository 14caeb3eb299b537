"""Workers never ask a provider more often than an account may, and not less often than they could."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.common import Channel
from services.chassis.accounts import Account
from services.notifier.channels.sending import RateLimit
from services.notifier.domain import Send, new_send
from services.notifier.settings import NotifierSettings
from services.notifier.standing import ProbeRules
from services.notifier.standings import Standings
from services.notifier.workers import Workers
from tests import virtual_time
from tests.unit.notifier.builders import START, reply

ACCOUNT = Account(provider="twilio-sms", account="demo", channel=Channel.SMS, address="1", inbox="support")
SOURCE = "twilio-sms/demo"
RULES = ProbeRules(timedelta(seconds=5), timedelta(seconds=60))


@dataclass
class Backlog:
    """Messages that become due at their times; a claim takes some time, and so does a request."""

    due_at: list[float]
    seconds: float
    sent: list[float] = field(default_factory=list)
    taken: int = 0

    async def claim(self, _source: str, claim: str, _lease: timedelta) -> Send | None:
        await asyncio.sleep(0.001)
        if self.taken == len(self.due_at) or self.due_at[self.taken] > now():
            return None
        self.taken += 1
        message = reply(f"m{self.taken}")
        return replace(new_send(message, START, b""), claim=claim)

    async def release(self, _source: str, _claim: str) -> None:
        raise AssertionError

    async def due(self) -> list[str]:
        return [SOURCE]

    async def send(self, _claimed: Send) -> None:
        self.sent.append(now())
        await asyncio.sleep(self.seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


async def work(
    backlog: Backlog, limit: RateLimit | None, changes: Iterable[tuple[float, Account]] = ()
) -> None:
    """Let a replica work until all is sent; `changes`: when which account takes the place of the first."""
    own = NotifierSettings(send_poll_seconds=0.5, sends_at_once=8)
    workers: list[Workers] = []
    standings = Standings(RULES, lambda _: limit, lambda sources: [each.wake(sources) for each in workers])
    workers.append(Workers(backlog, standings, backlog.send, own, lambda: datetime.fromtimestamp(now(), UTC)))
    standings.learn([ACCOUNT])
    running = asyncio.create_task(workers[0].run())
    for at, account in changes:
        await asyncio.sleep(max(0.0, at - now()))
        standings.learn([account])
        workers[0].staff()
    async with asyncio.timeout(100_000):
        while len(backlog.sent) < len(backlog.due_at):
            await asyncio.sleep(0.5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def most_in_any_window(times: list[float], limit: RateLimit) -> bool:
    """Tell whether no stretch of time holds more than burst + rate x length."""
    return all(
        count <= limit.burst + limit.per_second * (end - begin) + 1e-6
        for first, begin in enumerate(times)
        for count, end in enumerate(times[first:], start=1)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=40).map(sorted),
    st.floats(0.2, 50),
    st.integers(1, 20),
    st.floats(0, 3),
    st.lists(st.floats(0, 20), max_size=3).map(sorted),
)
def test_no_stretch_of_time_has_more_requests_than_burst_and_rate_allow(
    due_at: list[float], per_second: float, burst: int, seconds: float, rotations: list[float]
) -> None:
    limit, backlog = RateLimit(per_second, burst), Backlog(due_at, seconds)
    rotated = [
        (at, ACCOUNT.model_copy(update={"secrets": {"auth_token": f"token-{number}"}}))
        for number, at in enumerate(rotations)
    ]
    virtual_time.run(work(backlog, limit, rotated))
    assert len(backlog.sent) == len(due_at)
    assert most_in_any_window(backlog.sent, limit)


def test_a_backlog_is_sent_as_fast_as_the_rate_allows() -> None:
    backlog = Backlog([0.0] * 101, 0.01)
    virtual_time.run(work(backlog, RateLimit(4, 1)))
    assert 25 <= backlog.sent[-1] < 25.5


def test_without_a_rate_only_the_requests_under_way_limit() -> None:
    backlog = Backlog([0.0] * 80, 1.0)
    virtual_time.run(work(backlog, None))
    assert backlog.sent[-1] < 10.5
    assert sum(at < 1 for at in backlog.sent) == 8


def test_a_changed_rate_holds_from_then_on() -> None:
    backlog = Backlog([0.0] * 60, 0.0)
    faster = ACCOUNT.model_copy(update={"rate_per_second": 100.0, "burst": 1})
    virtual_time.run(work(backlog, RateLimit(1, 1), [(10.0, faster)]))
    assert sum(at < 10 for at in backlog.sent) in {10, 11}
    assert backlog.sent[-1] < 11
