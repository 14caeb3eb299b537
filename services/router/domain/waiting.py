"""What a waiting request counts for and asks for by now: target, ageing, starving, steps of relaxation.

All of it follows from the policy, the request and the moment, so a changed policy changes only what it says.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from services.router.domain.policy import InboxPolicy, Relaxation
from services.router.domain.state import Needs, Request


def weigh(request: Request, policy: InboxPolicy, now: datetime) -> None:
    """Bring up to date what the request counts for, whom it asks for, and where.

    It must not stand in line while this is done.
    """
    need, since = request.need, request.since or request.need.requested_at
    target = policy.targets.get(need.classes[0])
    request.due_at = need.due_at or (need.requested_at + timedelta(seconds=target) if target else None)
    steps = [step for step in policy.relaxation if since + timedelta(seconds=step.after) <= now]
    request.steps = len(steps)
    request.skills = () if request.waived else relaxed(need.skills, steps)
    request.inboxes = widened(need.inbox, steps)
    request.boost = sum(step.priority for step in steps) + aged(since, policy, now)
    starving = policy.starving_seconds
    request.starving = starving is not None and since + timedelta(seconds=starving) <= now


def aged(since: datetime, policy: InboxPolicy, now: datetime) -> int:
    """Return by how much waiting has raised the priority."""
    if policy.ageing_seconds is None:
        return 0
    return max(min((now - since) // timedelta(seconds=policy.ageing_seconds), policy.ageing_limit), 0)


def next_look(request: Request, policy: InboxPolicy, now: datetime) -> datetime | None:
    """Return when `weigh` would next find something else."""
    since = request.since or request.need.requested_at
    moments = [since + timedelta(seconds=step.after) for step in policy.relaxation[request.steps :]]
    if policy.ageing_seconds is not None:
        levels = aged(since, policy, now)
        if levels < policy.ageing_limit:
            moments.append(since + timedelta(seconds=policy.ageing_seconds) * (levels + 1))
    if policy.starving_seconds is not None and not request.starving:
        moments.append(since + timedelta(seconds=policy.starving_seconds))
    return min(moments, default=None)


def relaxed(skills: Needs, steps: Iterable[Relaxation]) -> Needs:
    """Return what is left of needed skills after the steps; level 0 is no need."""
    if not skills:
        return skills
    levels = dict(skills)
    for step in steps:
        levels = {
            skill: level + step.skills.get(skill, 0) - step.lower
            for skill, level in levels.items()
            if skill not in step.drop
        }
    return tuple((skill, level) for skill, level in sorted(levels.items()) if level > 0)


def widened(inbox: str, steps: Iterable[Relaxation]) -> tuple[str, ...]:
    """Return the Inboxes whose Agents may serve it, its own first."""
    return tuple(dict.fromkeys((inbox, *(name for step in steps for name in step.inboxes))))


def told(request: Request, policy: InboxPolicy) -> tuple[str, ...]:
    """Return in words what was relaxed, a step each; empty for a request that asks for all it did."""
    if not request.steps:
        return ()
    return tuple(words(step, request.need.skills) for step in policy.relaxation[: request.steps])


def words(step: Relaxation, skills: Needs) -> str:
    """Return what a step does, of what concerns a request that needs `skills`."""
    parts = [
        f"{skill} {step.skills.get(skill, 0) - step.lower}"
        for skill, _ in skills
        if (skill in step.skills or step.lower) and skill not in step.drop
    ]
    parts += [f"without {skill}" for skill, _ in skills if skill in step.drop]
    parts += [f"also {inbox}" for inbox in step.inboxes]
    parts += [f"priority +{step.priority}"] if step.priority else []
    return f"after {step.after:g} s: {', '.join(parts) or 'nothing that concerns it'}"
