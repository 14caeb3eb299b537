"""What happened to a Conversation, as rules see it: read from what a change caused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from schemas.common import Channel
from schemas.conversations import (
    CallStarted,
    CallUpdated,
    ConversationAssigned,
    ConversationOpened,
    ConversationStatusChanged,
    ConversationTransferred,
    MessageAdded,
    Status,
    TopicsChanged,
)
from services.conversation.domain.call import Call
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.ruled import Ruled
from services.conversation.domain.ruling.definition import Event, Rules
from services.conversation.domain.ruling.text import Said

_NOTHING_SAID = Said()
_PLAIN: dict[type, Event] = {
    ConversationAssigned: Event.ASSIGNED,
    ConversationTransferred: Event.TRANSFERRED,
    TopicsChanged: Event.TOPICS,
}
_STATUS_EVENTS = {Status.WAITING: Event.WAITING, Status.CLOSED: Event.CLOSED}


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, and what the Customer said with it."""

    event: Event
    channel: Channel | None = None
    """None: where the Customer last wrote or called."""
    account: str | None = None
    said: Said = _NOTHING_SAID
    first: bool = False
    """It came with the first message of the Conversation."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event before its place among the others is known; a status that changed need not be an event."""

    event: Event | None
    at: datetime
    status: bool = False
    """The status changed."""
    channel: Channel | None = None
    account: str | None = None
    text: str = ""


def noted(draft: Draft, before: Thread, rules: Rules) -> list[Happening]:
    """Return what happened to the current Conversation, and remember what rules will ask for."""
    conversation = draft.conversation
    told = list(_told(draft, before))
    if not told:
        return []
    ruled, happenings = taken(remembered(conversation), told, rules)
    if ruled != conversation.ruled:
        draft.change(ruled=ruled)
    return happenings


def remembered(conversation: Conversation) -> Ruled:
    """Return what is remembered; of a Conversation from before there were rules, what can be said of it."""
    if conversation.ruled.opened_at is not None:
        return conversation.ruled
    return replace(
        conversation.ruled, opened_at=conversation.opened_at, status_at=conversation.updated_at, messages=1
    )


def taken(ruled: Ruled, told: Iterable[Told], rules: Rules) -> tuple[Ruled, list[Happening]]:
    """Return what is remembered after these events, and what rules see of them.

    What the Customer said counts for all events of one change: a rule for `opened` sees the message that
    opened it.
    """
    told = tuple(told)
    for each in told:
        ruled = _after(ruled, each, rules)
    heard = next((each for each in told if each.event is Event.MESSAGE), None)
    heard = heard or next((each for each in told if each.event is Event.CALL), None)
    events = [each.event for each in told if each.event is not None]
    if heard is None:
        return ruled, [Happening(event) for event in events]
    first = heard.event is Event.MESSAGE and ruled.messages == 1
    said = Said.of(heard.text)
    return ruled, [Happening(event, heard.channel, heard.account, said, first) for event in events]


def _after(ruled: Ruled, told: Told, rules: Rules) -> Ruled:
    if told.status:
        again = {rule.name for rule in rules.of(Event.AGE) if rule.every}
        kept = tuple(name for name in ruled.fired if name not in again)
        ruled = replace(ruled, status_at=told.at, fired=kept)
    match told.event:
        case Event.OPENED:
            return Ruled(opened_at=told.at, status_at=told.at)
        case Event.REOPENED:
            return replace(ruled, opened_at=told.at, fired=())
        case Event.MESSAGE:
            return replace(ruled, messages=ruled.messages + 1)
        case Event.TRANSFERRED:
            return replace(ruled, transfers=ruled.transfers + 1)
        case _:
            return ruled


def _told(draft: Draft, before: Thread) -> Iterator[Told]:
    current = draft.conversation.id
    for event in draft.caused:
        about = getattr(getattr(event, "data", None), "conversation_id", None)
        told = _read(event, draft, before) if about == current else None
        if told is not None:
            yield told


def _read(event: object, draft: Draft, before: Thread) -> Told | None:
    now = draft.now
    told: Told | None = None
    match event:
        case ConversationOpened(data=data):
            told = Told(Event.REOPENED if data.reopened else Event.OPENED, now)
        case ConversationStatusChanged(data=data):
            told = Told(_STATUS_EVENTS.get(data.status), now, status=True)
        case MessageAdded(data=data, personal=personal) if data.direction == "inbound" and not data.noise:
            text = f"{personal.subject}\n{personal.text}" if personal.subject else personal.text
            told = Told(Event.MESSAGE, now, channel=data.channel, account=data.account, text=text)
        case CallStarted(data=data) | CallUpdated(data=data) if data.direction == "inbound":
            after, known = _call(draft.thread, data.call_id), _call(before, data.call_id)
            if after is not None and (known is None or _words(after) != _words(known)):
                told = Told(Event.CALL, now, channel=data.channel, account=data.account, text=_words(after))
        case _ if type(event) in _PLAIN:
            told = Told(_PLAIN[type(event)], now)
    return told


def _call(thread: Thread, call_id: object) -> Call | None:
    return next((call for call in thread.calls if call.id == str(call_id)), None)


def _words(call: Call) -> str:
    """Return what the caller chose or said so far, and the transcript."""
    spoken = (word for each in call.chosen for word in (each.spoken.digits, each.spoken.speech) if word)
    return "\n".join((*spoken, call.transcript)).strip()
