"""The shortest way to let rules act."""

from typing import Any

import yaml

from schemas.conversations import RuleFired
from schemas.inbound import MessageIdentified
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.ruling.acting import Means
from services.conversation.domain.ruling.definition import Rules
from services.conversation.domain.ruling.run import run
from services.conversation.domain.timers import tick
from services.conversation.rules_file import rules_of
from tests.unit.conversation.builders import INBOXES, draft

MEANS = Means(INBOXES)


def rules(text: str) -> Rules:
    """Return the rules of a YAML list."""
    return rules_of({"rules": yaml.safe_load(text)}, INBOXES)


def heard(thread: Thread, item: MessageIdentified, given: Rules) -> Draft:
    """Apply a message or a word on a call, as a record from Kafka."""
    change = Draft(thread, item.id, item.correlation, item.data.received_at, item.home or "")
    assert ATTACH.decide(change, item, None, INBOXES)
    run(change, thread, given, MEANS)
    return change


def done(thread: Thread, seconds: float, given: Rules, apply: Any) -> Draft:
    """Let `apply` change the thread, as a command."""
    change = draft(thread, seconds, "command")
    apply(change)
    run(change, thread, given, MEANS)
    return change


def ticked(thread: Thread, seconds: float, given: Rules) -> Draft:
    """Let time pass."""
    change = draft(thread, seconds, "timer")
    tick(change, INBOXES)
    run(change, thread, given, MEANS, ticking=True)
    return change


def fired(change: Draft) -> list[RuleFired]:
    """Return which rules fired."""
    return [each for each in change.caused if isinstance(each, RuleFired)]


def names(change: Draft) -> list[str]:
    """Return the names of the rules that fired."""
    return [str(each.data.rule) for each in fired(change)]
