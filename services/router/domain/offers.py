"""Offers: asking one Agent at a time, and what follows from each answer and from none."""

from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.routing import AgentNext, Exclusion, OfferAccept, OfferReject
from services.router.domain.candidates import Choice, exclusion, explained
from services.router.domain.decisions import announce, face, offer_ended
from services.router.domain.matching import bestow, give, next_for, offer_view
from services.router.domain.pool import Pool
from services.router.domain.state import Agent, Offer, Request, Standing

Ending = Literal["rejected", "timed_out", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the sender of an Agent's command is told; `status` in the sense of HTTP."""

    status: int
    detail: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True when the command did what it asked for."""
        return self.status < 400  # noqa: PLR2004  (HTTP's own border)


def unknown_agent(agent: str) -> Reply:
    """404 for an Agent the pool does not have."""
    return Reply(404, f"Agent {agent} has no profile")


def withdraw(pool: Pool, standing: Standing) -> None:
    """Take back the Conversation's offer, if one is out; it stands in line again."""
    if standing.request and standing.request.offer:
        _end(pool, standing, standing.request, standing.request.offer, "withdrawn")


def withdraw_misfits(pool: Pool, agent: Agent) -> None:
    """Take back the Agent's offers that would not be made any more."""
    hand = pool.hands[agent.id]
    for conversation_id in sorted(hand.held):
        standing = pool.state.standings[conversation_id]
        request = standing.request
        if (
            request
            and request.offer
            and exclusion(pool, agent, conversation_id, request, asked=request.offer.reason == "pull")
            not in (None, Exclusion.REJECTED)
        ):
            withdraw(pool, standing)


def on_accept(pool: Pool, command: OfferAccept) -> Reply:
    """Grant what was offered."""
    found = _open_offer(pool, command)
    if isinstance(found, Reply):
        return found
    standing, request, offer = found
    pool.state.agents[offer.agent].timeouts = 0
    pool.touched.offers[offer.id] = offer_view(pool, standing, request, offer, "accepted")
    give(
        pool,
        standing,
        request.need,
        epoch=request.epoch,
        agent=offer.agent,
        reason=offer.reason,
        explanation=offer.explanation,
        inbox=offer.inbox,
        came_from=request.came_from,
    )
    return Reply(200, body=pool.touched.offers[offer.id])


def on_reject(pool: Pool, command: OfferReject) -> Reply:
    """Ask others, and the Agent again only after a while."""
    found = _open_offer(pool, command)
    if isinstance(found, Reply):
        return found
    standing, request, offer = found
    pool.state.agents[offer.agent].timeouts = 0
    _end(pool, standing, request, offer, "rejected")
    return Reply(200, body=pool.touched.offers[offer.id])


def on_next(pool: Pool, command: AgentNext) -> Reply:
    """Answer a pull with the offer that is open, else a new one, else 204."""
    agent = pool.state.agents.get(command.data.agent)
    if agent is None:
        return unknown_agent(command.data.agent)
    if not agent.signed_on:
        return Reply(409, f"{agent.id} is signed off")
    for conversation_id in sorted(pool.hands[agent.id].held):
        standing = pool.state.standings[conversation_id]
        if standing.request and standing.request.offer:
            return Reply(
                200, body=offer_view(pool, standing, standing.request, standing.request.offer, "open")
            )
    where = next_for(pool, agent.id, asked=True)
    if where is None:
        return Reply(204)
    standing = pool.state.standings[where.conversation_id]
    request = standing.request
    assert request is not None  # noqa: S101  (what stands in line waits)
    inbox = next(name for name in request.inboxes if name in agent.inboxes)
    explanation = explained(pool, request, agent, inbox, why="pull")
    bestow(pool, standing, request, Choice(agent, explanation, inbox), "pull")
    if request.offer:
        return Reply(200, body=pool.touched.offers[request.offer.id])
    grant = pool.decisions[-1]
    offer = Offer(grant.id, agent.id, pool.now, "pull", explanation, inbox)
    return Reply(200, body=offer_view(pool, standing, request, offer, "accepted"))


def time_out(pool: Pool, standing: Standing, request: Request, offer: Offer) -> None:
    """End an unanswered offer as if rejected; too many in a row make the Agent away."""
    agent = pool.state.agents[offer.agent]
    before = face(agent)
    agent.timeouts += 1
    agent.tired = agent.timeouts >= pool.state.policy.timeouts_until_away
    _end(pool, standing, request, offer, "timed_out")
    announce(pool, agent, before)


def _open_offer(pool: Pool, command: OfferAccept | OfferReject) -> tuple[Standing, Request, Offer] | Reply:
    data = command.data
    conversation_id = pool.offers.get(data.offer_id)
    standing = pool.state.standings.get(conversation_id or "")
    request = standing.request if standing else None
    offer = request.offer if request else None
    if standing is None or request is None or offer is None:
        return Reply(409, f"offer {data.offer_id} is over")
    if offer.agent != data.agent:
        return Reply(404, f"there is no offer {data.offer_id} to {data.agent}")
    if offer.expires_at <= pool.now:
        time_out(pool, standing, request, offer)
        return Reply(409, f"offer {data.offer_id} has timed out")
    return standing, request, offer


def _end(pool: Pool, standing: Standing, request: Request, offer: Offer, outcome: Ending) -> None:
    offer_ended(pool, standing, request.epoch, offer, outcome)
    pool.touched.offers[offer.id] = offer_view(pool, standing, request, offer, outcome)
    if outcome != "withdrawn":
        until = pool.after(pool.state.policy.ask_again_seconds)
        request.rejected[offer.agent] = until
        pool.remind(until, "wake", standing.conversation_id)
    pool.unreserve(standing, request)
