"""What operators are told about a pool."""

from prometheus_client import REGISTRY

from services.router.metrics import Measured
from tests.unit.router.commands import Desk, profile, request


def above_capacity(pool: str) -> float | None:
    return REGISTRY.get_sample_value("parley_router_agents_above_capacity", {"pool": pool})


def test_an_agent_with_more_than_the_profile_allows_is_told() -> None:
    desk, measured = Desk("ana"), Measured()
    desk.send(request("c1"), request("c2"))
    measured.watched(desk.pool, desk.now)
    assert above_capacity(desk.pool.state.pool) == 0
    desk.send(profile("ana", capacity={"total": 1}))
    measured.watched(desk.pool, desk.now)
    assert above_capacity(desk.pool.state.pool) == 1
