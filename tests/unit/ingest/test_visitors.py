"""Limits on the public, and what is remembered of visitors."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.accounts import Accounts
from services.ingest.channels.webchat import SessionRequest
from services.ingest.limits import RateLimit
from services.ingest.visitors import VisitorRecord, Visitors, random_visitor_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Store:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.known: dict[str, VisitorRecord] = {}
        self.asked = 0

    async def add(self, visitor: VisitorRecord) -> None:
        self.known[visitor.visitor_id] = visitor

    async def find(self, visitor_id: str) -> VisitorRecord | None:
        self.asked += 1
        return self.known.get(visitor_id)


def test_a_caller_gets_a_burst_then_a_steady_rate_and_others_are_not_touched() -> None:
    limit = RateLimit(burst=2, per_minute=60)
    assert [limit.wait_seconds("a", 0.0) for _ in range(3)] == [0, 0, 1]
    assert limit.wait_seconds("b", 0.0) == 0
    assert limit.wait_seconds("a", 0.5) == 0.5
    assert limit.wait_seconds("a", 1.0) == 0


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_never_more_than_burst_and_rate_allow(pauses: list[float]) -> None:
    limit, now, let_through = RateLimit(burst=5, per_minute=60), 0.0, 0
    for pause in pauses:
        now += pause
        let_through += limit.wait_seconds("a", now) == 0
    assert let_through <= 5 + now + 1e-6


async def test_a_visitor_is_looked_up_once_known_or_not(accounts: Accounts) -> None:
    widget = accounts.find("webchat", "demo")
    assert widget is not None
    store = Store()
    visitors = Visitors(store, timedelta(days=180), random_visitor_id)
    named = await visitors.start(SessionRequest(name="Ann"), widget, NOW)
    anonymous = await visitors.start(SessionRequest(), widget, NOW)
    assert list(store.known) == [named.visitor_id]
    for _ in range(3):
        assert await visitors.known(named.visitor_id) == named
        assert await visitors.known(anonymous.visitor_id) is None
    assert store.asked == 2
    assert named.expires_at == NOW + timedelta(days=180)
