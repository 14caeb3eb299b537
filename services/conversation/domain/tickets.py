"""Tickets: made from a Conversation, by an Agent or a rule, and worked on by themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.common import Channel
from schemas.conversations import TicketChanged, TicketCreated
from schemas.tickets import TicketReason, TicketState, TicketStatus, Untold
from services.chassis.inboxes import Inbox, inbox_of
from services.conversation.domain.consent import Line, refusing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation, Route
from services.conversation.domain.replies import Words, write
from services.conversation.domain.ticket import MOST_TICKETS, Ticket, TicketWish
from services.conversation.domain.window import Window, window


@dataclass(frozen=True, slots=True)
class Numbered:
    """What a ticket needs from outside: its number, and the Conversation where it is not the current one."""

    number: str
    about: Conversation | None = None


def want(draft: Draft, reason: TicketReason, by: str) -> None:
    """Wish for a ticket of the current Conversation, as a rule does; `by` names the rule: `rule:<name>`.

    It is numbered and made by the timers soon after, also when the Conversation closes meanwhile. A
    Conversation has one ticket at most: where it has one, or one is wished for, nothing changes.
    """
    current = draft.conversation
    if current.ticket is not None or _wish(draft, current.id) is not None:
        return
    wish = TicketWish(current.id, current.home, reason, by, draft.now)
    draft.thread = replace(draft.thread, ticket_wishes=(*draft.thread.ticket_wishes, wish))
    draft.inward = True


def wish_instead(draft: Draft, ended: str, goes_on: str) -> None:
    """Let what was wished for a Conversation that ended in another be wished for that one."""
    wishes = draft.thread.ticket_wishes
    moved = (replace(wish, conversation_id=goes_on) for wish in wishes if wish.conversation_id == ended)
    kept = (wish for wish in wishes if wish.conversation_id != ended)
    draft.thread = replace(draft.thread, ticket_wishes=(*kept, *moved))


def due_at(wish: TicketWish) -> datetime:
    """Return when the timers see to it: at once."""
    return wish.at


def fulfil(draft: Draft, wish: TicketWish, numbered: Numbered, inboxes: Mapping[str, Inbox]) -> None:
    """Make the ticket that a rule wished for."""
    create(draft, numbered, wish.conversation_id, wish.reason, wish.by, inboxes)
    _forget(draft, wish.conversation_id)


def full(draft: Draft) -> bool:
    """Return whether the Customer has as many unresolved tickets as there may be."""
    return len(draft.thread.tickets) >= MOST_TICKETS


def create(
    draft: Draft,
    numbered: Numbered,
    conversation_id: str,
    reason: TicketReason,
    by: str,
    inboxes: Mapping[str, Inbox],
) -> None:
    """Make the ticket of a Conversation, and tell the Customer its number; nothing where it has one.

    `full` must have been asked before.
    """
    about = subject(draft, conversation_id, numbered.about)
    if about is None or about.ticket is not None or full(draft):
        return
    _mark(draft, about, numbered.number)
    words = inbox_of(inboxes, about.inbox).ticket_notice.replace("{number}", numbered.number)
    route, not_told = _way(draft, words)
    ticket = Ticket(
        number=numbered.number,
        home=about.home,
        conversation_id=about.id,
        reason=reason,
        created_at=draft.now,
        updated_at=draft.now,
        created_by=by,
        cause=draft.cause,
        notice=None if not_told else ids.derive("ticket-notice", numbered.number),
        not_told=not_told,
    )
    draft.thread = replace(draft.thread, tickets=(*draft.thread.tickets, ticket))
    _tell(draft, TicketCreated, ticket, about, by=by)
    if route is not None and ticket.notice is not None:
        with draft.at(ticket.home):
            write(draft, ticket.notice, *route, Words(words))
    _forget(draft, about.id)


def change(draft: Draft, ticket: Ticket, about: Conversation, by: str, **fields: Any) -> None:  # noqa: ANN401  (TicketState's own)
    """Change status, assignee, due time or links; nothing when they are the same.

    `ticket` is the thread's, or one that was resolved, as it is shown.
    """
    moved = replace(ticket, **fields)
    if moved == ticket:
        return
    resolved = moved.status is TicketStatus.RESOLVED
    moved = replace(
        moved, updated_at=draft.now, resolved_at=(ticket.resolved_at or draft.now) if resolved else None
    )
    others = tuple(each for each in draft.thread.tickets if each.number != ticket.number)
    draft.thread = replace(draft.thread, tickets=others if resolved else (*others, moved))
    _tell(draft, TicketChanged, moved, about, by=by, before=ticket.state)


def held(draft: Draft, number: str) -> Ticket | None:
    """Return the ticket as the thread has it; None where it is resolved, or another Customer's."""
    return next((each for each in draft.thread.tickets if each.number == number), None)


def subject(draft: Draft, conversation_id: str, known: Conversation | None) -> Conversation | None:
    """Return a Conversation as it is now; `known` is the newest of one that is not the current."""
    current = draft.thread.current
    return current if current is not None and current.id == conversation_id else known


def _wish(draft: Draft, conversation_id: str) -> TicketWish | None:
    wishes = draft.thread.ticket_wishes
    return next((wish for wish in wishes if wish.conversation_id == conversation_id), None)


def _forget(draft: Draft, conversation_id: str) -> None:
    wishes = draft.thread.ticket_wishes
    left = tuple(wish for wish in wishes if wish.conversation_id != conversation_id)
    draft.thread = replace(draft.thread, ticket_wishes=left)
    draft.inward = True


def _mark(draft: Draft, about: Conversation, number: str) -> None:
    if draft.thread.current is not None and draft.thread.current.id == about.id:
        draft.change(ticket=number)
    else:
        draft.displaced.append(replace(about, ticket=number, updated_at=max(about.updated_at, draft.now)))


def _way(draft: Draft, words: str) -> tuple[tuple[Channel, Route] | None, Untold | None]:
    """Return how the Customer is told their number: where they last wrote, or why not at all."""
    thread = draft.thread
    if not words:
        return None, "switched_off"
    if not thread.routes:
        return None, "no_address"
    channel, route = max(thread.routes.items(), key=lambda each: (each[1].at, each[0]))
    line = Line(route.provider, route.account, channel, route.address)
    if refusing(thread, line, marketing=False) is not None:
        return None, "opted_out"
    if window(thread, line, draft.now) is not Window.OPEN:
        return None, "outside_window"
    return (channel, route), None


def _tell(
    draft: Draft,
    model: type[TicketCreated | TicketChanged],
    ticket: Ticket,
    about: Conversation,
    *,
    by: str,
    before: TicketState | None = None,
) -> None:
    draft.kept[ticket.number] = ticket
    state = ticket.state
    changed = changed_fields(before, state)
    what: dict[str, UUID | str | None] = {
        "number": ticket.number,
        "reason": ticket.reason,
        "notice": ticket.notice,
        "not_told": ticket.not_told,
    }
    data = {
        **what,
        **state.model_dump(),
        "conversation_id": about.id,
        "inbox": about.inbox,
        "by": by,
        "changed": changed,
        "before": before,
    }
    shown = state.model_dump(mode="json")
    row = {
        **what,
        **shown,
        "notice": str(ticket.notice) if ticket.notice else None,
        "agent": by,
        "change": "created" if before is None else "changed",
        "before": before.model_dump(mode="json", include=set(changed)) if before else None,
        "after": {name: shown[name] for name in changed} if before else None,
    }
    with draft.at(ticket.home):
        event = draft.emit(model, data)
        draft.row(str(event.id), "ticket", event.seq, row, about=about)


def changed_fields(before: TicketState | None, after: TicketState) -> tuple[str, ...]:
    """Return the names of the fields that differ; none without a `before`."""
    if before is None:
        return ()
    return tuple(name for name in TicketState.model_fields if getattr(before, name) != getattr(after, name))
