"""Which way a message takes to a Customer, above all to one who has never written."""

from typing import Any

import pytest

from schemas.common import Channel, Identifier, IdentifierKind
from services.chassis.problems import Problem
from services.chassis.templates import Template
from services.conversation.domain.model import Route, Thread
from services.conversation.domain.reach import Address, Ours, Reach
from services.conversation.permission import Reply, TemplateAsked
from services.conversation.ways import way, with_subject
from tests.unit.conversation.builders import draft, empty, message, received

PHONE = Identifier(kind=IdentifierKind.PHONE, value="+15551230009")
EMAIL = Identifier(kind=IdentifierKind.EMAIL, value="zoe@mail.example")
TELEGRAM = Identifier(kind=IdentifierKind.TELEGRAM, value="771", verified=True)
UPDATE = Template(name="update", language="en", text="Parcel {{1}}.", category="utility")
SMS = Ours("twilio-sms", "demo", Channel.SMS, "support")
SMS_VIP = Ours("twilio-sms", "vip", Channel.SMS, "vip")
MAIL = Ours("mime", "demo", Channel.EMAIL, "support")
WHATSAPP = Ours("whatsapp", "demo", Channel.WHATSAPP, "support")
BOT = Ours("telegram", "demo", Channel.TELEGRAM, "support")
ALL = (SMS, SMS_VIP, MAIL, WHATSAPP, BOT)


def taken(
    reply: Reply,
    *known: Identifier,
    accounts: tuple[Ours, ...] = ALL,
    inboxes: tuple[str, ...] = ("support",),
    thread: Thread | None = None,
) -> tuple[Channel, Route]:
    templates = {"whatsapp": (UPDATE,)}
    return way(
        draft(thread or empty(), 1),
        reply,
        Reach(tuple(Address(each, "c-home") for each in known), accounts),
        inboxes,
        lambda provider, _: templates.get(provider, ()),
    )


def refusal(reply: Reply, *known: Identifier, **options: Any) -> Problem:
    with pytest.raises(Problem) as refused:
        taken(reply, *known, **options)
    return refused.value


@pytest.mark.parametrize(
    ("channel", "known", "account", "address"),
    [
        (Channel.SMS, PHONE, SMS, PHONE),
        (Channel.EMAIL, EMAIL, MAIL, EMAIL),
        (
            Channel.WHATSAPP,
            PHONE,
            WHATSAPP,
            Identifier(kind=IdentifierKind.WHATSAPP, value="15551230009"),
        ),
        (Channel.TELEGRAM, TELEGRAM, BOT, TELEGRAM),
    ],
)
def test_an_identifier_and_an_account_of_ours_are_a_way(
    channel: Channel, known: Identifier, account: Ours, address: Identifier
) -> None:
    found, route = taken(Reply("Hello", channel), known)
    assert (found, route.provider, route.account) == (channel, account.provider, account.account)
    assert (route.address, route.home, route.provider_message_id) == (address, "c-home", None)


def test_without_a_channel_one_that_takes_free_text_comes_first() -> None:
    assert taken(Reply("Hello"), EMAIL, PHONE)[0] is Channel.SMS
    assert taken(Reply("Hello"), EMAIL, PHONE, accounts=(MAIL, WHATSAPP))[0] is Channel.EMAIL


def test_a_template_goes_where_it_is_known() -> None:
    asked = Reply(template=TemplateAsked("update", None, ("7",)))
    assert taken(asked, PHONE, EMAIL)[0] is Channel.WHATSAPP


def test_the_account_of_the_inbox_is_preferred() -> None:
    assert taken(Reply("Hello"), PHONE, inboxes=("vip", "support"))[1].account == "vip"
    assert taken(Reply("Hello"), PHONE, inboxes=("other",))[1].account == "demo"


def test_a_verified_address_comes_before_others_and_then_the_newest() -> None:
    proven = PHONE.model_copy(update={"value": "+15551230001", "verified": True})
    newer = PHONE.model_copy(update={"value": "+15551230003"})
    assert taken(Reply("Hello"), proven, PHONE, newer)[1].address == proven
    assert taken(Reply("Hello"), PHONE, newer)[1].address == newer


def test_who_has_written_is_answered_where_they_wrote() -> None:
    thread = received(empty(), message("m")).thread
    assert taken(Reply("Hello"), PHONE, thread=thread) == (Channel.SMS, thread.routes[Channel.SMS])
    found, route = taken(Reply("Hello", Channel.EMAIL), EMAIL, thread=thread)
    assert (found, route.address) == (Channel.EMAIL, EMAIL)


@pytest.mark.parametrize("channel", [Channel.CHAT, Channel.MESSENGER, Channel.TELEGRAM])
def test_where_they_must_write_first_the_refusal_says_so_and_names_other_ways(channel: Channel) -> None:
    merely_said = TELEGRAM.model_copy(update={"verified": False})
    refused = refusal(Reply("Hello", channel), PHONE, merely_said)
    assert refused.status == 422
    assert "must do so first; known are: sms, whatsapp" in str(refused.body["detail"])


def test_an_address_without_an_account_of_ours_is_a_conflict() -> None:
    refused = refusal(Reply("Hello", Channel.SMS), PHONE, accounts=(MAIL,))
    assert (refused.status, str(refused.body["type"]).rpartition("/")[2]) == (409, "no-account")


def test_nobody_knows_how_to_reach_who_has_no_address() -> None:
    assert refusal(Reply("Hello")).status == 409
    assert refusal(Reply("Hello", Channel.SMS), EMAIL).status == 422
    assert refusal(Reply("Hello", Channel.VOICE), PHONE).status == 422


def test_a_first_mail_has_the_subject_given_or_its_first_words() -> None:
    channel, route = taken(Reply("Hello", Channel.EMAIL), EMAIL)
    assert with_subject(channel, route, "Your lamp", "Hello").subject == "Your lamp"
    assert with_subject(channel, route, None, "\n  Good news:\nit came").subject == "Good news:"
    long = with_subject(channel, route, None, "word " * 100).subject
    assert long is not None
    assert len(long) <= 70


def test_an_answer_keeps_the_subject_of_the_mail_it_answers() -> None:
    thread = received(empty(), message("m", channel=Channel.EMAIL)).thread
    route = thread.routes[Channel.EMAIL]
    assert with_subject(Channel.EMAIL, route, None, "Hello") == route
    assert with_subject(Channel.EMAIL, route, "Something new", "Hello").subject == "Something new"


def test_only_a_mail_has_a_subject() -> None:
    channel, route = taken(Reply("Hello"), PHONE)
    with pytest.raises(Problem) as refused:
        with_subject(channel, route, "Your lamp", "Hello")
    assert refused.value.status == 422
