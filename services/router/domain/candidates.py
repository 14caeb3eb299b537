"""Which Agents may serve a request, which of them does, and why (domain: Routing)."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from schemas.routing import Exclusion, Explanation
from services.router.domain.crews import Crew, Rank, unfit
from services.router.domain.pool import Pool
from services.router.domain.queues import line
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
    crew = pool.crews.of(request.need.inbox, line(request.need))
    rejected = {
        agent for agent in request.rejected if crew.ranks.get(agent) and is_rejected(request, agent, pool.now)
    }
    if len(crew.free) == len(rejected):
        return None
    excluded = crew.excluded()
    excluded[Exclusion.REJECTED] = len(rejected)
    excluded[Exclusion.OTHER_INBOX] = len(pool.state.agents) - len(crew.ranks) - len(crew.barred)
    ordered = {reason: excluded[reason] for reason in Exclusion if excluded[reason]}
    return _best(pool, _ranked(crew, request.need, rejected), request.need.preferred, ordered)


def _ranked(crew: Crew, need: Need, rejected: set[str]) -> list[Rank]:
    """Return the first of those who can: the preferred Agent, the least loaded, the longest idle, by id."""
    preferred = crew.ranks.get(need.preferred or "")
    ranked = [preferred] if preferred and preferred.agent not in rejected else []
    others = (rank for rank in crew.free if rank.agent != need.preferred and rank.agent not in rejected)
    return [*ranked, *islice(others, 1 + _SHOWN - len(ranked))]


def _best(pool: Pool, ranked: list[Rank], preferred: str | None, excluded: dict[Exclusion, int]) -> Choice:
    best = ranked[0]
    if best.agent == preferred:
        why = "preferred"
    elif len(ranked) == 1:
        why = "only_one"
    elif best.total < ranked[1].total:
        why = "least_loaded"
    else:
        why = "longest_idle"
    candidates = tuple(rank.agent for rank in ranked[1:])
    explanation = Explanation(policy=POLICY, why=why, candidates=candidates, excluded=excluded)
    return Choice(pool.state.agents[best.agent], explanation)
