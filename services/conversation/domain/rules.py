"""What each record that reaches a thread does to it: one pure function a topic.

A rule returns False when the record changes nothing: a repeat, or stale.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.calls import CallStep
from schemas.envelope import Envelope
from schemas.inbound import MessageIdentified
from schemas.outbound import OPTED_OUT, MessageStatus
from services.chassis.inboxes import Inbox
from services.conversation.domain import calling, decisions
from services.conversation.domain.consent import Line, Word, reported
from services.conversation.domain.draft import Draft
from services.conversation.domain.help import answer
from services.conversation.domain.inbound import receive
from services.conversation.domain.replies import delivery_changed

Inboxes = Mapping[str, Inbox]


HelpText = Callable[[str, str], str | None]
"""`(provider, account)` → what HELP is answered with there, None for nothing."""


class UnknownInboxError(Exception):
    """The record names an Inbox that is not configured."""


class UnknownMessageError(Exception):
    """The record is about a message that no timeline holds."""


class ForgottenCallError(Exception):
    """The record is about a call so long ago that only the timeline knows it."""


@dataclass(frozen=True, slots=True)
class Known:
    """The timeline row a record is about."""

    status_seq: int
    line: Line | None = None
    """Of a message of ours: by which it was sent."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one topic's records change threads."""

    decide: Callable[[Draft, Any, Known | None, Inboxes], bool]
    """`(draft, record, its timeline row or None, inboxes)` → whether anything changed."""
    row_id: Callable[[Any], str | None]
    """The timeline row that tells whether the record was applied before."""
    moment: Callable[[Any], datetime]
    """By which time the record is judged."""


def attach(help_text: HelpText) -> Rule:
    """Return the rule for Customers' messages and calls."""

    def decide(draft: Draft, message: MessageIdentified, known: Known | None, inboxes: Inboxes) -> bool:
        step = message.data.call
        if draft.thread.erased or (step is None and known is not None):
            return False
        if message.data.inbox not in inboxes:
            raise UnknownInboxError
        if step is not None:
            return _hear(draft, message, step, known, inboxes)
        word = receive(draft, message, inboxes)
        if word is Word.HELP:
            answer(draft, message, help_text(message.data.provider, message.data.account))
        return True

    return Rule(decide, row_id=_row_of, moment=lambda message: message.data.received_at)


def _hear(
    draft: Draft, message: MessageIdentified, step: CallStep, known: Known | None, inboxes: Inboxes
) -> bool:
    if known is not None and calling.known(draft.thread, str(step.call_id)) is None:
        raise ForgottenCallError
    if step.inbox is not None and step.inbox not in inboxes:
        # a menu names an Inbox that is none: the call stays where its number's calls go
        step = step.model_copy(update={"inbox": None})
    return calling.hear(draft, message, step, inboxes)


def _row_of(message: MessageIdentified) -> str:
    """Each message has a row; all words on a call share one."""
    return str(message.data.call.call_id if message.data.call is not None else message.id)


def _show_delivery(draft: Draft, status: MessageStatus, known: Known | None, _: Inboxes) -> bool:
    if draft.thread.erased:
        return False
    if known is None:
        raise UnknownMessageError
    if status.seq <= known.status_seq:
        return False
    delivery_changed(draft, status)
    data = status.data
    by_provider = data.error_kind == OPTED_OUT and data.error_code != OPTED_OUT
    if by_provider and known.line is not None:
        reported(draft, known.line, data.at)
    return True


def _route(draft: Draft, decision: Envelope, _known: Known | None, _inboxes: Inboxes) -> bool:
    return decisions.apply(draft, decision)


ATTACH = attach(lambda _provider, _account: None)
SHOW_DELIVERY = Rule(
    _show_delivery,
    row_id=lambda status: str(status.data.message_id),
    moment=lambda status: status.occurred_at,
)
ROUTE = Rule(_route, row_id=lambda _: None, moment=lambda decision: decision.occurred_at)
