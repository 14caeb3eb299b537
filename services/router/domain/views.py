"""What the read models show: plain documents made from a pool's state."""

from typing import Any

from schemas.common import Channel, ChannelClass
from services.router.domain.pool import Pool
from services.router.domain.queues import place
from services.router.domain.state import Request, Slot, Standing


def agent_view(pool: Pool, agent_id: str) -> dict[str, Any] | None:
    """Return the Agent as the API shows them, None when they left the pool."""
    agent = pool.state.agents.get(agent_id)
    if agent is None:
        return None
    return {
        "name": agent.name,
        "inboxes": list(agent.inboxes),
        "skills": agent.skills,
        "capacity": agent.capacity.model_dump(),
        "auto_accept": {str(name): agent.accepts_by_itself((name,)) for name in ChannelClass},
        "voice_alone": agent.voice_alone,
        "availability": {str(channel): on for channel, on in agent.channels.items()},
        "signed_on": agent.signed_on,
        "away": agent.away,
        "load": pool.hands[agent_id].load(),
        "idle_since": agent.idle_since,
    }


def request_view(pool: Pool, conversation_id: str) -> dict[str, Any] | None:
    """Return the changed fields of where a Conversation stands, None when the pool has forgotten it.

    The last decision's explanation is only there when there is one: an earlier one stays in place.
    """
    standing = pool.state.standings.get(conversation_id)
    if standing is None:
        return None
    shared = {"epoch": standing.epoch, "customer_id": standing.customer_id, **_kind(standing)}
    if standing.request:
        return {**shared, **_waiting(standing, standing.request)}
    if standing.slot:
        return {**shared, **_assigned(standing.slot)}
    return {**shared, "state": "released", "agent": None, "released_at": pool.state.at}


def _kind(standing: Standing) -> dict[str, str]:
    return {"kind": standing.kind} if standing.kind else {}


def _name(channel: Channel | None) -> str | None:
    return str(channel) if channel else None


def handling_view(pool: Pool, inbox: str, name: ChannelClass) -> dict[str, Any]:
    """Return how long a Conversation of this queue stays with an Agent, smoothed."""
    return {"inbox": inbox, "channel_class": str(name), "handling_seconds": pool.state.handling[inbox][name]}


def depths(pool: Pool) -> dict[tuple[str, ChannelClass], int]:
    """Return how many Conversations are in line, by Inbox and class; offers are not in line."""
    return +pool.depths


def _waiting(standing: Standing, request: Request) -> dict[str, Any]:
    where, offer = place(standing.conversation_id, request), request.offer
    view: dict[str, Any] = {
        "state": "offered" if offer else "queued",
        "inbox": request.need.inbox,
        "channel": _name(request.need.channel),
        "channel_class": str(request.need.classes[0]),
        "classes": [str(name) for name in request.need.classes],
        "skills": [{"name": name, "level": level} for name, level in request.skills],
        "inboxes": list(request.inboxes),
        "agent": offer.agent if offer else None,
        "priority": request.need.priority,
        "requested_at": request.need.requested_at,
        "place": {
            "rank": where.rank,
            "urgency": where.urgency,
            "due_at": where.due_at.replace(microsecond=0),
            "behind": where.behind,
            "requested_at": where.requested_at,
            "arrival": where.arrival,
        },
        "released_at": None,
    }
    if offer:
        view["decision"] = {
            "kind": "offered",
            "agent": offer.agent,
            "reason": offer.reason,
            "explanation": offer.explanation.model_dump(mode="json"),
        }
    return view


def _assigned(slot: Slot) -> dict[str, Any]:
    data = slot.grant.data
    return {
        "state": "assigned",
        "inbox": slot.need.inbox,
        "channel": _name(slot.need.channel),
        "channel_class": str(slot.need.classes[0]),
        "agent": slot.agent,
        "priority": slot.need.priority,
        "requested_at": slot.need.requested_at,
        "released_at": None,
        "decision": {
            "kind": "granted",
            "n": data.n,
            "at": slot.granted_at,
            "agent": data.agent,
            "reason": data.reason,
            "forced": data.forced,
            "waited_seconds": data.waited_seconds,
            "explanation": data.explanation.model_dump(mode="json"),
        },
    }
