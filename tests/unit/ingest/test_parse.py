"""What parsing keeps to, whatever comes: identity of repeats, routing of items, time, no failure."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Received, Reported, Unreadable, Webhook
from tests import recorded

Make = Callable[..., Webhook]
Circumstances = Callable[..., Arrival]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NAMES = """
    from from_user_id id timestamp type text body image caption reaction interactive button_reply title
    contacts phones name order product_items edit message errors context system location status
    recipient_id to
""".split()  # noqa: SIM905  (a list of names reads best as words)
WORDS = st.sampled_from(
    ["text", "edit", "31612345678", "NL.1", "wamid.1", "read", "interactive", "\ud800", "\x00"]
)
SHAPED = st.recursive(
    WORDS | st.integers() | st.none() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)


def read(provider: str, webhook: Webhook, arrival: Circumstances, account: str = "demo") -> list[object]:
    return list(PROVIDERS[provider].parse(webhook, arrival(provider, account)))


def whatsapp(value: object, number: str = "900100200300") -> bytes:
    body = {"entry": [{"changes": [{"value": {"metadata": {"phone_number_id": number}, "messages": value}}]}]}
    return json.dumps(body).encode()


def text(wamid: str = "wamid.1", words: str = "hi", **changes: object) -> dict[str, object]:
    return {
        "from": "31612345678",
        "id": wamid,
        "timestamp": "1767225600",
        "type": "text",
        "text": {"body": words},
        **changes,
    }


def ids(items: list[object]) -> list[object]:
    return [item.record.id for item in items if isinstance(item, Received | Reported)]


def test_a_redelivered_message_has_the_same_id_and_another_one_another(
    webhook: Make, arrival: Circumstances
) -> None:
    first, again, other = (
        ids(read("whatsapp", webhook(whatsapp([message])), arrival))
        for message in (text("wamid.1"), text("wamid.1"), text("wamid.2"))
    )
    assert first == again != other


def test_each_edit_of_a_message_is_a_message_of_its_own(webhook: Make, arrival: Circumstances) -> None:
    edits = [
        text(
            type="edit",
            timestamp=at,
            edit={"original_message_id": "wamid.1", "message": {"type": "text", "text": {"body": at}}},
        )
        for at in ("1767225600", "1767225601")
    ]
    assert len(set(ids(read("whatsapp", webhook(whatsapp([text(), *edits])), arrival)))) == 3


def test_sms_and_whatsapp_of_one_number_share_a_partition_key(webhook: Make, arrival: Circumstances) -> None:
    form = b"MessageSid=SM1&From=%2B31612345678&To=%2B15550001111&Body=hi"
    (sms,) = read("twilio-sms", webhook(form), arrival)
    (chat,) = read("whatsapp", webhook(whatsapp([text()])), arrival)
    assert isinstance(sms, Received)
    assert isinstance(chat, Received)
    assert sms.key == chat.key == "+31612345678"


@pytest.mark.parametrize(
    ("number", "account"), [("900100200301", "sales"), ("900100200302", None), ("1", None)]
)
def test_items_for_another_number_go_to_its_account_only_if_it_has_the_checked_secret(
    number: str, account: str | None, webhook: Make, arrival: Circumstances
) -> None:
    (item,) = read("whatsapp", webhook(whatsapp([text()], number)), arrival)
    if account is None:
        assert isinstance(item, Unreadable)
    else:
        assert isinstance(item, Received)
        assert (item.record.data.account, item.record.data.inbox) == (account, "sales")


@pytest.mark.parametrize(
    ("to", "account"), [("%2B15550002222", "sales"), ("%2B15550003333", "demo"), ("%2B15559999999", "demo")]
)
def test_an_sms_to_another_number_of_the_same_owner_is_that_accounts(
    to: str, account: str, webhook: Make, arrival: Circumstances
) -> None:
    (item,) = read("twilio-sms", webhook(f"MessageSid=SM1&From=%2B15551230001&To={to}".encode()), arrival)
    assert isinstance(item, Received)
    assert item.record.data.account == account


def test_one_bad_item_of_a_batch_costs_no_other(webhook: Make, arrival: Circumstances) -> None:
    messages = [item for n in range(500) for item in (text(f"wamid.{n}"), {"id": n, "type": ["?"]})]
    items = read("whatsapp", webhook(whatsapp(messages)), arrival)
    assert [type(item) for item in items] == [Received, Unreadable] * 500


def test_a_status_callback_brings_our_own_id_back_from_its_url(webhook: Make, arrival: Circumstances) -> None:
    ours = "0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11"
    request = webhook(b"MessageSid=SM1&MessageStatus=sent", query=f"message_id={ours}")
    (item,) = read("twilio-sms", request, arrival)
    assert isinstance(item, Reported)
    assert str(item.record.data.message_id) == ours


def test_a_mail_repeated_with_other_trace_headers_is_the_same_but_another_body_is_not(
    webhook: Make, arrival: Circumstances
) -> None:
    mail = b"From: ann@mail.example.org\nMessage-ID: <1@x>\n\nhello\n"
    mails = (mail, b"Received: from y\n" + mail.replace(b"\n", b"\r\n"), mail.replace(b"hello", b"bye"))
    first, again, other = (ids(read("mime", webhook(body), arrival)) for body in mails)
    assert first == again != other


def test_a_mail_without_message_id_is_known_by_its_content(webhook: Make, arrival: Circumstances) -> None:
    mail = b"From: ann@mail.example.org\nSubject: one\n\nhello\n"
    mails = (mail, b"Received: from y\n" + mail, mail.replace(b"one", b"two"))
    first, again, other = (ids(read("mime", webhook(body), arrival)) for body in mails)
    assert first == again != other


HOSTILE_MAIL = {
    "2000 nested multiparts": b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b0\n\n"
    + b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n, n + 1) for n in range(2000)),
    "a million parts": b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\n"
    + b"--b\n\n" * 1_000_000,
    "endless parameters": b"From: a@b.example\nContent-Type: text/plain" + b';a="' * 100_000 + b"\n\nx",
    "deep comments": b"From: " + b"(" * 10_000 + b"a@b.example\n\nx",
    "punycode": b"From: a@b.example\nContent-Type: text/plain; charset=punycode\n\n" + b"ab-c" * 50_000,
    "cubic quote header": b"From: a@b.example\n\n" + b"Am x schrieb " * 20_000,
    "cubic quote lines": b"From: a@b.example\n\n" + b"Il Il 2026 Il:\n" * 20_000,
    "open tags": b"From: a@b.example\nContent-Type: text/html\n\n" + b"<script><a<!--" * 50_000,
    "huge character reference": b"From: a@b.example\nContent-Type: text/html\n\n&#" + b"9" * 50_000 + b";",
    "multipart without boundary": b"From: a@b.example\nContent-Type: multipart/mixed\n\nx",
    "broken base64": b"From: a@b.example\nContent-Transfer-Encoding: base64\n\n!!=!",
}


@pytest.mark.parametrize("name", HOSTILE_MAIL)
def test_hostile_mail_is_taken_in_bounded_time(name: str, webhook: Make, arrival: Circumstances) -> None:
    started = time.monotonic()
    (item,) = read("mime", webhook(HOSTILE_MAIL[name]), arrival)
    assert time.monotonic() - started < 5
    assert isinstance(item, Received)
    assert item.raw == HOSTILE_MAIL[name]


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"NaN", b"1" * 10_000]
)
@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_a_body_that_is_nothing_is_kept_aside(
    provider: str, body: bytes, webhook: Make, arrival: Circumstances
) -> None:
    (item,) = read(provider, webhook(body, content_type="application/json"), arrival)
    assert isinstance(item, Unreadable)
    assert item.body == body


@settings(max_examples=200, deadline=None)
@given(
    body=st.binary(max_size=400), query=st.text(max_size=50), kind=st.sampled_from(["application/json", ""])
)
def test_no_bytes_make_a_parser_fail(
    body: bytes, query: str, kind: str, webhook: Make, arrival: Circumstances
) -> None:
    for provider in PROVIDERS:
        read(provider, webhook(body, query=query, content_type=kind), arrival)
        read(provider, webhook(body, query=query, content_type=kind, method="GET"), arrival)


@settings(max_examples=200, deadline=None)
@given(value=JSON, message=SHAPED)
def test_no_json_makes_a_parser_fail_and_every_item_can_be_published(
    value: object, message: object, webhook: Make, arrival: Circumstances
) -> None:
    bodies = [json.dumps(value).encode(), whatsapp([message]), whatsapp(message)]
    for body in bodies:
        for item in read("whatsapp", webhook(body), arrival):
            if isinstance(item, Received | Reported):
                assert item.record.json_bytes()
                assert item.key.encode()


RECORDED = [
    (path.parent.name, path.read_bytes())
    for path in recorded.payloads()
    if path.suffix == ".json" and path.stem != "broken"
]


@settings(max_examples=400, deadline=None)
@given(body=st.sampled_from(RECORDED), changes=st.lists(st.tuples(st.integers(0), JSON | WORDS), max_size=4))
def test_no_change_to_a_recorded_webhook_makes_a_parser_fail(
    body: tuple[str, bytes], changes: list[tuple[int, object]], webhook: Make, arrival: Circumstances
) -> None:
    provider, value = body[0], json.loads(body[1])
    for where, new in changes:
        value = changed(value, where, new)
    request = webhook(json.dumps(value).encode(), content_type="application/json")
    for item in read(provider, request, arrival):
        if isinstance(item, Received | Reported):
            assert item.record.json_bytes()
            assert item.key.encode()
    answering = PROVIDERS[provider].answering
    assert answering is None or answering(request, arrival(provider))


def changed(value: Any, where: int, new: object) -> object:
    """Return `value` with `new` in one place, found by going down as `where` says."""
    if where % 3 == 0 or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, copy = keys[where // 3 % len(keys)], value.copy()
    copy[key] = changed(value[key], where // 3 // len(keys), new)
    return copy


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "From",
                    "To",
                    "Body",
                    "MessageSid",
                    "MessageStatus",
                    "NumMedia",
                    "MediaUrl0",
                    "Latitude",
                    "ErrorCode",
                ]
            ),
            st.sampled_from(
                ["+15551230001", "whatsapp:NL.1", "whatsapp:+1", "%00", "%ED%A0%80", "2", "sent", "", "²"]
            ),
        )
    )
)
def test_no_form_makes_a_parser_fail(
    pairs: list[tuple[str, str]], webhook: Make, arrival: Circumstances
) -> None:
    body = "&".join(f"{name}={value}" for name, value in pairs).encode()
    (item,) = read("twilio-sms", webhook(body), arrival)
    if isinstance(item, Received | Reported):
        assert item.record.json_bytes()


HEADERS = st.sampled_from(
    [
        b"From: <a@b.example>",
        b"Message-ID: <[5d41]-abc@x.example>",
        b"Message-ID: <@x>",
        b"Subject: =?utf-8?Q?=0D=0A?= =?x?B?====?=",
        b"From: =?utf-8?B?w6Q=?= =?utf-8?Q?=C3?= <\xe9@b.example>",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: message/rfc822",
        b"Content-Type: multipart/report; boundary=b",
        b"Content-Type: text/html; charset=utf-16",
        b"Content-Type: text/plain; charset*=utf-8''%00; name*0*=x''%ff",
        b"Content-Disposition: attachment; filename*=x-no''%e4",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: x-uuencode",
        b"Auto-Submitted: ((",
        b"",
        b"--b",
        b"--b--",
        b"begin 666 x",
        b"\x00\xff",
        b"On 2026 a@b wrote:",
        b"> x",
    ]
)


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(HEADERS | st.binary(max_size=30), max_size=25))
def test_no_mail_makes_a_parser_fail(lines: list[bytes], webhook: Make, arrival: Circumstances) -> None:
    for item in read("mime", webhook(b"From: a@b.example\r\n" + b"\r\n".join(lines)), arrival):
        if isinstance(item, Unreadable):
            assert item.reason == "a mail without a sender"
        else:
            assert item.record.json_bytes()


MESSAGES = {"whatsapp": whatsapp([text()])} | {
    provider: (recorded.WEBHOOKS / provider / "text.json").read_bytes() for provider in ("telegram", "line")
}


@pytest.mark.parametrize("provider", MESSAGES)
def test_signed_webhooks_are_read_by_the_thousand_a_second(
    provider: str, webhook: Make, arrival: Circumstances
) -> None:
    request = webhook(MESSAGES[provider])
    read(provider, request, arrival)
    started = time.process_time()
    for _ in range(1000):
        PROVIDERS[provider].verify(request, arrival(provider).account)
        read(provider, request, arrival)
    assert time.process_time() - started < 1
