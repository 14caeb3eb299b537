"""How each decision is written down. Ids follow from pool and number, so a replay repeats them."""

from typing import Any, Literal, NamedTuple

from schemas.ids import derive
from schemas.routing import (
    AgentChanged,
    AgentStateData,
    Explanation,
    GrantData,
    OfferData,
    OfferEndedData,
    OverflowData,
    ProfilePersonal,
    RefusalData,
    ReleasedData,
    RoutingAssign,
    RoutingGranted,
    RoutingOffered,
    RoutingOfferEnded,
    RoutingOverflowed,
    RoutingRefused,
    RoutingReleased,
    RoutingUnassigned,
    UnassignData,
)
from services.router.domain.pool import Pool
from services.router.domain.state import Agent, Need, Offer, Request, Standing

RefusalReason = Literal["full", "signed_off", "unknown_agent", "other_inbox", "stale"]
GrantReason = Literal["push", "pull", "take", "transfer"]


class Face(NamedTuple):
    """What others see of an Agent; a change of it is announced."""

    name: str
    inboxes: tuple[str, ...]
    channels: frozenset[Any]
    away: bool


def face(agent: Agent) -> Face:
    """Return what others see of `agent` now."""
    return Face(agent.name, agent.inboxes, frozenset(agent.channels.items()), agent.away)


def granted(
    pool: Pool,
    standing: Standing,
    need: Need,
    *,
    epoch: int,
    agent: str,
    reason: GrantReason,
    forced: bool = False,
    explanation: Explanation,
    overflow_from: str | None = None,
) -> RoutingGranted:
    """Decide that the Agent has the Conversation."""
    envelope, subject = _numbered(pool, standing, epoch)
    waited = max((pool.now - need.requested_at).total_seconds(), 0.0)
    data = GrantData(
        **subject,
        agent=agent,
        reason=reason,
        forced=forced,
        waited_seconds=waited,
        explanation=explanation,
        inbox=need.inbox,
        overflow_from=overflow_from,
    )
    decision = RoutingGranted(**envelope, data=data)
    pool.decisions.append(decision)
    return decision


def offered(pool: Pool, standing: Standing, need: Need, epoch: int, offer: Offer) -> None:
    """Decide to ask the offer's Agent."""
    envelope, subject = _numbered(pool, standing, epoch)
    data = OfferData(
        **subject,
        agent=offer.agent,
        offer_id=offer.id,
        inbox=offer.inbox or need.inbox,
        channel=need.channel,
        expires_at=offer.expires_at,
    )
    pool.decisions.append(RoutingOffered(**envelope, data=data))


def offer_ended(
    pool: Pool,
    standing: Standing,
    epoch: int,
    offer: Offer,
    outcome: Literal["rejected", "timed_out", "withdrawn"],
) -> None:
    """Decide that the offer is over without a grant."""
    envelope, subject = _numbered(pool, standing, epoch)
    data = OfferEndedData(**subject, agent=offer.agent, offer_id=offer.id, outcome=outcome)
    pool.decisions.append(RoutingOfferEnded(**envelope, data=data))


def overflowed(pool: Pool, standing: Standing, request: Request, before: str) -> None:
    """Decide that the request waits in another Inbox."""
    envelope, subject = _numbered(pool, standing, request.epoch)
    data = OverflowData(**subject, inbox=request.need.inbox, before=before, detail=request.overflow or "")
    pool.decisions.append(RoutingOverflowed(**envelope, data=data))


def unassigned(
    pool: Pool, standing: Standing, epoch: int, agent: str, reason: Literal["signed_off", "lost", "no_room"]
) -> None:
    """Decide that the Agent has it no more, and it waits again."""
    envelope, subject = _numbered(pool, standing, epoch)
    pool.decisions.append(
        RoutingUnassigned(**envelope, data=UnassignData(**subject, agent=agent, reason=reason))
    )


def refused(
    pool: Pool, standing: Standing, command: RoutingAssign, reason: RefusalReason, detail: str
) -> RoutingRefused:
    """Decide that an assign cannot be."""
    envelope, subject = _numbered(pool, standing, command.data.epoch)
    data = RefusalData(
        **subject, agent=command.data.agent, command_id=command.id, reason=reason, detail=detail
    )
    decision = RoutingRefused(**envelope, data=data)
    pool.decisions.append(decision)
    return decision


def released(pool: Pool, standing: Standing, epoch: int) -> None:
    """Decide that the pool holds nothing of it, up to `epoch`."""
    envelope, subject = _numbered(pool, standing, epoch)
    pool.decisions.append(RoutingReleased(**envelope, data=ReleasedData(**subject)))


def announce(pool: Pool, agent: Agent, before: Face | None) -> None:
    """Tell others of the Agent if what they see has changed since `before`."""
    if face(agent) == before:
        return
    n = pool.number()
    identity = derive("agent.changed", pool.state.pool, n)
    pool.decisions.append(
        AgentChanged(
            id=identity,
            occurred_at=pool.now,
            correlation=pool.cause.correlation if pool.cause else identity,
            causation=pool.cause.id if pool.cause else None,
            seq=n,
            data=AgentStateData(
                agent=agent.id,
                pool=pool.state.pool,
                inboxes=agent.inboxes,
                availability=agent.channels,
                signed_on=agent.signed_on,
                away=agent.away,
            ),
            personal=ProfilePersonal(name=agent.name),
        )
    )


def _numbered(pool: Pool, standing: Standing, epoch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    n = pool.number()
    envelope = {
        "id": derive("routing.decision", pool.state.pool, n),
        "occurred_at": pool.now,
        "correlation": standing.correlation,
        "causation": pool.cause.id if pool.cause else None,
        "customer_id": standing.customer_id,
        "home": standing.home,
        "seq": n,
    }
    subject = {
        "pool": pool.state.pool,
        "n": n,
        "conversation_id": standing.conversation_id,
        "epoch": epoch,
        "kind": standing.kind,
    }
    return envelope, subject
