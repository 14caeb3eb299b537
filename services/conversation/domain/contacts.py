"""Contacts end, and a Conversation with none left waits for the Customer."""

from dataclasses import replace
from datetime import datetime, timedelta

from schemas.common import Channel
from schemas.conversations import ContactEnded, Status
from services.chassis.inboxes import Inbox
from services.conversation.domain import routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Contact
from services.conversation.domain.table import AFTER_LAST_CONTACT


def end(draft: Draft, contact: Contact, reason: str, *, at: datetime | None = None) -> None:
    """End one Contact, at `at` or now."""
    draft.contact(replace(contact, ended_at=at or draft.now))
    data = {
        "contact_id": contact.id,
        "channel": contact.channel,
        "account": contact.account,
        "reason": reason,
    }
    draft.event(ContactEnded, data)


def end_all(draft: Draft, reason: str) -> None:
    """End all that are live."""
    for contact in draft.conversation.live_contacts:
        end(draft, contact, reason)


def end_answered_mail(draft: Draft) -> None:
    """An email Contact ends when it is answered."""
    for contact in draft.conversation.live_contacts:
        if contact.channel is Channel.EMAIL and contact.last_ours:
            end(draft, contact, "answered")


def let_rest(draft: Draft, reason: str) -> None:
    """Wait for the Customer when the last Contact has ended; from `new` only when it was answered."""
    conversation = draft.conversation
    after = AFTER_LAST_CONTACT.get(conversation.status)
    if after is None or conversation.live_contacts:
        return
    if conversation.status is Status.NEW and not conversation.answered:
        return
    rest(draft, after, reason)


def rest(draft: Draft, status: Status, reason: str) -> None:
    """Leave the Agent's desk: waiting or closed, the Agent remembered, the room given back."""
    routing.release(draft, reason)
    draft.status(status, reason)


def due_at(contact: Contact, inbox: Inbox) -> datetime | None:
    """Return when the Contact ends by itself; None while the Customer waits for an answer."""
    if not contact.live:
        return None
    if contact.channel is Channel.VOICE:
        return contact.started_at + timedelta(seconds=inbox.call_max_seconds)
    if not contact.last_ours:
        return None
    idle = contact.last_at + timedelta(seconds=inbox.contact_idle_seconds)
    longest = max(contact.started_at + timedelta(seconds=inbox.contact_max_seconds), contact.last_at)
    return min(idle, longest)
