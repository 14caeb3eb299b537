"""Whether a reply may be sent now, and as what."""

from dataclasses import replace

import pytest

from schemas.common import Channel, Identifier, IdentifierKind
from services.chassis.problems import Problem
from services.chassis.templates import Template
from services.conversation.domain.consent import Line, take
from services.conversation.domain.model import Consent, Route, Thread
from services.conversation.domain.replies import Words
from services.conversation.domain.window import Window, window
from services.conversation.permission import Reply, TemplateAsked, words_of
from tests.unit.conversation.builders import PROVIDERS, at, draft, empty, message, received

DAY = 86_400
NUMBER = Identifier(kind=IdentifierKind.PHONE, value="+15551230001", verified=True)
OFFER = Template(name="offer", language="en", text="{{1}}, buy one, get one!")
UPDATE = Template(name="update", language="en", text="Parcel {{1}} is on its way.", category="utility")
PEOPLE = [Channel.MESSENGER, Channel.INSTAGRAM]


def line(channel: Channel) -> Line:
    return Line(PROVIDERS.get(channel, channel), "demo", channel, NUMBER)


def wrote(channel: Channel, thread: Thread | None = None, **options: object) -> Thread:
    item = message("m", channel=Channel.SMS, **options)  # type: ignore[arg-type]
    data = item.data.model_copy(update={"channel": channel, "provider": line(channel).provider})
    return received(thread or empty(), item.model_copy(update={"data": data})).thread


def words(thread: Thread, channel: Channel, seconds: float, reply: Reply | None = None) -> Words:
    reply = reply or Reply("Hello")
    return words_of(reply, thread, channel, thread.routes[channel], (OFFER, UPDATE), at(seconds))


def refusal(thread: Thread, channel: Channel, seconds: float, reply: Reply | None = None) -> Problem:
    with pytest.raises(Problem) as refused:
        words(thread, channel, seconds, reply)
    return refused.value


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.EMAIL, Channel.CHAT])
def test_most_channels_take_free_text_for_ever(channel: Channel) -> None:
    assert words(wrote(channel), channel, 1000 * DAY) == Words("Hello")


@pytest.mark.parametrize("channel", [Channel.WHATSAPP, *PEOPLE])
def test_free_text_goes_out_for_a_day_after_the_customer_s_last_message(channel: Channel) -> None:
    thread = wrote(channel, seconds=10)
    assert words(thread, channel, 10 + DAY - 1) == Words("Hello")
    assert window(thread, line(channel), at(10 + DAY)) is not Window.OPEN


def test_later_whatsapp_takes_a_template_and_the_refusal_offers_those_there_are() -> None:
    refused = refusal(wrote(Channel.WHATSAPP), Channel.WHATSAPP, DAY)
    assert (refused.status, refused.body["type"]) == (
        409,
        "https://parley.example/problems/outside-window",
    )
    assert refused.body["templates"] == [
        {
            "name": "offer",
            "language": "en",
            "text": "{{1}}, buy one, get one!",
            "category": "marketing",
            "parameters": 1,
        },
        {
            "name": "update",
            "language": "en",
            "text": "Parcel {{1}} is on its way.",
            "category": "utility",
            "parameters": 1,
        },
    ]
    assert "2026-01-05T09:00:00.000Z" in str(refused.body["detail"])


@pytest.mark.parametrize("channel", PEOPLE)
def test_people_may_answer_for_a_week_under_their_tag(channel: Channel) -> None:
    thread = wrote(channel)
    assert words(thread, channel, DAY) == Words("Hello", human_agent=True)
    assert words(thread, channel, 7 * DAY - 1).human_agent is True
    assert refusal(thread, channel, 7 * DAY).body["type"] == "https://parley.example/problems/outside-window"


def test_the_window_counts_the_latest_own_message_by_the_provider_s_time() -> None:
    thread = wrote(Channel.WHATSAPP, seconds=100)
    late = wrote(Channel.WHATSAPP, thread, seconds=500, sent=50)
    assert line(Channel.WHATSAPP).heard_at(late) == at(100)
    for nothing in ({"kind": "reaction"}, {"automatic": True}, {"direction": "outbound"}):
        after = wrote(Channel.WHATSAPP, thread, seconds=500, **nothing)
        assert line(Channel.WHATSAPP).heard_at(after) == at(100)
    thanks = wrote(Channel.WHATSAPP, thread, seconds=500, text="Thanks!")
    assert line(Channel.WHATSAPP).heard_at(thanks) == at(500)


def test_a_thread_from_before_windows_were_kept_goes_by_its_route() -> None:
    thread = replace(wrote(Channel.WHATSAPP, seconds=100), standings=())
    assert line(Channel.WHATSAPP).heard_at(thread) == at(100)
    other = replace(line(Channel.WHATSAPP), account="other")
    assert other.heard_at(thread) is None
    assert window(thread, other, at(101)) is Window.SHUT


# --- templates ----------------------------------------------------------------------------------


def test_a_template_goes_out_at_any_time_and_reads_as_its_text() -> None:
    reply = Reply(template=TemplateAsked("update", None, ("7731",)))
    sent = words(wrote(Channel.WHATSAPP), Channel.WHATSAPP, 30 * DAY, reply)
    assert sent.text == "Parcel 7731 is on its way."
    assert sent.template is not None
    assert (sent.template.name, sent.template.language, sent.template.parameters) == (
        "update",
        "en",
        ("7731",),
    )


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (TemplateAsked("nothing"), "template.name"),
        (TemplateAsked("update", "fr", ("1",)), "template.language"),
        (TemplateAsked("update"), "template.parameters"),
        (TemplateAsked("update", None, ("1", "2")), "template.parameters"),
        (TemplateAsked("update", None, (" ",)), "template.parameters.0"),
    ],
)
def test_one_that_does_not_fit_is_422_and_names_what(asked: TemplateAsked, field: str) -> None:
    refused = refusal(wrote(Channel.WHATSAPP), Channel.WHATSAPP, 1, Reply(template=asked))
    assert refused.status == 422
    assert [error["field"] for error in refused.body["errors"]] == [field]  # type: ignore[attr-defined]


# --- consent ------------------------------------------------------------------------------------


def opted_out(channel: Channel) -> Thread:
    change = draft(wrote(channel), 5)
    take(change, line(channel), Consent(opted_out=True, at=at(5), source="customer"), "support")
    return change.thread


def test_an_opted_out_number_is_named_with_the_account_and_since_when() -> None:
    refused = refusal(opted_out(Channel.SMS), Channel.SMS, 6)
    assert (refused.status, refused.body["type"]) == (409, "https://parley.example/problems/opted-out")
    for part in ("+15551230001", "twilio-sms/demo", "2026-01-05T09:00:05.000Z"):
        assert part in str(refused.body["detail"])


def test_who_stopped_marketing_on_whatsapp_gets_answers_and_news_of_parcels_but_no_offers() -> None:
    thread = opted_out(Channel.WHATSAPP)
    assert words(thread, Channel.WHATSAPP, 6) == Words("Hello")
    news = Reply(template=TemplateAsked("update", None, ("7731",)))
    assert words(thread, Channel.WHATSAPP, 6, news).template is not None
    offer = Reply(template=TemplateAsked("offer", None, ("Zoë",)))
    refused = refusal(thread, Channel.WHATSAPP, 6, offer)
    assert refused.body["type"] == "https://parley.example/problems/opted-out"


def test_another_address_on_the_channel_is_not_meant() -> None:
    thread = opted_out(Channel.SMS)
    route: Route = thread.routes[Channel.SMS]
    moved = replace(thread, ways=(replace(route, account="other"),))
    assert words(moved, Channel.SMS, 6) == Words("Hello")
