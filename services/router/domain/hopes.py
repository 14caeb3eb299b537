"""Whether anybody could ever serve a need, whatever is switched on or full now.

A witness is kept for each need that was asked about: one Agent who could, looked at again when their profile
changes. Which one it is decides nothing.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.router.domain.policy import InboxPolicy, Policy
from services.router.domain.state import Agent, Classes, Needs, Request
from services.router.domain.waiting import relaxed, widened

_MOST = 2_000
"""Needs a witness is kept for; then all are sought anew."""


class Hope(NamedTuple):
    """What requests have in common that the same Agents could ever serve."""

    inbox: str
    classes: Classes
    skills: Needs


def hope_of(request: Request) -> Hope:
    """Return what the request needs at its strictest."""
    need = request.need
    return Hope(need.inbox, need.classes, () if request.waived else need.skills)


class Hopes:
    """Of a pool, over its own Agents and members."""

    def __init__(self, agents: Mapping[str, Agent], members: Mapping[str, set[str]]) -> None:
        self._agents, self._members = agents, members
        self._witness: dict[Hope, str | None] = {}

    def forget(self) -> None:
        """Ask about every need anew: the policy has changed."""
        self._witness.clear()

    def look_at(self, agent_id: str, policy: Policy) -> None:
        """Take notice of an Agent whose profile is new, or who is gone."""
        agent = self._agents.get(agent_id)
        for hope, witness in list(self._witness.items()):
            fits = agent is not None and _could(agent, hope, policy.of(hope.inbox))
            if witness is None and fits:
                self._witness[hope] = agent_id
            elif witness == agent_id and not fits:
                del self._witness[hope]

    def left(self, hope: Hope, policy: Policy) -> bool:
        """Return whether an Agent of the Inbox, or of one it widens to, could ever have it."""
        if hope not in self._witness:
            if len(self._witness) >= _MOST:
                self._witness.clear()
            self._witness[hope] = self._find(hope, policy.of(hope.inbox))
        return self._witness[hope] is not None

    def refuge(self, hope: Hope, policy: Policy) -> Hope | None:
        """Return what a hopeless need becomes: in the next fallback with Agents for it; None without one.

        What nobody there could ever have either keeps no skill, as at the end of all fallbacks.
        """
        for inbox in _fallbacks(hope.inbox, policy):
            strict, bare = hope._replace(inbox=inbox), Hope(inbox, hope.classes, ())
            if self.left(strict, policy):
                return strict
            if self.left(bare, policy):
                return bare
        own = Hope(hope.inbox, hope.classes, ())
        at_the_end = hope.skills and policy.is_fallback(hope.inbox)
        return own if at_the_end and self.left(own, policy) else None

    def _find(self, hope: Hope, policy: InboxPolicy) -> str | None:
        ids = (
            agent_id
            for inbox in widened(hope.inbox, policy.relaxation)
            for agent_id in self._members.get(inbox, ())
        )
        skills = relaxed(hope.skills, policy.relaxation)
        return next((each for each in ids if _able(self._agents[each], hope.classes, skills)), None)


def _could(agent: Agent, hope: Hope, policy: InboxPolicy) -> bool:
    inboxes = widened(hope.inbox, policy.relaxation)
    if not any(inbox in agent.inboxes for inbox in inboxes):
        return False
    return _able(agent, hope.classes, relaxed(hope.skills, policy.relaxation))


def _able(agent: Agent, classes: Classes, skills: Needs) -> bool:
    room = agent.capacity.total > 0 and all(getattr(agent.capacity, name) > 0 for name in classes)
    return room and all(agent.skills.get(skill, 0) >= level for skill, level in skills)


def _fallbacks(inbox: str, policy: Policy) -> Iterator[str]:
    seen = {inbox}
    following = policy.of(inbox).fallback
    while following is not None and following not in seen:
        yield following
        seen.add(following)
        following = policy.of(following).fallback
