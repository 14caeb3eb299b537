"""What a rule does. Each action either happens or is refused for a reason; nothing raises."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from schemas.common import Channel
from schemas.conversations import RuleFired, Status
from schemas.routing import RoutingRequest
from services.conversation.domain import lifecycle, replies
from services.conversation.domain.consent import Line, refusing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Route
from services.conversation.domain.rules import Inboxes
from services.conversation.domain.ruling.definition import MOST_RULES, Rule
from services.conversation.domain.ruling.happenings import Happening
from services.conversation.domain.table import ALLOWED, Action
from services.conversation.domain.tickets import want
from services.conversation.domain.topics import added
from services.conversation.domain.window import Window, window


@dataclass(frozen=True, slots=True)
class Means:
    """What rules act with."""

    inboxes: Inboxes


def carry_out(draft: Draft, rule: Rule, happening: Happening, means: Means) -> None:
    """Do what the rule says, under its name, and tell of it."""
    draft.rule = rule.name
    refused: dict[str, str] = {}
    for name in rule.then.named:
        why = _ACTIONS[name](draft, rule, happening, means)
        if why is not None:
            refused[name] = why
    ruled = draft.conversation.ruled
    draft.change(ruled=replace(ruled, fired=_with(ruled.fired, rule.name)))
    done = tuple(name for name in rule.then.named if name not in refused)
    draft.event(RuleFired, {"event": happening.event, "actions": done, "refused": refused})
    draft.rule = None


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return (*(each for each in names if each != name), name)[-MOST_RULES:]


Act = Callable[[Draft, Rule, Happening, Means], str | None]
"""Returns why it was not done, None when it was."""


def _topic(draft: Draft, rule: Rule, _: Happening, __: Means) -> str | None:
    lifecycle.set_topics(draft, added(draft.conversation.topics, rule.then.topic))
    return None


def _set_topic(draft: Draft, rule: Rule, _: Happening, __: Means) -> str | None:
    lifecycle.set_topics(draft, rule.then.set_topic or ())
    return None


def _priority(draft: Draft, rule: Rule, _: Happening, __: Means) -> str | None:
    lifecycle.set_priority(draft, rule.then.priority or 0)
    return None


def _skills(draft: Draft, rule: Rule, _: Happening, __: Means) -> str | None:
    if draft.conversation.status is Status.CLOSED:
        return _CLOSED
    lifecycle.require_skills(draft, rule.then.skills)
    return None


def _inbox(draft: Draft, rule: Rule, _: Happening, means: Means) -> str | None:
    if draft.conversation.status not in ALLOWED[Action.TRANSFER]:
        return _CLOSED
    inbox = means.inboxes.get(rule.then.inbox or "")
    if inbox is None:
        return "no_such_inbox"
    if inbox.name != draft.conversation.inbox:
        lifecycle.transfer_to_inbox(draft, inbox, by=None)
    return None


def _note(draft: Draft, rule: Rule, _: Happening, __: Means) -> str | None:
    replies.note(
        draft,
        note_id=draft.id("note", rule.name),
        author=f"rule:{rule.name}",
        text=rule.then.note or "",
        about=draft.conversation,
    )
    return None


def _reply(draft: Draft, rule: Rule, happening: Happening, _: Means) -> str | None:
    """Write on the channel of the event, else the Customer's last; like HELP it answers no question."""
    if draft.conversation.status not in ALLOWED[Action.REPLY]:
        return _CLOSED
    if rule.name in draft.conversation.ruled.replied:
        return "replied_before"
    way = _way(draft, happening.channel)
    if way is None:
        return "no_address"
    channel, route = way
    line = Line(route.provider, route.account, channel, route.address)
    if refusing(draft.thread, line, marketing=False) is not None:
        return "opted_out"
    if window(draft.thread, line, draft.now) is not Window.OPEN:
        return "outside_window"
    contact = next((each for each in draft.conversation.live_contacts if each.channel is channel), None)
    words = replies.Words(rule.then.reply or "")
    replies.write(
        draft, draft.id("reply", rule.name), channel, route, words, contact_id=contact.id if contact else None
    )
    ruled = draft.conversation.ruled
    draft.change(ruled=replace(ruled, replied=_with(ruled.replied, rule.name)))
    return None


def _way(draft: Draft, channel: Channel | None) -> tuple[Channel, Route] | None:
    routes = draft.thread.routes
    if channel is not None and channel in routes:
        return channel, routes[channel]
    if channel is not None and channel is not Channel.VOICE:
        return None  # who wrote by a way that shows no way back is not written to elsewhere
    return max(routes.items(), key=lambda item: (item[1].at, item[0]), default=None)


def _ticket(draft: Draft, rule: Rule, _: Happening, __: Means) -> str | None:
    if rule.then.ticket is not None:
        want(draft, rule.then.ticket, f"rule:{rule.name}")
    return None


def _close(draft: Draft, _rule: Rule, _: Happening, __: Means) -> str | None:
    lifecycle.close(draft, confirmed=None)
    return None


_CLOSED = "closed"
_ACTIONS: dict[str, Act] = {
    "topic": _topic,
    "set_topic": _set_topic,
    "priority": _priority,
    "skills": _skills,
    "inbox": _inbox,
    "note": _note,
    "reply": _reply,
    "ticket": _ticket,
    "close": _close,
}


def ask_once(draft: Draft) -> None:
    """Leave out requests to the router that this same change has overtaken: nobody has seen them."""
    current = draft.conversation
    draft.caused = [
        each
        for each in draft.caused
        if not isinstance(each, RoutingRequest)
        or each.data.conversation_id != current.id
        or each.data.epoch == current.routing.current
    ]
