"""Commands of conversation: request, assign, widen, release (domain: Routing; architecture: Routing)."""

from dataclasses import replace
from datetime import datetime

from schemas.common import ChannelClass
from schemas.envelope import Envelope
from schemas.routing import (
    AssignData,
    Explanation,
    RequestData,
    RoutingAssign,
    RoutingRelease,
    RoutingRequest,
    RoutingWiden,
    Subject,
)
from services.router.domain.decisions import RefusalReason, refused, released, unassigned
from services.router.domain.fitness import reachable
from services.router.domain.matching import give
from services.router.domain.offers import withdraw
from services.router.domain.pool import Pool
from services.router.domain.room import shortage
from services.router.domain.state import Agent, Need, Request, Slot, Standing, classes


def on_request(pool: Pool, command: RoutingRequest) -> None:
    """Queue the Conversation. The same epoch again: repeat its grant, or go on waiting."""
    data = command.data
    standing = _standing(pool, command, data)
    if data.epoch <= standing.epoch:
        if standing.slot and standing.slot.epoch == data.epoch:
            pool.decisions.append(standing.slot.grant)
        return
    since = _since(pool, standing, data)
    _follow(standing, command, data)
    _give_up(pool, standing)
    need = _need(data)
    request = Request(need, data.epoch, pool.arrival(), ahead=data.ahead, since=since)
    if data.avoid_agent:
        until = pool.after(pool.state.policy.ask_again_seconds)
        request.rejected[data.avoid_agent] = until
        pool.remind(until, "wake", standing.conversation_id)
    seconds = pool.state.policy.of(need.inbox).preferred_grace_seconds
    if need.preferred and seconds > 0:
        request.grace_until = pool.after(seconds)
        pool.remind(request.grace_until, "wake", standing.conversation_id)
    pool.enqueue(standing, request)


def on_assign(pool: Pool, command: RoutingAssign) -> None:
    """Give the Conversation to the named Agent, or refuse and leave everything as it was."""
    data = command.data
    standing = _standing(pool, command, data)
    if standing.assigned_by == command.id:
        if standing.slot:
            pool.decisions.append(standing.slot.grant)
        return
    if standing.refusal and standing.refusal.data.command_id == command.id:
        pool.decisions.append(standing.refusal)
        return
    obstacle = _obstacle(pool, standing, data)
    if obstacle:
        standing.refusal = refused(pool, standing, command, *obstacle)
        if standing.held_epoch is None:
            pool.rest(standing)
        return
    need = _assigned_need(standing, command)
    agent = pool.state.agents[data.agent]
    full = shortage(agent, pool.hands[agent.id], need.classes, standing.conversation_id)
    _follow(standing, command, data)
    _give_up(pool, standing)
    standing.assigned_by = command.id
    forced = full is not None or data.inbox not in agent.inboxes
    why = Explanation(policy="named", why="forced" if forced else data.reason)
    give(
        pool,
        standing,
        need,
        epoch=data.epoch,
        agent=data.agent,
        reason=data.reason,
        explanation=why,
        forced=forced,
    )


def on_widen(pool: Pool, command: RoutingWiden) -> None:
    """Count another class in the Conversation's slot; without room for it the Conversation waits again."""
    standing = pool.state.standings.get(command.data.conversation_id)
    if standing is None or standing.need is None or standing.held_epoch != command.data.epoch:
        return
    if command.data.channel_class in standing.need.classes:
        return
    need = replace(standing.need, classes=classes(*standing.need.classes, command.data.channel_class))
    if standing.request:
        withdraw(pool, standing)
        pool.leave_line(standing, standing.request)
        standing.request.need = need
        pool.enqueue(standing, standing.request)
    elif standing.slot:
        _widen_slot(pool, standing, standing.slot, need)


def on_release(pool: Pool, command: RoutingRelease) -> None:
    """Free what the Conversation holds up to the epoch, and say so; what is newer stays."""
    data = command.data
    standing = _standing(pool, command, data)
    held = standing.held_epoch
    if held is not None and held <= data.epoch:
        if standing.slot:
            pool.note_handling(standing.slot)
        _give_up(pool, standing)
    standing.epoch = max(standing.epoch, data.epoch)
    pool.touched.conversations.add(data.conversation_id)
    released(pool, standing, data.epoch)
    if standing.held_epoch is None:
        pool.rest(standing)


def requeue(pool: Pool, standing: Standing, slot: Slot, need: Need) -> None:
    """Let a Conversation that lost its Agent wait again under the same epoch, ahead of its equals."""
    pool.vacate(standing)
    pool.enqueue(standing, Request(need, slot.epoch, pool.arrival(), ahead=True, since=pool.now))


def _standing(pool: Pool, command: Envelope, data: Subject) -> Standing:
    standing = pool.state.standings.get(data.conversation_id)
    if standing is None:
        standing = Standing(
            data.conversation_id, data.customer_id, command.correlation, command.home, kind=data.kind
        )
        pool.state.standings[data.conversation_id] = standing
        pool.rest(standing)
    return standing


def _follow(standing: Standing, command: Envelope, data: Subject) -> None:
    """Learn from the newest command whose Conversation it is and what its decisions belong to."""
    standing.epoch = data.epoch
    standing.customer_id, standing.home = data.customer_id, command.home
    standing.correlation = command.correlation
    standing.assigned_by = standing.refusal = None


def _since(pool: Pool, standing: Standing, data: RequestData) -> datetime:
    """Return when this wait began: it goes on where it waits already, and begins where an Agent had it."""
    if standing.request:
        return standing.request.since or standing.request.need.requested_at
    return pool.now if data.ahead else min(data.requested_at, pool.now)


def _give_up(pool: Pool, standing: Standing) -> None:
    slot = standing.slot
    withdraw(pool, standing)
    pool.vacate(standing)
    if slot:
        _wrap_up(pool, slot)


def _wrap_up(pool: Pool, slot: Slot) -> None:
    """Let the Agent of a call that is over alone for a while."""
    seconds = pool.state.policy.of(slot.need.inbox).wrap_up_seconds
    if seconds > 0 and ChannelClass.VOICE in slot.need.classes:
        agent = pool.state.agents[slot.agent]
        agent.wrap_up_until = pool.after(seconds)
        pool.remind(agent.wrap_up_until, "wrap_up", agent.id)
        pool.agent_touched(agent.id)


def _need(data: RequestData) -> Need:
    return Need(
        inbox=data.inbox,
        channel=data.channel,
        classes=classes(data.channel_class, *data.also),
        requested_at=data.requested_at,
        priority=data.priority,
        skills=tuple(sorted(data.skills.items())),
        due_at=data.due_at,
        preferred=data.preferred_agent,
    )


def _assigned_need(standing: Standing, command: RoutingAssign) -> Need:
    """Return what it waited for, as far as known: it counts again should the Agent be lost."""
    data = command.data
    if standing.need:
        return replace(
            standing.need,
            inbox=data.inbox,
            channel=data.channel,
            classes=classes(data.channel_class, *data.also),
        )
    return Need(data.inbox, data.channel, classes(data.channel_class, *data.also), command.occurred_at)


def _obstacle(pool: Pool, standing: Standing, data: AssignData) -> tuple[RefusalReason, str] | None:
    agent = pool.state.agents.get(data.agent)
    if data.epoch <= standing.epoch:
        return "stale", f"epoch {data.epoch} of the Conversation is over; the newest is {standing.epoch}"
    if agent is None:
        return "unknown_agent", f"{data.agent} is no Agent of pool {data.pool}"
    if data.inbox not in agent.inboxes and not (data.force and data.reason == "take"):
        return "other_inbox", f"{agent.id} is not in Inbox {data.inbox}"
    absence = _absence(agent, data)
    if absence:
        return "signed_off", absence
    full = shortage(
        agent, pool.hands[agent.id], classes(data.channel_class, *data.also), standing.conversation_id
    )
    return ("full", full) if full and not data.force else None


def _absence(agent: Agent, data: AssignData) -> str | None:
    """Return why the Agent is not there for it. Who takes by hand is there, unless heartbeats stopped."""
    if not agent.signed_on:
        return f"{agent.id} is signed off"
    if agent.lost or (agent.tired and data.reason == "transfer"):
        return f"{agent.id} is away"
    if not reachable(agent, data.channel, classes(data.channel_class, *data.also)):
        return f"{agent.id} is not available on {data.channel or data.channel_class}"
    return None


def _widen_slot(pool: Pool, standing: Standing, slot: Slot, need: Need) -> None:
    agent = pool.state.agents[slot.agent]
    if shortage(agent, pool.hands[agent.id], need.classes, standing.conversation_id):
        unassigned(pool, standing, slot.epoch, agent.id, "no_room")
        requeue(pool, standing, slot, need)
        return
    slot.need = need
    pool.hands[agent.id].take(standing.conversation_id, need.classes)
    pool.agent_touched(agent.id)
    pool.touched.conversations.add(standing.conversation_id)
