"""Time passes: Contacts end, Tasks become due, unanswered requests are sent again, tickets are made."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from schemas.conversations import Status
from services.chassis.inboxes import Inbox, inbox_of
from services.conversation.domain import calling, contacts, routing, tasks, tickets
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.task import Task
from services.conversation.domain.task_draft import TaskDraft

RESEND_FIRST = timedelta(seconds=30)
RESEND_MOST = timedelta(minutes=10)


def next_due(thread: Thread, inboxes: Mapping[str, Inbox]) -> datetime | None:
    """Return when the thread next changes by itself, None for never."""
    moments = [
        *_of_conversation(thread, inboxes),
        *map(tickets.due_at, thread.ticket_wishes),
        *(moment for task in thread.tasks for moment in (tasks.next_due(task), _resend_at(task))),
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def _of_conversation(thread: Thread, inboxes: Mapping[str, Inbox]) -> list[datetime | None]:
    current = thread.current
    if current is None or current.status is Status.CLOSED:
        return []
    inbox = inbox_of(inboxes, current.inbox)
    return [*(contacts.due_at(contact, inbox) for contact in current.live_contacts), _resend_at(current)]


def tick(
    draft: Draft,
    inboxes: Mapping[str, Inbox],
    numbered: Mapping[str, tickets.Numbered] = MappingProxyType({}),
) -> None:
    """Do what is due at `draft.now`. `numbered` has what the wished-for tickets need, by Conversation."""
    for wish in draft.thread.ticket_wishes:
        if wish.conversation_id in numbered:
            tickets.fulfil(draft, wish, numbered[wish.conversation_id], inboxes)
    for task in draft.thread.tasks:
        _tick_task(TaskDraft(draft, task.id), task)
    if draft.thread.current is not None:
        _tick_conversation(draft, inboxes)


def _tick_task(here: TaskDraft, task: Task) -> None:
    resend = _resend_at(task)
    if resend is not None and resend <= here.now:
        with here.whole.at(task.home):
            routing.remind(here)
    tasks.tick(here)


def _tick_conversation(draft: Draft, inboxes: Mapping[str, Inbox]) -> None:
    inbox = inbox_of(inboxes, draft.conversation.inbox)
    for contact in draft.conversation.live_contacts:
        due = contacts.due_at(contact, inbox)
        if due is not None and due <= draft.now and not calling.lapse(draft, contact, inboxes):
            contacts.end(draft, contact, "idle")
            contacts.let_rest(draft, "idle")
    resend = _resend_at(draft.conversation)
    if resend is not None and resend <= draft.now:
        routing.remind(draft)


def _resend_at(item: Conversation | Task) -> datetime | None:
    routing = item.routing
    if not item.waits or routing.asked_at is None:
        return None
    return routing.asked_at + min(RESEND_FIRST * (1 << min(routing.tries, 10)), RESEND_MOST)
