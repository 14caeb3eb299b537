"""What becomes of the thread of a Customer who is erased: closed, given back, and empty for good."""

from dataclasses import replace

from schemas.conversations import Status
from schemas.tasks import TaskStatus
from services.conversation.domain import contacts, tasks
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation, Thread

ERASED = "erased"
"""The reason of the close."""


def erase(draft: Draft) -> None:
    """Close the Conversation, cancel the Tasks, let the router forget both, and empty the thread."""
    for task in draft.thread.tasks:
        tasks.change(draft, task, ERASED, tasks.Asked(status=TaskStatus.CANCELLED))
    thread = draft.thread
    if thread.current is not None:
        if thread.current.status is not Status.CLOSED:
            contacts.end_all(draft, ERASED)
            draft.change(closed_at=draft.now)
            contacts.rest(draft, Status.CLOSED, ERASED)
        draft.displaced.append(without_addresses(draft.conversation))
    draft.thread = Thread(
        thread.customer_id,
        version=thread.version,
        seq=draft.thread.seq,
        commands=thread.commands,
        link_n=thread.link_n,
        erased=True,
    )


def without_addresses(conversation: Conversation) -> Conversation:
    """Return the Conversation as reports need it."""
    nameless = tuple(replace(contact, address="") for contact in conversation.contacts)
    return replace(conversation, contacts=nameless)
