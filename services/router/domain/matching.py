"""Bringing requests and Agents together: after `settle` no request waits that somebody could take."""

from dataclasses import replace
from heapq import heapify, heappop, heappush

from schemas.ids import derive
from schemas.routing import Explanation
from services.router.domain.candidates import Choice, choose, is_rejected, waits_for_preferred
from services.router.domain.decisions import GrantReason, granted, offered
from services.router.domain.overflow import overflow
from services.router.domain.pool import Pool
from services.router.domain.queues import Place, place
from services.router.domain.state import Need, Offer, Request, Slot, Standing


def settle(pool: Pool) -> None:
    """Serve what the step made servable, in serving order.

    Before the step nothing waited that could be served, so only requests and Agents that changed are
    looked at. The place an Agent would serve next only moves back while this runs, so a place that
    turns out to be outdated is looked up again and put back.
    """
    overflow(pool)
    heads, served = _changed(pool), 0
    while heads:
        where, agent_id, seen = heappop(heads)
        current = next_for(pool, agent_id) if agent_id and seen != served else where
        if current == where:
            if _serve(pool, pool.state.standings[where.conversation_id]):
                served += 1
            current = next_for(pool, agent_id) if agent_id else None
        if current:
            heappush(heads, (current, agent_id, served))
    for conversation_id in pool.changed_requests:
        standing = pool.state.standings[conversation_id]
        if standing.request and not standing.request.offer:
            pool.plan(standing, standing.request)
    pool.changed_agents.clear()
    pool.changed_requests.clear()


def _changed(pool: Pool) -> list[tuple[Place, str, int]]:
    """Return as a heap what may be servable: place, Agent it was found for (or empty), and when it was.

    That is counted in what this settling served: as long as it has served nothing, a place found stays right.
    """
    heads: list[tuple[Place, str, int]] = []
    for agent_id in pool.changed_agents:
        where = next_for(pool, agent_id)
        if where:
            heads.append((where, agent_id, 0))
    for conversation_id in pool.changed_requests:
        request = pool.state.standings[conversation_id].request
        if request and not request.offer:
            heads.append((place(conversation_id, request), "", 0))
    heapify(heads)
    return heads


def _serve(pool: Pool, standing: Standing) -> bool:
    request = standing.request
    if request is None or request.offer:
        return False
    choice = choose(pool, standing, request)
    if choice:
        bestow(pool, standing, request, choice, "push")
    return choice is not None


def next_for(pool: Pool, agent_id: str, *, asked: bool = False) -> Place | None:
    """Return the first place in serving order that the Agent could serve now.

    An Agent who asked may also have what they declined, or what waits for its preferred Agent.
    """
    agent = pool.state.agents.get(agent_id)
    if agent is None or not agent.signed_on or agent.away:
        return None
    held = pool.hands[agent_id].total
    if held >= agent.capacity.total or (asked and agent.pull_limit is not None and held >= agent.pull_limit):
        return None
    best: Place | None = None
    for places in pool.crews.open_to(agent, asked=asked):
        for where in places:
            if best and where > best:
                break
            if asked or _open_to(pool, where.conversation_id, agent_id):
                best = where
                break
    return best


def _open_to(pool: Pool, conversation_id: str, agent_id: str) -> bool:
    request = pool.state.standings[conversation_id].request
    if request is None or is_rejected(request, agent_id, pool.now):
        return False
    return request.need.preferred == agent_id or not waits_for_preferred(pool, conversation_id, request)


def bestow(pool: Pool, standing: Standing, request: Request, choice: Choice, reason: GrantReason) -> None:
    """Grant the Conversation, or ask first where the Agent's profile says so."""
    if reason == "push":
        pool.take_turn(choice.inbox, choice.agent.id)
    if choice.agent.accepts_by_itself(request.need.classes):
        give(
            pool,
            standing,
            request.need,
            epoch=request.epoch,
            agent=choice.agent.id,
            reason=reason,
            explanation=choice.explanation,
            inbox=choice.inbox,
            came_from=request.came_from,
        )
        return
    offer = Offer(
        id=derive("routing.offer", pool.state.pool, pool.state.decided + 1),
        agent=choice.agent.id,
        expires_at=pool.after(pool.state.policy.of(request.need.inbox).rings(request.need.classes[0])),
        reason="pull" if reason == "pull" else "push",
        explanation=choice.explanation,
        inbox=choice.inbox,
    )
    pool.reserve(standing, request, offer)
    offered(pool, standing, request.need, request.epoch, offer)
    pool.touched.offers[offer.id] = offer_view(pool, standing, request, offer, "open")


def give(
    pool: Pool,
    standing: Standing,
    need: Need,
    *,
    epoch: int,
    agent: str,
    reason: GrantReason,
    explanation: Explanation,
    forced: bool = False,
    inbox: str | None = None,
    came_from: str | None = None,
) -> None:
    """Let the Agent have the Conversation; by overflow it is from now on in the Inbox it is served in."""
    served = replace(need, inbox=inbox) if inbox and inbox != need.inbox else need
    if served is not need:
        came_from = came_from or need.inbox
    grant = granted(
        pool,
        standing,
        served,
        epoch=epoch,
        agent=agent,
        reason=reason,
        forced=forced,
        explanation=explanation,
        overflow_from=came_from,
    )
    pool.occupy(standing, Slot(served, epoch, agent, pool.now, grant))


def offer_view(
    pool: Pool, standing: Standing, request: Request, offer: Offer, state: str
) -> dict[str, object]:
    """Return an offer as Agents see it."""
    return {
        "id": str(offer.id),
        "pool": pool.state.pool,
        "agent": offer.agent,
        "conversation_id": standing.conversation_id,
        "customer_id": standing.customer_id,
        "inbox": offer.inbox or request.need.inbox,
        **({"kind": standing.kind} if standing.kind else {}),
        "channel": str(request.need.channel) if request.need.channel else None,
        "channel_class": str(request.need.classes[0]),
        "expires_at": offer.expires_at,
        "state": state,
    }
