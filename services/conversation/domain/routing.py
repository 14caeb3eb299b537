"""What a Conversation asks of the router.

A Conversation becomes open only by a grant. Each wish carries a new epoch; a decision about another
epoch is stale, and a stale grant is given back.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import routing as contract
from schemas.common import ChannelClass, channel_class
from schemas.conversations import ConversationUnassigned, Status
from schemas.envelope import Envelope
from services.chassis.inboxes import Inbox
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Contact, Conversation
from services.conversation.domain.routed import Assignment

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
    draft: Draft,
    *,
    preferred: str | None = None,
    avoid: str | None = None,
    ahead: bool = False,
    since: datetime | None = None,
) -> None:
    """Ask the pool for an Agent, under a new epoch."""
    epoch = draft.conversation.routing.epoch + 1
    draft.routing(
        epoch=epoch,
        current=epoch,
        classes=classes_of(draft.conversation),
        asked_at=draft.now,
        requested_at=since or draft.now,
        tries=0,
        preferred=preferred,
        avoid=avoid,
        ahead=ahead,
        priority=draft.conversation.priority,
    )
    if draft.conversation.routing.leaving is None:
        send_request(draft)


def ask_again(draft: Draft) -> None:
    """Make a queued request anew, at its old age: what it asks for has changed."""
    asked = draft.conversation.routing
    if draft.conversation.status is Status.NEW and asked.current:
        request(
            draft, preferred=asked.preferred, avoid=asked.avoid, ahead=asked.ahead, since=asked.requested_at
        )


def send_request(draft: Draft) -> None:
    """Send what is asked at present (again)."""
    conversation = draft.conversation
    routing = conversation.routing
    first, *also = routing.classes
    command(
        draft,
        contract.RoutingRequest,
        contract.RequestData(
            **_subject(conversation, routing.current),
            inbox=conversation.inbox,
            channel=last_contact(conversation).channel,
            channel_class=first,
            also=tuple(also),
            priority=conversation.priority,
            skills=dict(conversation.skills),
            preferred_agent=routing.preferred,
            avoid_agent=routing.avoid,
            requested_at=routing.requested_at or draft.now,
            ahead=routing.ahead,
        ),
    )


def widen(draft: Draft, wanted: ChannelClass) -> None:
    """Ask for room of another class too."""
    conversation = draft.conversation
    data = contract.WidenData(**_subject(conversation, conversation.routing.current), channel_class=wanted)
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


def release(draft: Draft, reason: str) -> bool:
    """Give back whatever the router holds or is asked for. Returns whether there was anything."""
    routing = draft.conversation.routing
    if not routing.current and not any(item.granted is None for item in routing.assignments):
        return False
    send_release(draft, routing.pool, draft.conversation.id, routing.epoch, reason)
    for wish in routing.assignments:
        if wish.granted is None:
            settle(draft, wish, granted=False, detail=f"overtaken: {reason}")
    draft.routing(current=0, classes=(), asked_at=None, tries=0)
    return True


def remind(draft: Draft) -> None:
    """Send again what waits for the router's word."""
    routing = draft.conversation.routing
    draft.routing(asked_at=draft.now, tries=routing.tries + 1)
    if routing.leaving is None:
        send_request(draft)
    else:
        send_release(draft, routing.leaving, draft.conversation.id, routing.leaving_epoch, "transfer")


def move_to(draft: Draft, inbox: Inbox) -> None:
    """Ask for an Agent in another Inbox; another pool only after this one confirmed its release."""
    before = draft.conversation.routing
    held = release(draft, "transfer")
    draft.change(inbox=inbox.name)
    if inbox.pool != before.pool:
        if held and before.leaving is None:
            draft.routing(leaving=before.pool, leaving_epoch=before.epoch)
        draft.routing(pool=inbox.pool, n=0)
    request(draft, since=before.requested_at if before.current else None)


def assign(draft: Draft, agent: str, reason: str, *, force: bool, inbox: str | None = None) -> None:
    """Ask the router to give the Conversation to `agent`; what it has now stays until granted."""
    conversation = draft.conversation
    epoch = conversation.routing.epoch + 1
    contact = last_contact(conversation)
    first, *also = classes_of(conversation)
    envelope = command(
        draft,
        contract.RoutingAssign,
        contract.AssignData(
            **_subject(conversation, epoch),
            inbox=inbox or conversation.inbox,
            channel=contact.channel,
            channel_class=first,
            also=tuple(also),
            agent=agent,
            reason="take" if reason == "take" else "transfer",
            force=force,
        ),
        record_id=draft.cause,
    )
    wish = Assignment(command_id=envelope.id, epoch=epoch, agent=agent, classes=(first, *also))
    kept = (*conversation.routing.assignments, wish)[-KEPT_ASSIGNMENTS:]
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


def send_release(draft: Draft, pool: str, conversation_id: str, epoch: int, reason: str) -> None:
    """Send a release of everything up to `epoch`."""
    data = contract.ReleaseData(
        pool=pool,
        conversation_id=conversation_id,
        customer_id=draft.thread.customer_id,
        epoch=epoch,
        reason=reason,
    )
    command(draft, contract.RoutingRelease, data)


def settle(draft: Draft, wish: Assignment, *, granted: bool, detail: str) -> None:
    """Note what came of a take or transfer."""
    settled = replace(wish, granted=granted, detail=detail)
    items = draft.conversation.routing.assignments
    draft.routing(assignments=tuple(settled if item.epoch == wish.epoch else item for item in items))


def _subject(conversation: Conversation, epoch: int) -> dict[str, Any]:
    routing = conversation.routing
    return {
        "pool": routing.pool,
        "conversation_id": conversation.id,
        "customer_id": conversation.customer_id,
        "epoch": epoch,
    }


def classes_of(conversation: Conversation) -> tuple[ChannelClass, ...]:
    """Return the classes of room to ask for."""
    return conversation.classes or (channel_class(last_contact(conversation).channel),)


def outcome(conversation: Conversation, command_id: UUID) -> Assignment | None:
    """Return the assignment asked for by this command, if it is still remembered."""
    return next((item for item in conversation.routing.assignments if item.command_id == command_id), None)
