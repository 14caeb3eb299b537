"""Which Agents may serve a request, which of them does, and why (domain: Routing)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from schemas.routing import Exclusion, Explanation
from services.router.domain.crews import Crew, Rank
from services.router.domain.fitness import unfit
from services.router.domain.policy import ChoiceName
from services.router.domain.pool import Pool
from services.router.domain.queues import line
from services.router.domain.room import shortage
from services.router.domain.state import Agent, Request, Standing
from services.router.domain.waiting import told

_SHOWN = 4
"""Candidates an explanation lists after the winner."""
_WORTH_WAITING = (Exclusion.FULL, Exclusion.AWAY, Exclusion.WRAP_UP)


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner, how they won, and in which of the request's Inboxes."""

    agent: Agent
    explanation: Explanation
    inbox: str


def exclusion(
    pool: Pool, agent: Agent, conversation_id: str, request: Request, *, asked: bool = False
) -> Exclusion | None:
    """Return why the Agent cannot get the Conversation now, None if they can; see `unfit` for `asked`."""
    if not any(inbox in agent.inboxes for inbox in request.inboxes):
        return Exclusion.OTHER_INBOX
    barred = unfit(agent, line(request), asked=asked)
    if barred:
        return barred
    if shortage(agent, pool.hands[agent.id], request.need.classes, conversation_id):
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
    return exclusion(pool, preferred, conversation_id, request) in _WORTH_WAITING


def choose(pool: Pool, standing: Standing, request: Request) -> Choice | None:
    """Return who gets the Conversation, or None while nobody can or it waits for its preferred Agent.

    A widened request goes to another Inbox only while nobody of those before it is free.
    """
    if waits_for_preferred(pool, standing.conversation_id, request):
        return None
    kind = line(request)
    crews = [pool.crews.of(inbox, kind) for inbox in request.inboxes]
    rejected = {
        agent
        for agent in request.rejected
        if is_rejected(request, agent, pool.now) and any(crew.ranks.get(agent) for crew in crews)
    }
    preferred = request.need.preferred
    if preferred and preferred not in rejected:
        for crew in crews:
            if rank := crew.ranks.get(preferred):
                ranked = [rank, *_free(crew, {preferred, *rejected})]
                return _chosen(pool, request, crews, crew, ranked, rejected)
    for crew in crews:
        ranked = _free(crew, rejected)
        if ranked:
            return _chosen(pool, request, crews, crew, ranked, rejected)
    return None


def _free(crew: Crew, but: set[str]) -> list[Rank]:
    """Return the first of those who can."""
    if not but:
        return list(crew.free[: 1 + _SHOWN])
    return list(islice((rank for rank in crew.free if rank.agent not in but), 1 + _SHOWN))


def _chosen(
    pool: Pool, request: Request, crews: Sequence[Crew], crew: Crew, ranked: list[Rank], rejected: set[str]
) -> Choice:
    best, *others = ranked[: 1 + _SHOWN]
    if best.agent == request.need.preferred:
        why = "preferred"
    elif not others:
        why = "only_one"
    else:
        why = _why(crew.choice, best, others[0])
    agent = pool.state.agents[best.agent]
    explanation = explained(
        pool,
        request,
        agent,
        crew.inbox,
        why=why,
        candidates=tuple(rank.agent for rank in others),
        excluded=_excluded(pool, crews, rejected),
    )
    return Choice(agent, explanation, crew.inbox)


def _why(choice: ChoiceName, best: Rank, second: Rank) -> str:
    if best.first != second.first:
        return choice
    return "least_collateral" if best.second != second.second else "longest_idle"


def _excluded(pool: Pool, crews: Sequence[Crew], rejected: set[str]) -> dict[Exclusion, int]:
    """Return how many could not have it, by reason; who is in several of its Inboxes counts in each."""
    counts: Counter[Exclusion] = crews[0].excluded()
    for crew in crews[1:]:
        counts.update(crew.excluded())
    counts[Exclusion.REJECTED] = len(rejected)
    here = sum(len(crew.ranks) + len(crew.barred) for crew in crews)
    counts[Exclusion.OTHER_INBOX] = max(len(pool.state.agents) - here, 0)
    return {reason: counts[reason] for reason in Exclusion if counts[reason]}


def explained(
    pool: Pool,
    request: Request,
    agent: Agent,
    inbox: str,
    *,
    why: str,
    candidates: tuple[str, ...] = (),
    excluded: dict[Exclusion, int] | None = None,
) -> Explanation:
    """Return why the Agent has it, or is asked."""
    policy = pool.state.policy.of(request.need.inbox)
    return Explanation(
        policy=pool.state.policy.of(inbox).choice,
        why=why,
        candidates=candidates,
        excluded=excluded or {},
        relaxed=told(request, policy),
        margin={skill: agent.skills.get(skill, 0) - level for skill, level in request.need.skills},
        overflow=request.overflow,
    )
