"""Commands of Agents and leads: profile, availability, heartbeat; and what an Agent's leaving means."""

from typing import Literal

from schemas.routing import AgentAvailability, AgentHeartbeat, AgentProfile
from services.router.domain.decisions import announce, face, unassigned
from services.router.domain.offers import Reply, unknown_agent, withdraw, withdraw_misfits
from services.router.domain.pool import Pool
from services.router.domain.requests import requeue
from services.router.domain.state import Agent


def on_profile(pool: Pool, command: AgentProfile) -> Reply:
    """Set a profile. What the Agent has stays, also where it now exceeds the capacity."""
    data = command.data
    agent = pool.state.agents.get(data.agent)
    if data.moved_to is not None:
        return _leave(pool, agent, data.moved_to)
    before = face(agent) if agent else None
    if agent is None:
        agent = Agent(data.agent, command.personal.name, idle_since=pool.now)
        pool.state.agents[data.agent] = agent
        pool.state.decided = max(pool.state.decided, data.above)
    agent.name = command.personal.name
    pool.join(agent, tuple(dict.fromkeys(data.inboxes)))
    agent.skills, agent.capacity = dict(data.skills), data.capacity
    agent.auto_accept, agent.voice_alone = dict(data.auto_accept), data.voice_alone
    agent.excludes, agent.pull_limit = dict(data.excludes), data.pull_limit
    _look_for_hopes(pool, agent.id)
    withdraw_misfits(pool, agent)
    pool.agent_changed(agent.id)
    announce(pool, agent, before)
    return Reply(200)


def on_availability(pool: Pool, command: AgentAvailability) -> Reply:
    """Sign on or off by channel, or be left in peace (focus); a sign that the Agent is there.

    It ends a wrap-up, and focus ends with the sign-off.

    Switching off one of several channels leaves the Agent what they have on it and only stops new
    Conversations; switching off the last one gives everything back.
    """
    agent = pool.state.agents.get(command.data.agent)
    if agent is None:
        return unknown_agent(command.data.agent)
    before, was_on = face(agent), agent.signed_on
    agent.channels = {**agent.channels, **command.data.channels}
    agent.wrap_up_until = None
    if command.data.focus is not None:
        agent.focus = command.data.focus
    agent.lost = agent.tired = False
    agent.timeouts = 0
    if not agent.signed_on:
        agent.heartbeat_at, agent.focus = None, False
        give_back(pool, agent, "signed_off")
    elif not was_on:
        agent.idle_since = pool.now
    withdraw_misfits(pool, agent)
    pool.agent_changed(agent.id)
    announce(pool, agent, before)
    return Reply(200)


def on_heartbeat(pool: Pool, command: AgentHeartbeat) -> Reply:
    """Note that a device of the Agent is there. One sent before the last known says nothing new."""
    agent = pool.state.agents.get(command.data.agent)
    if agent is None:
        return unknown_agent(command.data.agent)
    if agent.heartbeat_sent and command.occurred_at < agent.heartbeat_sent:
        return Reply(204)
    agent.heartbeat_sent = command.occurred_at
    hear(pool, agent)
    if agent.lost:
        before = face(agent)
        agent.lost = False
        pool.agent_changed(agent.id)
        announce(pool, agent, before)
    return Reply(204)


def hear(pool: Pool, agent: Agent) -> None:
    """Count the Agent's heartbeat deadline from now."""
    silent = agent.heartbeat_at is None
    agent.heartbeat_at = pool.now
    deadline = pool.heartbeat_deadline(agent)
    if silent and deadline:
        pool.remind(deadline, "heartbeat", agent.id)


def lose(pool: Pool, agent: Agent) -> None:
    """Count the Agent as away, and give back everything: the heartbeats have stopped."""
    agent.heartbeat_at = None
    if not agent.signed_on:
        return
    before = face(agent)
    agent.lost = True
    give_back(pool, agent, "lost")
    pool.agent_changed(agent.id)
    announce(pool, agent, before)


def give_back(pool: Pool, agent: Agent, reason: Literal["signed_off", "lost"]) -> None:
    """Take back the Agent's offers, and queue all they have again."""
    standings = [pool.state.standings[conversation_id] for conversation_id in pool.hands[agent.id].held]
    for standing in sorted(standings, key=lambda each: each.conversation_id):
        withdraw(pool, standing)
        slot = standing.slot
        if slot and slot.agent == agent.id:
            unassigned(pool, standing, slot.epoch, agent.id, reason)
            requeue(pool, standing, slot, slot.need)


def _look_for_hopes(pool: Pool, agent_id: str) -> None:
    pool.hopes.look_at(agent_id, pool.state.policy)
    pool.hopes_changed = True


def _leave(pool: Pool, agent: Agent | None, moved_to: str) -> Reply:
    """Forget an Agent who goes to another pool."""
    if agent is None:
        return Reply(200, body={"above": pool.state.decided})
    held = pool.hands[agent.id].total
    if held:
        return Reply(
            409,
            f"{agent.id} has {held} Conversations in pool {pool.state.pool}, not free to move to {moved_to}",
        )
    pool.join(agent, ())
    del pool.state.agents[agent.id]
    pool.hands.pop(agent.id, None)
    for turns in pool.state.turns.values():
        turns.pop(agent.id, None)
    _look_for_hopes(pool, agent.id)
    pool.agent_touched(agent.id)
    pool.changed_requests |= pool.waiting_for.get(agent.id, set())
    return Reply(200, body={"above": pool.state.decided})
