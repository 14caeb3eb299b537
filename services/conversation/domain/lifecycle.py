"""What Agents and leads do with a Conversation. Callers have checked `table.ALLOWED`."""

from collections.abc import Mapping

from schemas.common import Channel
from schemas.conversations import ConversationTransferred, PriorityChanged, Status, TopicsChanged
from services.chassis.inboxes import Inbox
from services.conversation.domain import contacts, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.inbound import open_new
from services.conversation.domain.inbound import reopen as reopen_closed
from services.conversation.domain.model import Route


def close(draft: Draft, *, confirmed: bool | None) -> None:
    """Close; nothing changes when it is closed already."""
    if draft.conversation.status is Status.CLOSED:
        return
    contacts.end_all(draft, "closed")
    draft.change(closed_at=draft.now, confirmed=confirmed)
    contacts.rest(draft, Status.CLOSED, "closed")


def reopen(draft: Draft, *, agent: str) -> None:
    """Let a closed Conversation go on, preferring the Agent who asks."""
    channel = routing.last_contact(draft.conversation).channel
    reopen_closed(draft, "reopened", channel)
    routing.request(draft, preferred=agent)


def no_reply_needed(draft: Draft) -> None:
    """Wait for the Customer, though they had the last word."""
    contacts.end_all(draft, "no_reply_needed")
    contacts.rest(draft, Status.WAITING, "no_reply_needed")


def start_by_agent(draft: Draft, inbox: Inbox, channel: Channel, route: Route, agent: str) -> None:
    """Begin a Conversation because an Agent writes first; it is routed, preferring them."""
    draft.home = route.home or draft.home
    open_new(draft, inbox, channel, route.account, route.address.value)
    routing.request(draft, preferred=agent)


def unassign(draft: Draft) -> None:
    """Give it back to the queue, ahead of its equals; the Agent is not asked at once again.

    One that waits is with nobody: it stays, its Agent remembered.
    """
    if draft.conversation.status is not Status.OPEN:
        return
    agent = draft.conversation.agent
    since = draft.conversation.routing.requested_at
    routing.release(draft, "unassigned")
    routing.lose_agent(draft, "unassigned")
    routing.request(draft, avoid=agent, ahead=True, since=since)


def transfer_to_inbox(draft: Draft, inbox: Inbox, *, by: str | None) -> None:
    """Move to another Inbox and route there."""
    before = draft.conversation
    if before.agent is not None and before.status is Status.OPEN:
        routing.lose_agent(draft, "transfer")
    draft.change(agent=None)
    draft.status(Status.NEW, "transfer")
    routing.move_to(draft, inbox)
    draft.event(
        ConversationTransferred,
        {"before": before.inbox, "by": by},
        row="assignment",
        inbox=inbox.name,
        before=before.inbox,
    )


def set_topics(draft: Draft, topics: tuple[str, ...]) -> None:
    """Replace the topics."""
    if topics != draft.conversation.topics:
        draft.change(topics=topics)
        draft.event(TopicsChanged, {"topics": topics}, row="topic", topics=list(topics))


def set_priority(draft: Draft, priority: int) -> None:
    """Set the priority; a queued request is made anew, at its old age."""
    conversation = draft.conversation
    if priority == conversation.priority:
        return
    draft.change(priority=priority)
    draft.event(PriorityChanged, {"priority": priority})
    routing.ask_again(draft)


def require_skills(draft: Draft, skills: Mapping[str, int]) -> None:
    """Ask for an Agent with these skills too; a queued request is made anew, at its old age."""
    wanted = {**draft.conversation.skills, **skills}
    if wanted != draft.conversation.skills:
        draft.change(skills=wanted)
        routing.ask_again(draft)


def end_contact(draft: Draft, contact_id: str) -> None:
    """End one Contact by hand."""
    contact = next(item for item in draft.conversation.contacts if item.id == contact_id)
    if contact.live:
        contacts.end(draft, contact, "ended")
        contacts.let_rest(draft, "ended")
