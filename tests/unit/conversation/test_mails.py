"""Mail in a thread: what it answers, guests, and loops that end by number."""

from dataclasses import replace
from uuid import UUID

import pytest

from schemas import ids
from schemas.common import Channel, DeliveryStatus, Identifier
from schemas.conversations import ConsentChanged, MessageAdded, Status
from schemas.inbound import MessageIdentified
from schemas.outbound import MessageSend, MessageStatus, StatusData
from services.conversation.domain import mails
from services.conversation.domain.decisions import apply
from services.conversation.domain.draft import Draft, TimelineRow
from services.conversation.domain.model import Thread
from services.conversation.domain.replies import delivery_changed, reply
from tests.unit.conversation.builders import at, commands, draft, empty, grant, message, received

ANN = Identifier(kind="email", value="ann@mail.example.org")
MALLORY = Identifier(kind="email", value="mallory@mail.example.org")
OURS = UUID("0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11")


def mail(
    key: object,
    *,
    seconds: float = 0,
    sender: Identifier = ANN,
    guest: bool | None = None,
    in_reply_to: str | None = None,
    references: tuple[str, ...] = (),
) -> MessageIdentified:
    item = message(key, channel=Channel.EMAIL, kind="email", seconds=seconds)
    personal = item.personal.model_copy(
        update={
            "sender": sender,
            "identifiers": (sender,),
            "provider_message_id": f"<{key}@mail.example.org>",
            "in_reply_to": in_reply_to,
            "references": references,
            "html": "<p>hi</p>",
            "quoted": "> old",
        }
    )
    return item.model_copy(
        update={"personal": personal, "data": item.data.model_copy(update={"guest": guest})}
    )


def opened() -> Thread:
    thread = received(empty(), mail("first")).thread
    change = draft(thread, 1)
    apply(change, grant(thread))
    return change.thread


def answered(thread: Thread, message_id: UUID = OURS, seconds: float = 2) -> Draft:
    change = draft(thread, seconds, message_id)
    reply(
        change,
        message_id=message_id,
        agent="ana",
        channel=Channel.EMAIL,
        route=thread.routes[Channel.EMAIL],
        text="It is on its way.",
    )
    return change


def sent(thread: Thread, provider_message_id: str) -> Thread:
    change = draft(thread, 3)
    data = StatusData(
        message_id=OURS,
        conversation_id=thread.current.id if thread.current else "",
        status=DeliveryStatus.SENT,
        at=at(3),
        provider_message_id=provider_message_id,
    )
    status = MessageStatus(
        id=ids.derive("s"),
        occurred_at=at(3),
        correlation=OURS,
        customer_id="c-1",
        home="c-1",
        seq=1,
        data=data,
    )
    delivery_changed(change, status)
    return change.thread


def row_of(change: Draft) -> TimelineRow:
    (row,) = (each for each in commands(change, TimelineRow) if each.kind == "message")
    assert isinstance(row, TimelineRow)
    return row


def added(change: Draft) -> MessageAdded:
    (event,) = commands(change, MessageAdded)
    assert isinstance(event, MessageAdded)
    return event


def test_the_html_and_what_is_quoted_are_on_the_timeline() -> None:
    change = received(empty(), mail("first"))
    assert (row_of(change).fields["html"], row_of(change).fields["quoted"]) == ("<p>hi</p>", "> old")
    assert (added(change).personal.html, added(change).personal.quoted) == ("<p>hi</p>", "> old")


@pytest.mark.parametrize(
    ("in_reply_to", "references"),
    [
        (f"<{OURS}@parley.example>", ()),
        ("<0102018f@eu-west-1.amazonses.com>", ()),
        ("<unknown@mail.example.org>", ("<first@mail.example.org>", f"<{OURS}@parley.example>")),
        (None, (f"<{OURS}@parley.example>", "<unknown@mail.example.org>")),
    ],
)
def test_an_answer_names_the_mail_of_ours_that_it_answers(
    in_reply_to: str | None, references: tuple[str, ...]
) -> None:
    thread = sent(answered(opened()).thread, "0102018f")
    change = received(thread, mail("second", seconds=9, in_reply_to=in_reply_to, references=references))
    assert added(change).data.answers == OURS
    assert row_of(change).fields["answers"] == str(OURS)


def test_an_answer_to_a_mail_of_somebody_elses_thread_names_nothing() -> None:
    change = received(empty("c-2"), mail("second", in_reply_to=f"<{OURS}@parley.example>"))
    assert added(change).data.answers is None
    assert "answers" not in row_of(change).fields


def test_a_guests_mail_wakes_the_thread_and_the_answer_still_goes_to_the_customer() -> None:
    thread = answered(opened()).thread
    assert thread.current is not None
    assert thread.current.status is Status.WAITING
    change = received(thread, mail("guest", seconds=9, sender=MALLORY, guest=True))
    assert change.conversation.status is Status.NEW
    assert change.thread.routes == thread.routes
    assert row_of(change).fields["guest"] == MALLORY.value
    assert added(change).data.guest is True
    assert {contact.address for contact in change.conversation.contacts} == {ANN.value}
    back = answered(change.thread, ids.derive("other"), 10)
    (send,) = commands(back, MessageSend)
    assert send.personal.to == ANN


def test_an_address_that_sends_too_many_mails_is_recorded_and_wakes_nobody() -> None:
    thread = empty()
    for number in range(30):
        thread = received(thread, mail(number, seconds=number)).thread
    assert thread.current is not None
    closed = replace(thread, current=replace(thread.current, status=Status.WAITING))
    change = received(closed, mail("more", seconds=31))
    assert change.conversation.status is Status.WAITING
    assert added(change).data.noise
    other = received(closed, mail("other", seconds=31, sender=MALLORY))
    assert other.conversation.status is Status.NEW
    later = received(closed, mail("later", seconds=3700))
    assert later.conversation.status is Status.NEW


def test_an_address_that_gets_too_many_mails_of_ours_wakes_nobody() -> None:
    thread = opened()
    for number in range(30):
        thread = answered(thread, ids.derive("reply", number), 2 + number).thread
    change = received(thread, mail("second", seconds=40))
    assert change.conversation.status is Status.WAITING
    assert added(change).data.noise


def test_what_is_remembered_of_mails_is_bounded() -> None:
    thread = opened()
    for number in range(300):
        sender = ANN.model_copy(update={"value": f"{number}@mail.example.org"})
        thread = received(thread, mail(number, seconds=number, sender=sender)).thread
        thread = answered(thread, ids.derive("reply", number), number).thread
    assert len(thread.mailed) == mails.KEPT_MAILED
    assert len(thread.mails) <= 8


def test_a_complaint_withdraws_consent_and_a_mail_that_is_proven_theirs_gives_it_again() -> None:
    thread = opened()
    complaint = mail("complaint", seconds=5)
    data = complaint.data.model_copy(update={"kind": "complaint", "consent": "stop"})
    change = received(thread, complaint.model_copy(update={"data": data}))
    assert added(change).data.noise
    assert change.thread.routes == thread.routes
    (told,) = commands(change, ConsentChanged)
    assert (told.data.opted_out, told.data.source, told.personal.address) == (True, "provider", ANN)
    said_to_be = received(change.thread, mail("forged?", seconds=8))
    assert commands(said_to_be, ConsentChanged) == []
    proven = ANN.model_copy(update={"verified": True})
    (lifted,) = commands(received(said_to_be.thread, mail("again", seconds=9, sender=proven)), ConsentChanged)
    assert not lifted.data.opted_out
