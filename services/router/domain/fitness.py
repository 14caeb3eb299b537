"""Who can have anything of a line at all, room aside."""

from schemas.common import Channel, ChannelClass, channel_class
from schemas.routing import Exclusion
from services.router.domain.queues import Line
from services.router.domain.state import Agent


def reachable(agent: Agent, channel: Channel | None, needed: tuple[ChannelClass, ...]) -> bool:
    """Return whether the Agent is available for all of `needed`.

    The class that `channel` belongs to needs that channel, another messaging or email class any channel
    of it, and a task only that the Agent is signed on.
    """
    for name in needed:
        if name is ChannelClass.TASKS:
            there = agent.signed_on
        elif channel is not None and name is channel_class(channel):
            there = agent.channels.get(channel, False)
        else:
            there = any(on and channel_class(other) is name for other, on in agent.channels.items())
        if not there:
            return False
    return True


def paused(agent: Agent) -> Exclusion | None:
    """Return why nothing is pushed to an Agent who is signed on."""
    if agent.away:
        return Exclusion.AWAY
    if agent.wrap_up_until is not None:
        return Exclusion.WRAP_UP
    return Exclusion.FOCUS if agent.focus else None


def unfit(agent: Agent, where: Line, *, asked: bool = False) -> Exclusion | None:
    """Return what keeps the Agent from a whole line of their Inbox, room aside.

    An Agent who asked is only kept from it by what they are not there for, or not able to.
    """
    if not agent.signed_on:
        return Exclusion.SIGNED_OFF
    if not reachable(agent, where.channel, where.classes):
        return Exclusion.CHANNEL_OFF
    pause = paused(agent)
    if pause and not (asked and pause is not Exclusion.AWAY):
        return pause
    if any(agent.skills.get(skill, 0) < level for skill, level in where.skills):
        return Exclusion.MISSING_SKILL
    return None
