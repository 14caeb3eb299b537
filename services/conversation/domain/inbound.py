"""A message of the Customer joins the thread."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from schemas import ids
from schemas.common import Attachment, Channel, DeliveryStatus, channel_class
from schemas.conversations import (
    ContactStarted,
    ConversationOpened,
    MessageAdded,
    MessagePersonal,
    Status,
)
from schemas.inbound import MessageIdentified
from services.chassis.inboxes import Inbox, inbox_of
from services.conversation.domain import consent, mails, routing, window
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Contact, Conversation, Route
from services.conversation.domain.noise import Weight, weigh
from services.conversation.domain.routed import Routing
from services.conversation.domain.table import ON_GREETING, ON_MESSAGE, ON_NOISE, Inbound

LATE_SECONDS = 1.0
"""A message is late when it took longer than this to reach us, and later ones came before it."""
KEPT_REFERENCES = 20
_SAYS_MORE = (Weight.NOISE, Weight.GREETING, Weight.MESSAGE)
"""A mail that begins an exchange may say in its subject what its text thanks for."""


def receive(draft: Draft, message: MessageIdentified, inboxes: Mapping[str, Inbox]) -> consent.Word | None:
    """Apply an identified message: the status table's first two rows. Return the keyword that it is."""
    data = message.data
    if data.direction == "outbound":
        _record(draft, message, noise=False)
        return None
    word = consent.word_of(draft.thread, message)
    weight = Weight.NOISE if word else _weight(message)
    if mails.note_received(draft, message, inbox_of(inboxes, data.inbox).mails_per_hour):
        weight = Weight.NOISE
    if mails.shows_a_way_back(message) and (weight is not Weight.NOISE or _introduces(draft, message, word)):
        _remember_route(draft, message)
    window.note(draft, message)
    admit(draft, message, weight, inboxes)
    _record(draft, message, noise=weight is Weight.NOISE)
    consent.heed(draft, message, word)
    return word


def _weight(message: MessageIdentified) -> Weight:
    data, personal = message.data, message.personal
    files = bool(personal.attachments)
    weight = weigh(data.kind, personal.text, automatic=data.automatic, files=files)
    begins = not (personal.in_reply_to or personal.references)
    if personal.subject and begins and not data.automatic and weight is not Weight.MESSAGE:
        return max(weight, weigh(data.kind, personal.subject, automatic=False), key=_SAYS_MORE.index)
    return weight


def admit(draft: Draft, message: MessageIdentified, weight: Weight, inboxes: Mapping[str, Inbox]) -> None:
    """Let the Customer in: open, wake or join, by the status table."""
    data = message.data
    match _effect(draft, weight, inboxes):
        case Inbound.START:
            _start(draft, message, inboxes[data.inbox])
        case Inbound.WAKE | Inbound.REVIVE:
            _wake(draft, message, inboxes)
        case Inbound.JOIN:
            join(draft, data.channel, data.account, mails.contact_address(draft.thread, message))
            routing.widen_for(draft, (channel_class(data.channel),))
        case Inbound.RECORD:
            pass


def _introduces(draft: Draft, message: MessageIdentified, word: consent.Word | None) -> bool:
    """A keyword is answered where it came from, if they wrote nothing else; START always."""
    if word is None or message.data.automatic:
        return False
    return word is consent.Word.START or message.data.channel not in draft.thread.routes


def _effect(draft: Draft, weight: Weight, inboxes: Mapping[str, Inbox]) -> Inbound:
    current = draft.thread.current
    table = {Weight.NOISE: ON_NOISE, Weight.GREETING: ON_GREETING, Weight.MESSAGE: ON_MESSAGE}[weight]
    if current is not None and current.status is Status.CLOSED and weight is not Weight.NOISE:
        closed_at = current.closed_at or current.updated_at
        window = inbox_of(inboxes, current.inbox).reopen_window_seconds
        if (draft.now - closed_at).total_seconds() > window:
            return ON_MESSAGE[None]
    return table[current.status if current else None]


def _start(draft: Draft, message: MessageIdentified, inbox: Inbox) -> None:
    data = message.data
    open_new(draft, inbox, data.channel, data.account, mails.contact_address(draft.thread, message))
    routing.request(draft)


def open_new(draft: Draft, inbox: Inbox, channel: Channel, account: str, address: str) -> None:
    """Begin a Conversation with its first Contact."""
    draft.put(
        Conversation(
            id=str(ids.derive("conversation", draft.thread.customer_id, draft.cause)),
            customer_id=draft.thread.customer_id,
            inbox=inbox.name,
            status=Status.NEW,
            routing=Routing(pool=inbox.pool),
            opened_at=draft.now,
            updated_at=draft.now,
            home=draft.home,
        )
    )
    draft.event(
        ConversationOpened, {"channel": channel}, row="status", before=None, after=Status.NEW, reason="opened"
    )
    join(draft, channel, account, address)


def _wake(draft: Draft, message: MessageIdentified, inboxes: Mapping[str, Inbox]) -> None:
    data = message.data
    current = draft.conversation
    revived = current.status is Status.CLOSED
    draft.change(skills={})  # they were asked for by an earlier call
    if revived:
        reopen(draft, "customer_wrote", data.channel)
    else:
        draft.change(agent=None)
        draft.status(Status.NEW, "customer_wrote")
    join(draft, data.channel, data.account, mails.contact_address(draft.thread, message))
    routing.request(draft, preferred=routing.same_agent(current, inbox_of(inboxes, current.inbox), draft.now))


def reopen(draft: Draft, reason: str, channel: Channel) -> None:
    """Let a closed Conversation go on."""
    draft.change(agent=None, closed_at=None, confirmed=None, answered=False)
    draft.status(Status.NEW, reason)
    draft.event(ConversationOpened, {"channel": channel, "reopened": True})


def join(draft: Draft, channel: Channel, account: str, address: str) -> Contact:
    """Join the live Contact with this address, or start one. Each call is a Contact of its own."""
    live = next(
        (
            contact
            for contact in draft.conversation.live_contacts
            if channel is not Channel.VOICE
            and (contact.channel, contact.account, contact.address) == (channel, account, address)
        ),
        None,
    )
    if live is not None:
        touched = replace(live, last_at=max(live.last_at, draft.now), last_ours=False)
        draft.contact(touched)
        return touched
    started = Contact(
        id=str(draft.id("contact")),
        channel=channel,
        account=account,
        address=address,
        started_at=draft.now,
        last_at=draft.now,
        home=draft.home,
    )
    draft.contact(started)
    draft.event(ContactStarted, {"contact_id": started.id, "channel": channel, "account": account})
    return started


def _remember_route(draft: Draft, message: MessageIdentified) -> None:
    draft.thread = draft.thread.with_route(route_of(message))


def route_of(message: MessageIdentified) -> Route:
    """Return the way back to whoever wrote the message."""
    data, personal = message.data, message.personal
    references = (*personal.references, personal.provider_message_id)[-KEPT_REFERENCES:]
    return Route(
        channel=data.channel,
        provider=data.provider,
        account=data.account,
        address=personal.sender,
        at=data.received_at,
        correlation=message.correlation,
        provider_message_id=personal.provider_message_id,
        references=references,
        subject=personal.subject,
        home=message.home,
    )


def _record(draft: Draft, message: MessageIdentified, *, noise: bool) -> None:
    data, personal = message.data, message.personal
    last_at = draft.thread.last_at
    delayed = (data.received_at - data.sent_at).total_seconds() >= LATE_SECONDS
    late = delayed and last_at is not None and data.sent_at < last_at
    draft.thread = replace(draft.thread, last_at=max(last_at or data.sent_at, data.sent_at))
    outbound = data.direction == "outbound"
    delivery = DeliveryStatus.SENT if outbound else DeliveryStatus.RECEIVED
    current = draft.thread.current
    contact = _contact_of(current, message, mails.contact_address(draft.thread, message))
    answers = mails.answered(draft.thread, message)
    files = _files(message)
    if current is not None:
        draft.event(
            MessageAdded,
            {
                "message_id": message.id,
                "contact_id": contact.id if contact else None,
                "direction": data.direction,
                "channel": data.channel,
                "account": data.account,
                "kind": data.kind,
                "sent_at": data.sent_at,
                "received_at": data.received_at,
                "late": late,
                "noise": noise,
                "guest": data.guest,
                "answers": answers,
                "delivery": delivery,
            },
            personal=MessagePersonal(
                address=personal.sender,
                name=personal.name,
                text=personal.text,
                html=personal.html,
                quoted=personal.quoted,
                subject=personal.subject,
                attachments=files,
            ),
        )
    fields: dict[str, Any] = {
        "contact_id": contact.id if contact else None,
        "channel": data.channel,
        "account": data.account,
        "direction": data.direction,
        "type": data.kind,
        "text": personal.text,
        "text_raw": personal.text_raw,
        "subject": personal.subject,
        "attachments": [file.shown() for file in files],
        "address": personal.sender.value,
        "late": late,
        "noise": noise,
        "status": delivery,
        "status_seq": 0,
    }
    fields |= _of_mail(message, answers)
    if blobs := _blobs(message):
        fields["blobs"] = blobs
    draft.row(str(message.id), "message", draft.thread.seq, fields, at=data.sent_at)


def _files(message: MessageIdentified) -> tuple[Attachment, ...]:
    """Return the message's attachments as everybody may know them: by id, not by where they are."""
    return tuple(
        Attachment(
            id=each.id or ids.attachment_id(message.id, index),
            content_type=each.content_type,
            filename=each.filename,
            size=each.size,
        )
        for index, each in enumerate(message.personal.attachments)
    )


def _blobs(message: MessageIdentified) -> list[str]:
    """Return where the store has more of the message than is shown: erasure must find it."""
    personal = message.personal
    files = (each.blob for each in personal.attachments)
    return sorted({blob.ref for blob in (personal.raw, personal.text_rest, *files) if blob is not None})


def _of_mail(message: MessageIdentified, answers: UUID | None) -> dict[str, Any]:
    """Return what a mail's item shows besides, as far as there is any."""
    personal = message.personal
    shown = {
        "html": personal.html,
        "quoted": personal.quoted,
        "guest": personal.sender.value if message.data.guest else None,
        "answers": str(answers) if answers else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _contact_of(current: Conversation | None, message: MessageIdentified, address: str) -> Contact | None:
    if current is None:
        return None
    data = message.data
    return next(
        (
            contact
            for contact in reversed(current.contacts)
            if contact.live
            and (contact.channel, contact.account, contact.address) == (data.channel, data.account, address)
        ),
        None,
    )
