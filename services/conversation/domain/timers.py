"""Time passes: Contacts end by themselves, and a request without an answer is sent again."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from schemas.conversations import Status
from services.chassis.inboxes import Inbox, inbox_of
from services.conversation.domain import calling, contacts, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread

RESEND_FIRST = timedelta(seconds=30)
RESEND_MOST = timedelta(minutes=10)


def next_due(thread: Thread, inboxes: Mapping[str, Inbox]) -> datetime | None:
    """Return when the thread next changes by itself, None for never."""
    current = thread.current
    if current is None or current.status is Status.CLOSED:
        return None
    inbox = inbox_of(inboxes, current.inbox)
    moments = [contacts.due_at(contact, inbox) for contact in current.live_contacts]
    return min((moment for moment in (*moments, _resend_at(thread)) if moment is not None), default=None)


def tick(draft: Draft, inboxes: Mapping[str, Inbox]) -> None:
    """Do what is due at `draft.now`."""
    if draft.thread.current is None:
        return
    inbox = inbox_of(inboxes, draft.conversation.inbox)
    for contact in draft.conversation.live_contacts:
        due = contacts.due_at(contact, inbox)
        if due is not None and due <= draft.now and not calling.lapse(draft, contact, inboxes):
            contacts.end(draft, contact, "idle")
            contacts.let_rest(draft, "idle")
    resend = _resend_at(draft.thread)
    if resend is not None and resend <= draft.now:
        routing.remind(draft)


def _resend_at(thread: Thread) -> datetime | None:
    current = thread.current
    if current is None or current.status is not Status.NEW or current.routing.asked_at is None:
        return None
    return current.routing.asked_at + min(RESEND_FIRST * (1 << min(current.routing.tries, 10)), RESEND_MOST)
