"""Whether a rule fires."""

from datetime import datetime
from functools import lru_cache

from schemas.common import Channel
from schemas.conversations import Status
from services.conversation.domain import routing
from services.conversation.domain.model import Conversation
from services.conversation.domain.ruling.definition import Conditions, Event, Rule, Rules, Text
from services.conversation.domain.ruling.happenings import Happening, remembered
from services.conversation.domain.ruling.text import Said, compiled, folded, phrase
from services.conversation.domain.topics import covers

_phrase = lru_cache(20_000)(phrase)
"""Of what rules ask for; what Customers say is looked at once."""
_folded = lru_cache(20_000)(folded)


def fires(rule: Rule, conversation: Conversation, happening: Happening) -> bool:
    """Tell whether the rule fires at what happened, with the Conversation as it now is."""
    ready = (rule.every and not rule.by_age) or rule.name not in conversation.ruled.fired
    return ready and happening.event in rule.when and _holds(rule.conditions, conversation, happening)


def due_at(rule: Rule, conversation: Conversation) -> datetime | None:
    """Return when a rule of age fires, if the Conversation stays as it is; None for never."""
    if rule.after is None or conversation.status is Status.CLOSED:
        return None
    ruled = remembered(conversation)
    since = ruled.status_at if rule.since == "status" else ruled.opened_at
    aged = Happening(Event.AGE)
    return since + rule.after if since is not None and fires(rule, conversation, aged) else None


def next_due(conversation: Conversation | None, rules: Rules) -> datetime | None:
    """Return when the first rule of age fires, None for never."""
    if conversation is None:
        return None
    moments = (due_at(rule, conversation) for rule in rules.of(Event.AGE))
    return min((moment for moment in moments if moment is not None), default=None)


def _holds(asked: Conditions, conversation: Conversation, happening: Happening) -> bool:
    return (
        _on(asked, conversation, happening)
        and (not asked.inbox or conversation.inbox in asked.inbox)
        and (not asked.status or conversation.status in asked.status)
        and (not asked.topic or any(covers(topic, conversation.topics) for topic in asked.topic))
        and (asked.first_message is None or asked.first_message is happening.first)
        and (asked.transfers is None or conversation.ruled.transfers >= asked.transfers)
        and (asked.text is None or _says(asked.text, happening.said))
    )


def _on(asked: Conditions, conversation: Conversation, happening: Happening) -> bool:
    if not asked.channel and not asked.account:
        return True
    channel, account = _place(conversation, happening)
    return (not asked.channel or channel in asked.channel) and (not asked.account or account in asked.account)


def _place(conversation: Conversation, happening: Happening) -> tuple[Channel | None, str | None]:
    if happening.channel is not None or not conversation.contacts:
        return happening.channel, happening.account
    last = routing.last_contact(conversation)
    return last.channel, last.account


def _says(asked: Text, said: Said) -> bool:
    if not said.raw:
        return False
    return (
        (not asked.any or any(_phrase(each) in said.words for each in asked.any))
        and all(_phrase(each) in said.words for each in asked.all)
        and not any(_phrase(each) in said.words for each in asked.none)
        and (not asked.contains or any(_folded(each) in said.folded for each in asked.contains))
        and (asked.pattern is None or compiled(asked.pattern).search(said.raw) is not None)
    )
