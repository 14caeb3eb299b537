"""A call joins the thread: one Contact, one item of the timeline, told word by word."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from schemas.calls import CallEnd, CallStatus, CallStep
from schemas.common import Channel
from schemas.conversations import (
    CallEnded,
    CallPersonal,
    CallStarted,
    CallUpdated,
    ConversationEvent,
    Status,
)
from schemas.inbound import MessageIdentified
from services.chassis.inboxes import Inbox
from services.conversation.domain import contacts, lifecycle, routing
from services.conversation.domain.call import Call, begun, told
from services.conversation.domain.draft import Draft, RowPatch
from services.conversation.domain.inbound import admit
from services.conversation.domain.model import Contact, Thread
from services.conversation.domain.noise import Weight
from services.conversation.domain.topics import added

KEPT_CALLS = 20


def known(thread: Thread, call_id: str) -> Call | None:
    """Return the call as told so far."""
    return next((call for call in thread.calls if call.id == call_id), None)


def hear(draft: Draft, message: MessageIdentified, step: CallStep, inboxes: Mapping[str, Inbox]) -> bool:
    """Apply one word on a call. Returns False when it says nothing new.

    The first word, whichever it is, opens, wakes or joins as a message of the Customer does.
    """
    before = known(draft.thread, str(step.call_id))
    after = told(before or begun(message, step), message, step)
    if after == before:
        return False
    _tell(draft, before, after if before else _attached(draft, after, message, inboxes), inboxes)
    return True


def lapse(draft: Draft, contact: Contact, inboxes: Mapping[str, Inbox]) -> bool:
    """Take a call for over of which nobody heard the end. Returns False when the Contact is no call."""
    call = next((each for each in draft.thread.calls if each.contact_id == contact.id), None)
    if call is None or call.over is not None:
        return False
    draft.home = call.home or draft.home
    end = CallEnd(status=CallStatus.COMPLETED, at=draft.now, implied=True)
    _tell(draft, call, replace(call, implied=end), inboxes)
    return True


def _attached(draft: Draft, call: Call, message: MessageIdentified, inboxes: Mapping[str, Inbox]) -> Call:
    if call.outbound:
        current = draft.thread.current
        return replace(call, conversation_id=current.id if current else None)
    admit(draft, message, Weight.MESSAGE, inboxes)
    newest = draft.conversation.contacts[-1]
    return replace(call, conversation_id=draft.conversation.id, contact_id=newest.id)


def _tell(draft: Draft, before: Call | None, call: Call, inboxes: Mapping[str, Inbox]) -> None:
    here = draft.thread.current is not None and draft.thread.current.id == call.conversation_id
    ends = call.over is not None and (before is None or before.over is None)
    if here and ends and _taken(draft, call):
        call = replace(call, taken=True)
    call = replace(call, shown=before.shown + 1 if before else 0)
    _keep(draft, call)
    if here and not call.outbound:
        _label(draft, before, call, inboxes)
        _settle(draft, call)
    if here:
        _announce(draft, before, call, ends=ends)
    _show(draft, before, call)


def _keep(draft: Draft, call: Call) -> None:
    """Remember the call; of too many forget the oldest, those that are over first."""
    calls = [each for each in draft.thread.calls if each.id != call.id]
    calls = sorted((*calls, call), key=lambda each: (each.received_at, each.id))
    if len(calls) > KEPT_CALLS:
        others = [each for each in calls if each.id != call.id]
        calls.remove(next((each for each in others if each.over), others[0]))
    draft.thread = replace(draft.thread, calls=tuple(calls))


def _contact(draft: Draft, call: Call) -> Contact | None:
    return next((each for each in draft.conversation.contacts if each.id == call.contact_id), None)


def _taken(draft: Draft, call: Call) -> bool:
    """Tell whether an Agent got, or worked on, the Conversation while the caller was on the line."""
    conversation, contact = draft.conversation, _contact(draft, call)
    at = conversation.last_agent_at
    on_the_line = contact is not None and contact.live and at is not None and at >= call.heard_at
    return on_the_line and conversation.status is Status.OPEN


def _label(draft: Draft, before: Call | None, call: Call, inboxes: Mapping[str, Inbox]) -> None:
    """Let the caller's choices decide Topic, Inbox and skills; the last two only while nobody has it."""
    last = before.topic if before else None
    if call.topic is not None and call.topic != last:
        kept = (topic for topic in draft.conversation.topics if topic not in (last, call.topic))
        lifecycle.set_topics(draft, added(kept, (call.topic,)))
    asked = draft.conversation.routing
    waits = draft.conversation.status is Status.NEW and bool(asked.current)
    wanted = {**draft.conversation.skills, **call.skills}
    changed = wanted != draft.conversation.skills and call.skills != (before.skills if before else {})
    if changed:
        draft.change(skills=wanted)
    inbox = call.inbox if call.inbox != (before.inbox if before else None) else None
    if waits and inbox is not None and inbox != draft.conversation.inbox:
        lifecycle.transfer_to_inbox(draft, inboxes[inbox], by=None)
    elif waits and changed:
        routing.ask_again(draft)


def _settle(draft: Draft, call: Call) -> None:
    """Give the Contact the call's times, and end it with the call.

    Who was spoken with waits for nothing; who was missed waits to be called back.
    """
    contact = _contact(draft, call)
    if contact is None:
        return
    ended = call.ended_at
    moved = replace(contact, started_at=call.started_at, last_at=max(contact.last_at, draft.now))
    if ended is None:
        draft.contact(moved)
        return
    if contact.live:
        contacts.end(draft, moved, "hung_up", at=ended)
    else:
        draft.contact(replace(moved, ended_at=ended))
    if call.status is CallStatus.COMPLETED and not contact.answered:
        settled = _contact(draft, call) or moved
        draft.contact(replace(settled, answered=True, last_ours=True))
        draft.change(answered=True)
        contacts.let_rest(draft, "hung_up")


def _announce(draft: Draft, before: Call | None, call: Call, *, ends: bool) -> None:
    if before is None:
        _event(draft, CallStarted, call)
    if ends:
        _event(draft, CallEnded, call)
    elif before is not None:
        _event(draft, CallUpdated, call)


def _event(draft: Draft, model: type[ConversationEvent], call: Call) -> None:
    data = {
        "call_id": call.id,
        "contact_id": call.contact_id,
        "direction": _direction(call),
        "channel": Channel.VOICE,
        "account": call.account,
        "call_status": call.status,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "duration_seconds": call.seconds,
        "choices": tuple(each.choice for each in call.chosen),
    }
    personal = CallPersonal(
        address=call.address,
        name=call.name,
        text=call.transcript,
        attachments=call.recordings,
        said=tuple(each.spoken for each in call.chosen),
    )
    draft.event(model, data, personal=personal)


def _show(draft: Draft, before: Call | None, call: Call) -> None:
    """Show the call as it is now, in the one item it has."""
    fields = item(call)
    if before is None:
        draft.row(call.id, "call", draft.thread.seq, {**fields, "status_seq": 0}, at=call.started_at)
        return
    moved = {**fields, "at": call.started_at}
    draft.caused.append(RowPatch(id=call.id, status=call.status, status_seq=call.shown, fields=moved))


def item(call: Call) -> dict[str, Any]:
    """Return what the timeline shows of a call."""
    return {
        "contact_id": call.contact_id,
        "channel": Channel.VOICE,
        "account": call.account,
        "direction": _direction(call),
        "text": call.transcript,
        "attachments": [file.shown() for file in call.recordings],
        "address": call.address.value,
        "received_at": call.received_at,
        "status": call.status,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "duration_seconds": call.seconds,
        "choices": [
            {
                **each.choice.model_dump(exclude_none=True),
                **each.spoken.model_dump(exclude_none=True),
            }
            for each in call.chosen
        ],
    }


def _direction(call: Call) -> str:
    return "outbound" if call.outbound else "inbound"
