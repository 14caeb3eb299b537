"""The router's metrics, each declared once."""

from collections import Counter as Tally
from collections.abc import Sequence
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from schemas.common import ChannelClass
from schemas.routing import RoutingGranted
from services.router.domain.engine import Step
from services.router.domain.pool import Pool
from services.router.domain.views import depths
from services.router.expectations import Expectations

DECISIONS = Counter("parley_router_decisions_total", "Decisions by type, journaled", ["pool", "type"])
GRANTS = Counter(
    "parley_router_grants_total",
    "Conversations given to an Agent by how, and whether forced",
    ["pool", "reason", "forced"],
)
OFFER_ENDS = Counter(
    "parley_router_offers_ended_total", "Offers that ended without a grant", ["pool", "outcome"]
)
REFUSALS = Counter("parley_router_refusals_total", "Assigns refused", ["pool", "reason"])
WAIT_SECONDS = Histogram(
    "parley_router_wait_seconds",
    "From a request to its grant",
    ["pool"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 14400),
)
EXPECTED_WAIT_ERROR = Histogram(
    "parley_router_expected_wait_error_seconds",
    "Real minus expected wait of those who had to wait, at their grant; above 0: longer than expected",
    ["pool", "channel_class"],
    buckets=(-3600, -900, -300, -120, -60, -30, -10, 0, 10, 30, 60, 120, 300, 900, 3600),
)
DECISION_SECONDS = Histogram(
    "parley_router_step_seconds",
    "Time of the engine per input, averaged over a batch",
    ["pool"],
    buckets=(0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1),
)
QUEUE_DEPTH = Gauge(
    "parley_router_queue_conversations", "Conversations in line", ["pool", "inbox", "channel_class"]
)
CAPACITY = Gauge("parley_router_capacity_conversations", "Room of signed-on Agents in all", ["pool"])
CAPACITY_USED = Gauge(
    "parley_router_capacity_used_conversations", "What Agents hold, offers included", ["pool"]
)
OVERLOADED = Gauge(
    "parley_router_agents_above_capacity", "Agents who hold more Conversations than they should", ["pool"]
)
AGENTS_ON = Gauge("parley_router_agents_signed_on", "Agents signed on and not away", ["pool"])
OLDEST = Gauge("parley_router_oldest_wait_seconds", "Age of the oldest request in line", ["pool"])
CONFLICTS = Counter(
    "parley_router_journal_conflicts_total", "Journal entries lost to another owner of the pool", ["pool"]
)
DIVERGED = Counter(
    "parley_router_replay_divergences_total", "Entries whose replay decided otherwise than recorded", ["pool"]
)
COMMAND_TIMEOUTS = Counter(
    "parley_router_command_timeouts_total", "HTTP commands without an answer in time", ["command"]
)


class Measured:
    """Counts what pools do; behind the handlers' Observer."""

    def __init__(self) -> None:
        self._queues: dict[str, set[tuple[str, ChannelClass]]] = {}
        self._expectations: dict[str, Expectations] = {}

    def stepped(self, owned: Pool, steps: Sequence[Step], seconds: float) -> None:
        """See Observer."""
        pool = owned.state.pool
        expectations = self._expectations.get(pool)
        if expectations is None or expectations.pool is not owned:
            expectations = self._expectations[pool] = Expectations(owned)
        for kind, error in expectations.follow(steps):
            EXPECTED_WAIT_ERROR.labels(pool, kind).observe(error)
        DECISION_SECONDS.labels(pool).observe(seconds / max(len(steps), 1))
        types: Tally[str] = Tally()
        for done in steps:
            for decision in done.decisions:
                types[decision.type] += 1
                data = getattr(decision, "data", None)
                if isinstance(decision, RoutingGranted):
                    GRANTS.labels(pool, decision.data.reason, decision.data.forced).inc()
                    WAIT_SECONDS.labels(pool).observe(decision.data.waited_seconds)
                elif decision.type == "routing.offer_ended":
                    OFFER_ENDS.labels(pool, getattr(data, "outcome", "")).inc()
                elif decision.type == "routing.refused":
                    REFUSALS.labels(pool, getattr(data, "reason", "")).inc()
        for name, count in types.items():
            DECISIONS.labels(pool, name).inc(count)

    def watched(self, pool: Pool, now: datetime) -> None:
        """See Observer."""
        name = pool.state.pool
        found = depths(pool)
        for queue in self._queues.get(name, set()) - set(found):
            QUEUE_DEPTH.labels(name, *queue).set(0)
        for queue, depth in found.items():
            QUEUE_DEPTH.labels(name, *queue).set(depth)
        self._queues[name] = set(found) | self._queues.get(name, set())
        agents = pool.state.agents
        there = [agent for agent in agents.values() if agent.signed_on and not agent.away]
        AGENTS_ON.labels(name).set(len(there))
        CAPACITY.labels(name).set(sum(agent.capacity.total for agent in there))
        CAPACITY_USED.labels(name).set(sum(hand.total for hand in pool.hands.values()))
        oldest = pool.queues.oldest()
        above = (hand.total > agents[id_].capacity.total for id_, hand in pool.hands.items() if id_ in agents)
        OVERLOADED.labels(name).set(sum(above))
        for counter in (CONFLICTS, DIVERGED):
            counter.labels(name)  # a counter that is born at 1 shows no increase
        OLDEST.labels(name).set((now - oldest).total_seconds() if oldest else 0)

    def lost(self, pool: str, *, conflict: bool) -> None:
        """See Observer."""
        if conflict:
            CONFLICTS.labels(pool).inc()
        self._expectations.pop(pool, None)
        for inbox, kind in self._queues.pop(pool, set()):
            QUEUE_DEPTH.remove(pool, inbox, kind)
        for gauge in (AGENTS_ON, CAPACITY, CAPACITY_USED, OLDEST, OVERLOADED):
            gauge.labels(pool).set(0)

    def diverged(self, pool: str) -> None:
        """See Observer."""
        DIVERGED.labels(pool).inc()
