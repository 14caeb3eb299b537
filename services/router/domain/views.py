"""What the read models show: plain documents made from a pool's state."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.common import Channel, ChannelClass
from schemas.routing import Capacity, Exclusion
from services.router.domain.fitness import unfit
from services.router.domain.policy import InboxPolicy
from services.router.domain.pool import Pool
from services.router.domain.queues import Line, place
from services.router.domain.room import Hand, shortage
from services.router.domain.state import Agent, Classes, Request, Slot, Standing
from services.router.domain.waiting import told, words

_MOST_URGENT = -(10**9)
"""Before every priority there can be: of what waited so long that it is served before all others."""


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
        "excludes": {str(held): [str(name) for name in barred] for held, barred in agent.excludes.items()},
        "pull_limit": agent.pull_limit,
        "focus": agent.focus,
        "wrap_up_until": agent.wrap_up_until,
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
        return {**shared, **_waiting(pool, standing, standing.request)}
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


def agent_of(agent_id: str, view: Mapping[str, Any]) -> tuple[Agent, Hand]:
    """Return the Agent that `agent_view` showed, and what they hold, as far as eligibility asks for it."""
    agent = Agent(
        agent_id,
        view["name"],
        view["idle_since"],
        inboxes=tuple(view["inboxes"]),
        skills=view["skills"],
        capacity=Capacity.model_validate(view["capacity"]),
        voice_alone=view["voice_alone"],
        excludes={
            ChannelClass(held): tuple(map(ChannelClass, barred))
            for held, barred in view.get("excludes", {}).items()
        },
        channels={Channel(name): on for name, on in view["availability"].items()},
        lost=view["away"],
        focus=view.get("focus", False),
        wrap_up_until=view.get("wrap_up_until"),
    )
    load = dict(view["load"])
    held: dict[str, Classes] = dict.fromkeys(map(str, range(load.pop("total"))), ())
    return agent, Hand(held, Counter({ChannelClass(name): count for name, count in load.items()}))


def why_waiting(row: Mapping[str, Any], agents: Iterable[tuple[Agent, Hand]], now: datetime) -> Counter[str]:
    """Return how many Agents of its Inboxes cannot have a waiting request now, by reason.

    `row` is what `request_view` showed. Who could have it is counted as `free`: it waits for its preferred
    Agent, or is about to be given.
    """
    classes = tuple(ChannelClass(name) for name in row["classes"])
    channel = Channel(row["channel"]) if row["channel"] else None
    kind = Line(channel, classes, tuple(sorted(row["skills"].items())))
    rejected = {each["agent"] for each in row["rejected"] if each["until"] > now}
    found: Counter[str] = Counter()
    for agent, hand in agents:
        reason = unfit(agent, kind)
        if reason is None and shortage(agent, hand, classes, own=""):
            reason = Exclusion.FULL
        if reason is None and agent.id in rejected:
            reason = Exclusion.REJECTED
        found[str(reason) if reason else "free"] += 1
    return found


def depths(pool: Pool) -> dict[tuple[str, ChannelClass], int]:
    """Return how many Conversations are in line, by Inbox and class; offers are not in line."""
    return +pool.depths


def _waiting(pool: Pool, standing: Standing, request: Request) -> dict[str, Any]:
    where, offer = place(standing.conversation_id, request), request.offer
    policy = pool.state.policy.of(request.need.inbox)
    view: dict[str, Any] = {
        "state": "offered" if offer else "queued",
        "inbox": request.need.inbox,
        "channel": _name(request.need.channel),
        "channel_class": str(request.need.classes[0]),
        "agent": offer.agent if offer else None,
        "priority": request.need.priority,
        "requested_at": request.need.requested_at,
        "place": {
            "rank": where.rank,
            "urgency": _MOST_URGENT if request.starving else where.urgency,
            "due_at": where.due_at.replace(microsecond=0),
            "behind": where.behind,
            "requested_at": where.requested_at,
            "arrival": where.arrival,
        },
        "released_at": None,
        "classes": [str(name) for name in request.need.classes],
        "inboxes": list(request.inboxes),
        "skills": dict(request.skills),
        "rejected": [{"agent": agent, "until": until} for agent, until in request.rejected.items()],
        "boost": request.boost,
        "starving": request.starving,
        "waits_for": _hoped_for(request),
        "relaxed": list(told(request, policy)),
        "next_step": _next_step(request, policy),
        "overflow_from": request.came_from,
        "overflow": request.overflow,
    }
    if offer:
        view["decision"] = {
            "kind": "offered",
            "agent": offer.agent,
            "reason": offer.reason,
            "explanation": offer.explanation.model_dump(mode="json"),
        }
    return view


def _hoped_for(request: Request) -> dict[str, Any] | None:
    if request.need.preferred is None or request.grace_until is None:
        return None
    return {"agent": request.need.preferred, "until": request.grace_until}


def _next_step(request: Request, policy: InboxPolicy) -> dict[str, Any] | None:
    if request.steps >= len(policy.relaxation):
        return None
    step = policy.relaxation[request.steps]
    since = request.since or request.need.requested_at
    return {"at": since + timedelta(seconds=step.after), "what": words(step, request.need.skills)}


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
        "relaxed": list(data.explanation.relaxed),
        "overflow_from": data.overflow_from,
        "overflow": data.explanation.overflow,
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
