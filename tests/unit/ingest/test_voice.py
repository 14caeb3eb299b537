"""Calls: what a caller hears, the file of menus, and TwiML that nothing can break out of."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.calls import CallChoice
from services.chassis.accounts import Account
from services.ingest.app import menus_of
from services.ingest.attachments import jobs
from services.ingest.channels import twilio, twilio_voice
from services.ingest.settings import IngestSettings
from services.ingest.voice import twiml
from services.ingest.voice.menus import PLAIN, BadMenus, Menus, load_menus
from services.ingest.voice.sealed import seal, unseal
from services.ingest.webhook import Arrival, Received, Unreadable, Webhook

FIXTURE = Path(__file__).parents[2] / "fixtures" / "ivr.yaml"
LOCAL = Path(__file__).parents[3] / "deploy" / "local" / "ivr.yaml"
Make = Callable[..., Webhook]
Circumstances = Callable[[str], Arrival]
PATH = "/ingest/v1/twilio-voice/demo"
CALL = {"CallSid": "CA1", "From": "+15551230001", "To": "+15550001111", "CallStatus": "in-progress"}


def request(webhook: Make, form: dict[str, str], query: str = "") -> Webhook:
    return webhook(
        urlencode({**CALL, **form}).encode(),
        path=PATH,
        query=query,
        content_type="application/x-www-form-urlencoded",
    )


def answered(arrival: Arrival, asked: Webhook) -> ET.Element:
    return ET.fromstring(twilio_voice.answer(asked, arrival))  # noqa: S314  (made by ourselves)


def posted_to(verb: ET.Element, attribute: str = "action") -> str:
    """Return the query that Twilio posts to next."""
    return urlsplit(verb.attrib[attribute]).query


# --- signature -----------------------------------------------------------------------------------


def test_twilios_published_vector_is_a_call() -> None:
    body = (
        b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    )
    account = Account(
        provider="twilio-voice",
        account="demo",
        channel="voice",
        address="+18005551212",
        inbox="support",
        secrets={"auth_token": "12345"},
    )
    headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    signed = Webhook("POST", "/myapp.php", "foo=1&bar=2", headers, body, "https://mycompany.com")
    assert twilio_voice.verify(signed, account)
    assert not twilio_voice.verify(replace(signed, query="foo=1&bar=3"), account)


def test_our_own_step_is_covered_by_the_signature(webhook: Make, arrival: Circumstances) -> None:
    account = arrival("twilio-voice").account
    asked = request(webhook, {"Digits": "1"}, "step=choice&menu=main&try=1&n=1")
    proof = twilio.signature(asked.url + twilio.signed_form(asked.form), account.secret("auth_token"))
    signed = replace(asked, headers={**asked.headers, "x-twilio-signature": proof})
    assert twilio_voice.verify(signed, account)
    assert not twilio_voice.verify(replace(signed, query="step=choice&menu=main&try=1&n=2"), account)


# --- the way through the menus -------------------------------------------------------------------


def test_a_call_is_led_from_menu_to_menu_by_our_own_urls(webhook: Make, arrival: Circumstances) -> None:
    here = arrival("twilio-voice")
    gather = answered(here, request(webhook, {"CallStatus": "ringing"}))[0]
    assert (gather.tag, gather[0].tag) == ("Gather", "Say")
    gather = answered(here, request(webhook, {"Digits": "1"}, posted_to(gather)))[0]
    assert gather[0].text == "Press 1 if it is broken."
    dial = answered(
        here, request(webhook, {"SpeechResult": "My BROKEN lamp, a broken lamp!"}, posted_to(gather))
    )[0]
    assert (dial.tag, dial[0].text) == ("Dial", "+15550009999")
    done = answered(here, request(webhook, {"DialCallStatus": "completed"}, posted_to(dial)))
    assert [verb.tag for verb in done] == ["Hangup"]


def test_the_same_webhook_gets_the_same_answer(webhook: Make, arrival: Circumstances) -> None:
    here, later = arrival("twilio-voice"), arrival("twilio-voice")
    asked = request(webhook, {"Digits": "9"}, "step=choice&menu=main&try=1&n=1")
    assert twilio_voice.answer(asked, here) == twilio_voice.answer(asked, later)


def test_silence_is_asked_again_and_ends_in_the_menus_default(webhook: Make, arrival: Circumstances) -> None:
    here, asked = arrival("twilio-voice"), request(webhook, {"CallStatus": "ringing"})
    said = []
    for _ in range(5):
        verbs = answered(here, asked)
        said.append([verb.tag for verb in verbs])
        if verbs[0].tag != "Gather":
            break
        asked = request(webhook, {"Digits": "", "SpeechResult": ""}, posted_to(verbs[0]))
    assert said == [["Gather"], ["Gather"], ["Say", "Record"]]


def test_no_call_asks_for_more_for_ever(webhook: Make, arrival: Circumstances) -> None:
    again = {"name": "a", "say": "A", "choices": [{"digits": "1", "menu": "a"}], "otherwise": {"menu": "a"}}
    here = replace(arrival("twilio-voice"), menus=Menus.model_validate({"start": "a", "menus": [again]}))
    asked, steps = request(webhook, {"CallStatus": "ringing"}), 0
    while (verbs := answered(here, asked))[0].tag == "Gather":
        asked = request(webhook, {"Digits": "1"}, posted_to(verbs[0]))
        steps += 1
        assert steps < 100
    assert [verb.tag for verb in verbs] == ["Hangup"]


def test_a_menu_without_choices_leads_on_at_once_and_its_topic_counts(
    webhook: Make, arrival: Circumstances
) -> None:
    greeting = {"name": "a", "say": "Hello", "otherwise": {"menu": "b", "topic": "calls"}}
    asking = {
        "name": "b",
        "say": "B",
        "choices": [{"digits": "1", "hang_up": True}],
        "otherwise": {"menu": "a"},
    }
    both = Menus.model_validate({"start": "a", "menus": [greeting, asking]})
    here = replace(arrival("twilio-voice"), menus=both)
    start = request(webhook, {"CallStatus": "ringing"})
    verbs = answered(here, start)
    assert [verb.tag for verb in verbs] == ["Say", "Gather"]
    (item,) = twilio_voice.parse(start, here)
    assert isinstance(item, Received)
    assert item.record.data.call is not None
    assert item.record.data.call.choice == CallChoice(n=0, menu="a", topic="calls")
    assert item.record.personal.call is None


def test_later_webhooks_of_a_call_to_another_number_of_ours_come_to_its_account(
    webhook: Make, arrival: Circumstances
) -> None:
    verbs = answered(
        arrival("twilio-voice"), request(webhook, {"CallStatus": "ringing", "To": "+15550002222"})
    )
    recording = next(verb for verb in verbs if verb.tag == "Record")
    assert urlsplit(recording.attrib["action"]).path == "/ingest/v1/twilio-voice/sales"


def test_a_recording_finds_its_caller_though_twilio_does_not_name_them(
    webhook: Make, arrival: Circumstances
) -> None:
    here = arrival("twilio-voice")
    start = request(webhook, {"Digits": "9"}, "step=choice&menu=main&try=1&n=1")
    record = next(verb for verb in answered(here, start) if verb.tag == "Record")
    query = posted_to(record, "recordingStatusCallback")
    assert "15551230001" not in query
    form = {"CallSid": "CA1", "RecordingSid": "RE1", "RecordingUrl": "https://x.example/RE1"}
    told = webhook(urlencode({**form, "RecordingStatus": "completed"}).encode(), path=PATH, query=query)
    (first,), (item,) = twilio_voice.parse(start, here), twilio_voice.parse(told, here)
    assert isinstance(first, Received)
    assert isinstance(item, Received)
    assert item.key == first.key == "+15551230001"
    assert item.record.data.call is not None
    assert first.record.data.call is not None
    assert item.record.data.call.call_id == first.record.data.call.call_id


def test_a_recording_that_several_webhooks_tell_of_is_one_file(webhook: Make, arrival: Circumstances) -> None:
    here, told = arrival("twilio-voice"), {"RecordingSid": "RE1", "RecordingUrl": "https://x.example/RE1"}
    queries = ("step=recorded&menu=main&n=2", "step=recording&n=2", "step=transcription&n=2")
    files = set[str]()
    for query in queries:
        (item,) = twilio_voice.parse(request(webhook, told, query), here)
        assert isinstance(item, Received)
        files |= {job.id for job in jobs(item.record, frozenset())}
    assert len(files) == 1


def test_without_menus_everybody_may_leave_a_message(webhook: Make, arrival: Circumstances) -> None:
    here = replace(arrival("twilio-voice"), menus=None)
    verbs = answered(here, request(webhook, {"CallStatus": "ringing"}))
    assert [verb.tag for verb in verbs] == ["Say", "Say", "Record"]


# --- the caller's address in our URLs ------------------------------------------------------------


@given(address=st.text(min_size=1, max_size=60), call=st.text(max_size=40))
def test_a_sealed_address_is_read_for_its_own_call_and_secret_only(address: str, call: str) -> None:
    def account(token: str) -> Account:
        return Account(
            provider="twilio-voice",
            account="demo",
            channel="voice",
            address="+15550001111",
            inbox="support",
            secrets={"auth_token": token},
        )

    sealed = seal(address, call, account("one"))
    assert sealed == seal(address, call, account("one"))
    assert unseal(sealed, call, account("one")) == address.encode("utf-8", "replace").decode()
    assert unseal(sealed, call + "x", account("one")) is None
    assert unseal(sealed, call, account("two")) is None


@given(text=st.text(max_size=60))
def test_nothing_else_passes_for_a_sealed_address(text: str, arrival: Circumstances) -> None:
    assert unseal(text, "CA1", arrival("twilio-voice").account) is None


# --- TwiML ---------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec=None), max_size=40)


@settings(max_examples=200)
@given(say=TEXT, number=TEXT, queue=TEXT, url=TEXT, language=TEXT)
def test_twiml_is_well_formed_and_no_value_becomes_markup(
    say: str, number: str, queue: str, url: str, language: str
) -> None:
    written = twiml.document(
        [
            twiml.gather([twiml.say(say, language)], url, {"hints": say}),
            twiml.dial(number, url),
            twiml.enqueue(queue, url),
            twiml.record(url, {"transcribeCallback": url}),
            twiml.hang_up(),
        ]
    )
    written.encode()
    read = ET.fromstring(written)  # noqa: S314  (made by ourselves)
    assert [element.tag for element in read.iter()] == [
        "Response", "Gather", "Say", "Dial", "Number", "Enqueue", "Record", "Hangup",
    ]  # fmt: skip


NAMES = st.sampled_from(
    [
        *("CallSid", "CallStatus", "From", "To", "Digits", "SpeechResult", "Direction", "SequenceNumber"),
        *("CallDuration", "Timestamp", "RecordingSid", "RecordingUrl", "RecordingStatus", "TranscriptionSid"),
        *("TranscriptionText", "QueueResult", "DialCallStatus", "CallerName", "StirVerstat", "ParentCallSid"),
    ]
)
VALUES = TEXT | st.sampled_from(
    [
        *("CA1", "completed", "ringing", "in-progress", "+15551230001", "anonymous", "client:bob", "sip:a@b"),
        *("1", "9", "999999", "outbound-api", "bridged", "Thu, 01 Jan 2026 11:59:59 +0000", "hangup"),
        *("</Say><Hangup/>", "Mon, 99 Foo 99999 99:99:99 +9999", "client:", "sip:", "<x y='\"'>&#0;"),
    ]
)
STEPS = st.sampled_from(
    ["", "start", "choice", "recorded", "recording", "transcription", "queued", "dialled"]
)


@settings(max_examples=400, deadline=None)
@given(
    form=st.dictionaries(NAMES, VALUES, max_size=12),
    step=STEPS,
    menu=TEXT | st.sampled_from(["main", "orders", "bare"]),
    n=TEXT | st.integers(-1, 70).map(str),
    known=st.booleans(),
)
def test_no_webhook_makes_the_parser_or_the_answer_fail(
    form: dict[str, str],
    step: str,
    menu: str,
    n: str,
    known: bool,  # noqa: FBT001  (a test's parameter)
    webhook: Make,
    arrival: Circumstances,
) -> None:
    given_form = {**(CALL if known else {}), **form}
    pairs = {"step": step, "menu": menu, "n": n, "try": n}
    query = urlencode({name: value for name, value in pairs.items() if value}, errors="replace")
    body = urlencode(given_form, errors="replace").encode()
    asked = webhook(body, path=PATH, query=query, content_type="application/x-www-form-urlencoded")
    here = arrival("twilio-voice")
    (item,) = twilio_voice.parse(asked, here)
    tags = {element.tag for element in answered(here, asked).iter()}
    assert tags <= {"Response", "Say", "Gather", "Record", "Enqueue", "Dial", "Number", "Hangup"}
    if isinstance(item, Received):
        assert item.value == item.record.json_bytes()
        assert item.record.data.call is not None
    else:
        assert isinstance(item, Unreadable)
        assert tags == {"Response"}


def test_words_of_a_call_are_personal(webhook: Make, arrival: Circumstances) -> None:
    here = arrival("twilio-voice")
    form = {"SpeechResult": "my order and secret", "Digits": "4711", "CallerName": "Zoe Quill"}
    (item,) = twilio_voice.parse(request(webhook, form, "step=choice&menu=main&try=1&n=1"), here)
    assert isinstance(item, Received)
    public = item.record.model_dump_json(exclude={"personal"})
    assert not [word for word in ("secret", "4711", "Zoe", "5551230001") if word in public]


def test_calls_are_read_and_answered_by_the_thousand_a_second(webhook: Make, arrival: Circumstances) -> None:
    here = arrival("twilio-voice")
    account = here.account
    asked = [
        request(webhook, {"Digits": "1", "CallSid": f"CA{n}"}, "step=choice&menu=main&try=1&n=1")
        for n in range(1000)
    ]
    signed = [
        replace(
            each,
            headers={
                **each.headers,
                "x-twilio-signature": twilio.signature(
                    each.url + twilio.signed_form(parse_qsl(each.body.decode(), keep_blank_values=True)),
                    "token-1",
                ),
            },
        )
        for each in asked
    ]
    started = time.process_time()
    for each in signed:
        assert twilio_voice.verify(each, account)
        twilio_voice.parse(each, here)
        twilio_voice.answer(each, here)
    assert time.process_time() - started < 1


# --- the file ------------------------------------------------------------------------------------


def test_the_files_we_ship_can_be_read() -> None:
    assert load_menus(LOCAL, ["support"]).first("demo").name == "main"
    assert load_menus(FIXTURE, ["support", "sales"]).first("sales").name == "bare"


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("start: main", "start: man", 1, "there is no menu 'man'"),
        ("tries: 2", "tries: none", 7, "menus.0.tries"),
        ('digits: "2", words', "digits: 2, words", 10, "menus.0.choices.1.digits"),
        ("skills: {billing: 2}", "skills: {billing: 0}", 10, "menus.0.choices.1.skills.billing"),
        ("inbox: sales", "inbox: sale", 10, "menus.0.choices.1.inbox: 'sale' is none of: sales, support"),
        ("menu: orders}", "menu: oders}", 9, "there is no menu 'oders'"),
        (
            "enqueue: bills}",
            "enqueue: bills, dial: '+15550001'}",
            10,
            "needs exactly one of: menu, voicemail",
        ),
        ("{voicemail: Nobody is free.}", "{say: Nobody is free.}", 13, "menus.0.otherwise"),
        ("hang_up: true", "hangup: true", 11, "menus.0.choices.2.hangup"),
        ('digits: "3", say', "say", 11, "needs digits or words"),
        ('dial: "+15550009999"', 'dial: "15550009999"', 19, "menus.1.choices.0.dial"),
        ('digits: "9"', 'digits: "3"', 5, "'3' is chosen twice"),
        ("topic: billing", "topic: Billing!", 10, "menus.0.choices.1.topic"),
        ("  - name: bare", "  - name: main", 22, "the menu 'main' is there twice"),
        ("language: nl-NL", "language: Dutch please", 16, "menus.1.language"),
        ("{voicemail: Please leave a message.}", "{menu: bare}", 24, "leads to another one"),
        ("goodbye: Goodbye.", "goodbye: [", 5, "not YAML"),
    ],
)
def test_a_wrong_file_is_named_by_line_and_field(
    before: str, after: str, line: int, says: str, tmp_path: Path
) -> None:
    text = FIXTURE.read_text()
    assert before in text
    path = tmp_path / "ivr.yaml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(BadMenus) as wrong:
        load_menus(path, ["support", "sales"])
    assert f"{path}, line {line}: " in str(wrong.value)
    assert says in str(wrong.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\xfe", b"menus: 7", b"{a: &x [*x]}"])
def test_what_is_no_file_of_menus_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ivr.yaml"
    path.write_bytes(content)
    with pytest.raises(BadMenus, match=r"ivr\.yaml"):
        load_menus(path, None)


def test_a_file_that_is_not_there_is_no_reason_not_to_start(tmp_path: Path) -> None:
    assert menus_of(IngestSettings(ivr_file=tmp_path / "none.yaml")) is PLAIN
    assert menus_of(IngestSettings(ivr_file=LOCAL, agents_file=tmp_path / "none.yaml")).start == "main"
