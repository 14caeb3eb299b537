"""Which Agents may serve a request, which of them does, and why (domain: Routing)."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from schemas.common import Channel, ChannelClass, channel_class
from schemas.routing import Exclusion, Explanation
from services.router.domain.pool import Pool
from services.router.domain.queues import Line, line
from services.router.domain.room import shortage
from services.router.domain.state import Agent, Need, Request, Standing

POLICY = "least_loaded"
_SHOWN = 4
"""Candidates an explanation lists after the winner."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner, and how they won."""

    agent: Agent
    explanation: Explanation


def reachable(agent: Agent, channel: Channel, needed: tuple[ChannelClass, ...]) -> bool:
    """Return whether the Agent is available for all of `needed`.

    The class that `channel` belongs to needs that channel, another messaging or email class any channel
    of it, and a task only that the Agent is signed on.
    """
    for name in needed:
        if name is ChannelClass.TASKS:
            there = agent.signed_on
        elif name is channel_class(channel):
            there = agent.channels.get(channel, False)
        else:
            there = any(on and channel_class(other) is name for other, on in agent.channels.items())
        if not there:
            return False
    return True


def unfit(agent: Agent, where: Line) -> Exclusion | None:
    """Return what keeps the Agent from a whole line of their Inbox, room aside."""
    if not agent.signed_on:
        return Exclusion.SIGNED_OFF
    if not reachable(agent, where.channel, where.classes):
        return Exclusion.CHANNEL_OFF
    if agent.away:
        return Exclusion.AWAY
    if any(agent.skills.get(skill, 0) < level for skill, level in where.skills):
        return Exclusion.MISSING_SKILL
    return None


def exclusion(pool: Pool, agent: Agent, conversation_id: str, request: Request) -> Exclusion | None:
    """Return why the Agent cannot get the Conversation now, None if they can."""
    need = request.need
    if need.inbox not in agent.inboxes:
        return Exclusion.OTHER_INBOX
    barred = unfit(agent, line(need))
    if barred:
        return barred
    if shortage(agent, pool.hands[agent.id], need.classes, conversation_id):
        return Exclusion.FULL
    return Exclusion.REJECTED if is_rejected(request, agent.id, pool.now) else None


def is_rejected(request: Request, agent_id: str, now: datetime) -> bool:
    """Return whether the Agent said no, or nothing, a short while ago."""
    until = request.rejected.get(agent_id)
    return until is not None and until > now


def waits_for_preferred(pool: Pool, conversation_id: str, request: Request) -> bool:
    """Return whether others leave the request alone: its preferred Agent is there, but busy or away."""
    preferred = pool.state.agents.get(request.need.preferred or "")
    if preferred is None or request.grace_until is None or pool.now >= request.grace_until:
        return False
    return exclusion(pool, preferred, conversation_id, request) in (Exclusion.FULL, Exclusion.AWAY)


def choose(pool: Pool, standing: Standing, request: Request) -> Choice | None:
    """Return who gets the Conversation, or None while nobody can or it waits for its preferred Agent."""
    conversation_id = standing.conversation_id
    if waits_for_preferred(pool, conversation_id, request):
        return None
    excluded: Counter[Exclusion] = Counter()
    eligible: list[Agent] = []
    members = pool.members.get(request.need.inbox, set())
    for agent_id in members:
        agent = pool.state.agents[agent_id]
        reason = exclusion(pool, agent, conversation_id, request)
        if reason is None:
            eligible.append(agent)
        else:
            excluded[reason] += 1
    if not eligible:
        return None
    others = len(pool.state.agents) - len(members)
    if others:
        excluded[Exclusion.OTHER_INBOX] = others
    return _best(pool, request.need, eligible, excluded)


def _best(pool: Pool, need: Need, eligible: list[Agent], excluded: Counter[Exclusion]) -> Choice:
    """Least loaded first, then longest idle, then by id; the preferred Agent before all."""
    ranked = sorted(
        eligible,
        key=lambda agent: (
            agent.id != need.preferred,
            pool.hands[agent.id].total,
            agent.idle_since,
            agent.id,
        ),
    )
    best = ranked[0]
    if best.id == need.preferred:
        why = "preferred"
    elif len(ranked) == 1:
        why = "only_one"
    elif pool.hands[best.id].total < pool.hands[ranked[1].id].total:
        why = "least_loaded"
    else:
        why = "longest_idle"
    candidates = tuple(agent.id for agent in ranked[1 : 1 + _SHOWN])
    ordered = {reason: excluded[reason] for reason in Exclusion if excluded[reason]}
    return Choice(best, Explanation(policy=POLICY, why=why, candidates=candidates, excluded=ordered))
