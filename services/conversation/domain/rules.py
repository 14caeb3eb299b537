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
from schemas.outbound import MessageStatus
from services.chassis.inboxes import Inbox
from services.conversation.domain import calling, decisions
from services.conversation.domain.draft import Draft
from services.conversation.domain.inbound import receive
from services.conversation.domain.replies import delivery_changed

Inboxes = Mapping[str, Inbox]


class UnknownInboxError(Exception):
    """The record names an Inbox that is not configured."""


class UnknownMessageError(Exception):
    """The record is about a message that no timeline holds."""


class ForgottenCallError(Exception):
    """The record is about a call so long ago that only the timeline knows it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one topic's records change threads."""

    decide: Callable[[Draft, Any, int | None, Inboxes], bool]
    """`(draft, record, status_seq of the timeline row or None, inboxes)` → whether anything changed."""
    row_id: Callable[[Any], str | None]
    """The timeline row that tells whether the record was applied before."""
    moment: Callable[[Any], datetime]
    """By which time the record is judged."""


def _attach(draft: Draft, message: MessageIdentified, known: int | None, inboxes: Inboxes) -> bool:
    if message.data.call is None and known is not None:
        return False
    if message.data.inbox not in inboxes:
        raise UnknownInboxError
    if (step := message.data.call) is not None:
        return _hear(draft, message, step, known, inboxes)
    receive(draft, message, inboxes)
    return True


def _hear(
    draft: Draft, message: MessageIdentified, step: CallStep, known: int | None, inboxes: Inboxes
) -> bool:
    if known is not None and calling.known(draft.thread, str(step.call_id)) is None:
        raise ForgottenCallError
    if step.inbox is not None and step.inbox not in inboxes:
        raise UnknownInboxError
    return calling.hear(draft, message, step, inboxes)


def _row_of(message: MessageIdentified) -> str:
    return str(message.data.call.call_id if message.data.call is not None else message.id)


def _show_delivery(draft: Draft, status: MessageStatus, known: int | None, _: Inboxes) -> bool:
    if known is None:
        raise UnknownMessageError
    if status.seq <= known:
        return False
    delivery_changed(draft, status)
    return True


def _route(draft: Draft, decision: Envelope, _known: int | None, _inboxes: Inboxes) -> bool:
    return decisions.apply(draft, decision)


ATTACH = Rule(_attach, row_id=_row_of, moment=lambda message: message.data.received_at)
SHOW_DELIVERY = Rule(
    _show_delivery,
    row_id=lambda status: str(status.data.message_id),
    moment=lambda status: status.occurred_at,
)
ROUTE = Rule(_route, row_id=lambda _: None, moment=lambda decision: decision.occurred_at)
