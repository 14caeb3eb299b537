"""`step`: the one way anything happens in a pool. The same inputs at the same times decide the same."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.envelope import Envelope
from schemas.routing import (
    AgentAvailability,
    AgentHeartbeat,
    AgentNext,
    AgentProfile,
    OfferAccept,
    OfferReject,
    RoutingAssign,
    RoutingRelease,
    RoutingRequest,
    RoutingWiden,
)
from services.router.domain.agents import hear, lose, on_availability, on_heartbeat, on_profile
from services.router.domain.matching import settle
from services.router.domain.offers import Reply, on_accept, on_next, on_reject, time_out
from services.router.domain.policy import Policy
from services.router.domain.pool import Pool, Timer, Touched
from services.router.domain.requests import on_assign, on_release, on_request, on_widen

MOST_TIMERS = 500
"""Timers that one tick handles: where very many are due at once, a step's journal entry stays small."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: offers end, heartbeats are missed, grace is over. What is too much is for the next."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Another owner goes on with the pool, under this policy; heartbeats start with full grace."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class NewPolicy:
    """The file of policies has changed: the pool goes on under this one."""

    policy: Policy


Input = Envelope | Tick | TakeOver | NewPolicy
"""What a pool is stepped with: a command of `routing.commands`, or one of the three above."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one input caused."""

    decisions: tuple[Envelope, ...]
    """Routing decisions and AgentChanged, in order."""
    reply: Reply | None
    """For commands of Agents and leads."""
    touched: Touched


_RULES: dict[type[Any], Callable[[Pool, Any], Reply | None]] = {
    RoutingRequest: on_request,
    RoutingAssign: on_assign,
    RoutingWiden: on_widen,
    RoutingRelease: on_release,
    AgentProfile: on_profile,
    AgentAvailability: on_availability,
    AgentHeartbeat: on_heartbeat,
    AgentNext: on_next,
    OfferAccept: on_accept,
    OfferReject: on_reject,
}


def step(pool: Pool, given: Input, now: datetime) -> Step:
    """Apply one input to the pool, which the caller owns, and return what it caused.

    Time never runs backwards: a `now` before the latest seen counts as the latest.
    """
    pool.state.at = now if pool.state.at is None else max(now, pool.state.at)
    pool.begin(given if isinstance(given, Envelope) else None, pool.state.at)
    reply = None
    if isinstance(given, Tick):
        _tick(pool)
    elif isinstance(given, TakeOver):
        _take_over(pool, given.policy)
    elif isinstance(given, NewPolicy):
        pool.obey(given.policy)
    else:
        reply = _RULES[type(given)](pool, given)
    settle(pool)
    return Step(tuple(pool.decisions), reply, pool.touched)


def _tick(pool: Pool) -> None:
    for _ in range(MOST_TIMERS):
        timer = pool.next_timer(pool.now)
        if timer is None:
            return
        _ring(pool, timer)


def _ring(pool: Pool, timer: Timer) -> None:
    if timer.kind == "heartbeat":
        lose(pool, pool.state.agents[timer.key])
        return
    if timer.kind == "wrap_up":
        pool.state.agents[timer.key].wrap_up_until = None
        pool.agent_changed(timer.key)
        return
    standing = pool.state.standings[timer.key]
    request = standing.request
    if timer.kind == "forget":
        del pool.state.standings[timer.key]
        pool.touched.conversations.discard(timer.key)
    elif timer.kind == "look" and request and not request.offer:
        pool.weigh_again(standing, request)
    elif timer.kind == "offer" and request and request.offer:
        time_out(pool, standing, request, request.offer)
    elif timer.kind == "wake" and request:
        if request.grace_until and request.grace_until <= pool.now:
            request.grace_until = None
        request.rejected = {agent: until for agent, until in request.rejected.items() if until > pool.now}
        pool.changed_requests.add(timer.key)


def _take_over(pool: Pool, policy: Policy) -> None:
    pool.obey(policy)
    for agent in pool.state.agents.values():
        if agent.heartbeat_at is not None:
            agent.heartbeat_at = None
            hear(pool, agent)
