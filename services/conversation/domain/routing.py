"""What a Conversation, or a Task, asks of the router.

A Conversation becomes open, and a Task gets its assignee, only by a grant. Each wish carries a new
epoch; a decision about another epoch is stale, and a stale grant is given back.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import routing as contract
from schemas.common import Channel, ChannelClass, channel_class
from schemas.conversations import ConversationUnassigned, Status
from schemas.envelope import Envelope
from services.chassis.inboxes import Inbox
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Contact, Conversation
from services.conversation.domain.routed import Assignment
from services.conversation.domain.task import Task
from services.conversation.domain.task_draft import AnyDraft

KEPT_ASSIGNMENTS = 8


def last_contact(conversation: Conversation) -> Contact:
    """Return the Contact whose channel speaks for the Conversation: the latest, live ones first."""
    return max(conversation.contacts, key=lambda contact: (contact.live, contact.last_at, contact.id))


def same_agent(conversation: Conversation, inbox: Inbox, now: datetime) -> str | None:
    """Return the last Agent while the same-agent limit lasts."""
    at = conversation.last_agent_at
    if at is None or (now - at).total_seconds() > inbox.same_agent_seconds:
        return None
    return conversation.last_agent


def request(
    draft: AnyDraft,
    *,
    preferred: str | None = None,
    avoid: str | None = None,
    ahead: bool = False,
    since: datetime | None = None,
) -> None:
    """Ask the pool for an Agent, under a new epoch."""
    item = draft.routed
    epoch = item.routing.epoch + 1
    draft.routing(
        epoch=epoch,
        current=epoch,
        classes=classes_of(item),
        asked_at=draft.now,
        requested_at=since or draft.now,
        tries=0,
        preferred=preferred,
        avoid=avoid,
        ahead=ahead,
        priority=item.priority,
    )
    if item.routing.leaving is None:
        send_request(draft)


def ask_again(draft: Draft) -> None:
    """Make a queued request anew, at its old age: what it asks for has changed."""
    asked = draft.conversation.routing
    if draft.conversation.status is Status.NEW and asked.current:
        request(
            draft, preferred=asked.preferred, avoid=asked.avoid, ahead=asked.ahead, since=asked.requested_at
        )


def send_request(draft: AnyDraft) -> None:
    """Send what is asked at present (again)."""
    item = draft.routed
    routing = item.routing
    first, *also = routing.classes
    command(
        draft.whole,
        contract.RoutingRequest,
        contract.RequestData(
            **_subject(draft, routing.current),
            inbox=item.inbox,
            channel=_channel_of(item),
            channel_class=first,
            also=tuple(also),
            priority=item.priority,
            skills=dict(item.skills),
            due_at=item.due_at if isinstance(item, Task) else None,
            preferred_agent=routing.preferred,
            avoid_agent=routing.avoid,
            requested_at=routing.requested_at or draft.now,
            ahead=routing.ahead,
        ),
    )


def widen(draft: Draft, wanted: ChannelClass) -> None:
    """Ask for room of another class too."""
    data = contract.WidenData(**_subject(draft, draft.routed.routing.current), channel_class=wanted)
    command(draft, contract.RoutingWiden, data)


def widen_for(draft: Draft, classes: Sequence[ChannelClass]) -> None:
    """Ask for the classes that the router does not count yet."""
    routing = draft.conversation.routing
    if not routing.current:
        return
    for wanted in classes:
        if wanted not in routing.classes:
            draft.routing(classes=(*draft.conversation.routing.classes, wanted))
            if routing.leaving is None:
                widen(draft, wanted)


def release(draft: AnyDraft, reason: str) -> bool:
    """Give back whatever the router holds or is asked for. Returns whether there was anything."""
    item = draft.routed
    routing = item.routing
    if not routing.current and not any(wish.granted is None for wish in routing.assignments):
        return False
    send_release(draft.whole, routing.pool, item.id, routing.epoch, reason, kind=kind_of(item))
    for wish in routing.assignments:
        if wish.granted is None:
            settle(draft, wish, granted=False, detail=f"overtaken: {reason}")
    draft.routing(current=0, classes=(), asked_at=None, tries=0)
    return True


def remind(draft: AnyDraft) -> None:
    """Send again what waits for the router's word."""
    item = draft.routed
    routing = item.routing
    draft.routing(asked_at=draft.now, tries=routing.tries + 1)
    if routing.leaving is None:
        send_request(draft)
    else:
        left, epoch = routing.leaving, routing.leaving_epoch
        send_release(draft.whole, left, item.id, epoch, "transfer", kind=kind_of(item))


def move_to(draft: AnyDraft, inbox: Inbox) -> None:
    """Ask for an Agent in another Inbox; another pool only after this one confirmed its release."""
    before = draft.routed.routing
    held = release(draft, "transfer")
    draft.change(inbox=inbox.name)
    if inbox.pool != before.pool:
        if held and before.leaving is None:
            draft.routing(leaving=before.pool, leaving_epoch=before.epoch)
        draft.routing(pool=inbox.pool, n=0)
    request(draft, since=before.requested_at if before.current else None)


def assign(
    draft: AnyDraft,
    agent: str,
    reason: str,
    *,
    force: bool,
    inbox: str | None = None,
    by: str | None = None,
) -> None:
    """Ask the router to give it to `agent`; what it has now stays until granted."""
    item = draft.routed
    epoch = item.routing.epoch + 1
    first, *also = classes_of(item)
    envelope = command(
        draft.whole,
        contract.RoutingAssign,
        contract.AssignData(
            **_subject(draft, epoch),
            inbox=inbox or item.inbox,
            channel=_channel_of(item),
            channel_class=first,
            also=tuple(also),
            agent=agent,
            reason="take" if reason == "take" else "transfer",
            force=force,
        ),
        record_id=draft.whole.cause,
    )
    wish = Assignment(command_id=envelope.id, epoch=epoch, agent=agent, classes=(first, *also), by=by)
    kept = (*item.routing.assignments, wish)[-KEPT_ASSIGNMENTS:]
    draft.routing(epoch=epoch, assignments=kept)


def lose_agent(draft: Draft, reason: str) -> None:
    """Take the Agent off; the Conversation is new again."""
    before = draft.conversation.agent
    draft.change(agent=None)
    draft.status(Status.NEW, reason)
    if before is not None:
        draft.event(
            ConversationUnassigned,
            {"before": before, "reason": reason},
            row="assignment",
            agent=None,
            before=before,
            reason=reason,
        )


def command(
    draft: Draft, model: type[Envelope], data: contract.Subject, *, record_id: UUID | None = None
) -> Envelope:
    """Add a command to the router."""
    fields: dict[str, Any] = {"data": data}
    envelope = model(
        id=record_id or draft.id("routing"),
        occurred_at=draft.now,
        correlation=draft.correlation,
        causation=draft.cause,
        customer_id=draft.thread.customer_id,
        home=draft.home,
        **fields,
    )
    draft.caused.append(envelope)
    return envelope


def send_release(
    draft: Draft,
    pool: str,
    routed_id: str,
    epoch: int,
    reason: str,
    *,
    kind: contract.Kind = None,
) -> None:
    """Send a release of everything up to `epoch`."""
    data = contract.ReleaseData(
        pool=pool,
        conversation_id=routed_id,
        customer_id=draft.thread.customer_id,
        epoch=epoch,
        kind=kind,
        reason=reason,
    )
    command(draft, contract.RoutingRelease, data)


def settle(draft: AnyDraft, wish: Assignment, *, granted: bool, detail: str) -> None:
    """Note what came of a take or transfer."""
    settled = replace(wish, granted=granted, detail=detail)
    items = draft.routed.routing.assignments
    draft.routing(assignments=tuple(settled if item.epoch == wish.epoch else item for item in items))


def _subject(draft: AnyDraft, epoch: int) -> dict[str, Any]:
    item = draft.routed
    return {
        "pool": item.routing.pool,
        "conversation_id": item.id,
        "customer_id": draft.whole.thread.customer_id,
        "epoch": epoch,
        "kind": kind_of(item),
    }


def kind_of(item: Conversation | Task) -> contract.Kind:
    """Return what the router is told it is."""
    return "task" if isinstance(item, Task) else None


def _channel_of(item: Conversation | Task) -> Channel | None:
    return None if isinstance(item, Task) else last_contact(item).channel


def classes_of(item: Conversation | Task) -> tuple[ChannelClass, ...]:
    """Return the classes of room to ask for."""
    if isinstance(item, Task):
        return item.classes
    return item.classes or (channel_class(last_contact(item).channel),)


def outcome(item: Conversation | Task, command_id: UUID) -> Assignment | None:
    """Return the assignment asked for by this command, if it is still remembered."""
    return next((wish for wish in item.routing.assignments if wish.command_id == command_id), None)
