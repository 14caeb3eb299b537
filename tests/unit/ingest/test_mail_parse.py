"""Mail of every provider: identity of repeats, who it is for, no failure and bounded time for anything."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.reply_address import named_customer, reply_address
from services.ingest.channels.mail_events import enhanced_code, iso_time
from services.ingest.channels.registry import PROVIDERS
from services.ingest.mail.composed import File, compose, header, header_block
from services.ingest.mail.message import read as read_mail
from services.ingest.mail.quotes import split_quotes
from services.ingest.mail.safe import safe_html
from services.ingest.webhook import Arrival, Item, Received, Reported, Unreadable, Webhook

Make = Callable[..., Webhook]
Circumstances = Callable[..., Arrival]
MULTIPART = "multipart/form-data; boundary=xYzZY"
CUSTOMER = "11111111222233334444555555555555"


def read(provider: str, webhook: Webhook, arrival: Circumstances) -> list[Item]:
    return list(PROVIDERS[provider].parse(webhook, arrival(provider)))


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = (
        b'--xYzZY\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"
        for name, value in fields
    )
    return b"".join(parts) + b"--xYzZY--\r\n"


def of_provider(provider: str, raw: bytes, make: Make, *, delivery: str = "1") -> Webhook:
    """Return the webhook with which a provider hands over a whole mail."""
    if provider == "sendgrid":
        envelope = json.dumps({"to": ["support@parse.parley.example"], "from": "ann@mail.example.org"})
        return make(form(("email", raw), ("envelope", envelope.encode())), content_type=MULTIPART)
    if provider == "mailgun":
        recipient = ("recipient", b"support@mg.parley.example")
        return make(form(recipient, ("body-mime", raw)), content_type=MULTIPART)
    if provider == "postmark":
        document = {"MessageID": delivery, "RawEmail": raw.decode("utf-8", "replace")}
        return make(json.dumps(document).encode(), content_type="application/json")
    said = {
        "notificationType": "Received",
        "mail": {"messageId": delivery, "source": "ann@mail.example.org"},
        "receipt": {"recipients": ["support@ses.parley.example"], "action": {"encoding": "BASE64"}},
        "content": base64.b64encode(raw).decode(),
    }
    return make(json.dumps({"Type": "Notification", "Message": json.dumps(said)}).encode())


WHOLE = ("sendgrid", "mailgun", "postmark", "ses")


def mail(body: bytes = b"hello", message_id: bytes = b"<m1@mail.example.org>") -> bytes:
    return b"From: Ann <ann@mail.example.org>\r\nMessage-ID: " + message_id + b"\r\n\r\n" + body


@pytest.mark.parametrize("provider", WHOLE)
def test_a_redelivered_mail_has_the_same_id(provider: str, webhook: Make, arrival: Circumstances) -> None:
    first, again = (read(provider, of_provider(provider, mail(), webhook), arrival)[0] for _ in range(2))
    assert isinstance(first, Received)
    assert isinstance(again, Received)
    assert first.record.id == again.record.id
    assert first.key == "ann@mail.example.org"


@pytest.mark.parametrize("provider", ["sendgrid", "mailgun"])
def test_a_message_id_used_twice_is_two_mails(provider: str, webhook: Make, arrival: Circumstances) -> None:
    items = [
        read(provider, of_provider(provider, mail(body), webhook), arrival)[0] for body in (b"one", b"two")
    ]
    assert len({item.record.id for item in items if isinstance(item, Received)}) == 2


@pytest.mark.parametrize("provider", ["postmark", "ses"])
def test_the_providers_own_id_tells_mails_apart(provider: str, webhook: Make, arrival: Circumstances) -> None:
    items = [
        read(provider, of_provider(provider, mail(), webhook, delivery=each), arrival)[0]
        for each in ("1", "2")
    ]
    assert len({item.record.id for item in items if isinstance(item, Received)}) == 2


HOSTILE = {
    "deep": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1500)
    ),
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 4900 + b"--b--",
    "too many parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
    "no boundary": b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx",
    "broken boundary": b'Content-Type: multipart/mixed; boundary="\xff\x00\r\n\r\n--\xff\r\n\r\nx',
    "mails in mails": b"Content-Type: message/rfc822\r\n\r\n" * 1500,
    "charset": b"Content-Type: text/plain; charset=\x00\xff-8\r\n\r\n\xff\xfe",
    "encoding": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 1_000_000,
    "uuencode": b"Content-Transfer-Encoding: x-uuencode\r\n\r\n" + b"begin 666 x\r\n" * 100_000,
    "headers": b"".join(b"X-%d: y\r\n" % n for n in range(20_000)),
    "long header": b"Subject: " + b"=?utf-8?Q?=C3?= " * 100_000 + b"\r\n",
    "references": b"References: " + b"<a@b> " * 100_000 + b"\r\n",
    "addresses": b"To: " + b"a@b.example, " * 100_000 + b"\r\n",
    "addresses without an end": b"To: " + b"a" * 200_000 + b"@" * 200_000 + b"\r\n",
    "quotes": b"\r\n" + b"> On 1 Jan 2026 a@b.example wrote:\r\n" * 100_000,
    "html": b"Content-Type: text/html\r\n\r\n" + b"<div><b><i>" * 300_000,
    "html comment": b"Content-Type: text/html\r\n\r\n" + b"<!--" * 300_000,
    "from without an end": b"From: " + b"a" * 200_000 + b"\r\n",
    "plus": b"To: support+" + b"a" * 100_000 + b"@parse.parley.example\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("provider", WHOLE)
def test_a_hostile_mail_is_read_in_bounded_time(
    provider: str, name: str, webhook: Make, arrival: Circumstances
) -> None:
    request = of_provider(provider, b"From: ann@mail.example.org\r\n" + HOSTILE[name], webhook)
    started = time.process_time()
    items = read(provider, request, arrival)
    assert time.process_time() - started < 5
    assert isinstance(items[0], Received)
    assert items[0].record.json_bytes()


def test_a_form_of_too_many_or_broken_parts_is_kept_aside(webhook: Make, arrival: Circumstances) -> None:
    for body in (b"--xYzZY\r\n\r\n\r\n" * 100_000, form(("email", mail()))[:-6], b"", b"--xYzZY"):
        started = time.process_time()
        (item,) = read("sendgrid", webhook(body, content_type=MULTIPART), arrival)
        assert time.process_time() - started < 2
        assert isinstance(item, Unreadable)


KEYS = [
    "event",
    "email",
    "timestamp",
    "sg_event_id",
    "sg_message_id",
    "parley_id",
    "reason",
    "status",
    "type",
    "event-data",
    "id",
    "recipient",
    "severity",
    "message",
    "headers",
    "message-id",
    "user-variables",
    "client-info",
    "bot",
    "delivery-status",
    "RecordType",
    "MessageID",
    "From",
    "FromFull",
    "Email",
    "Name",
    "Value",
    "ToFull",
    "Headers",
    "Attachments",
    "Content",
    "TextBody",
    "HtmlBody",
    "RawEmail",
    "Metadata",
    "Type",
    "BouncedAt",
    "SuppressSending",
    "notificationType",
    "eventType",
    "mail",
    "messageId",
    "source",
    "receipt",
    "recipients",
    "action",
    "content",
    "encoding",
    "bounce",
    "bounceType",
    "bouncedRecipients",
    "emailAddress",
    "complaint",
    "complainedRecipients",
    "subscription",
    "Message",
    "tags",
]
WORDS = st.sampled_from(
    [
        "bounce",
        "dropped",
        "open",
        "spamreport",
        "delivered",
        "failed",
        "complained",
        "opened",
        "permanent",
        "Inbound",
        "Bounce",
        "Open",
        "SpamComplaint",
        "SubscriptionChange",
        "Received",
        "Complaint",
        "Delivery",
        "Notification",
        "BASE64",
        "ann@mail.example.org",
        "a@b",
        "1767225600",
        "2026-01-01T00:00:00Z",
        "�",
        "\x00",
    ]
)
VALUES = st.recursive(
    WORDS | st.integers() | st.floats() | st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=40,
)


def publishable(items: list[Item]) -> None:
    for item in items:
        if isinstance(item, Received | Reported):
            assert item.record.json_bytes()
            assert item.key.encode()


@settings(max_examples=100, deadline=None)
@given(value=VALUES, event=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=10))
def test_no_json_makes_a_parser_fail(
    value: Any, event: dict[str, Any], webhook: Make, arrival: Circumstances
) -> None:
    shapes = [
        value,
        event,
        [event],
        {"event-data": event},
        {"Type": "Notification", "Message": json.dumps(event)},
    ]
    for shape in shapes:
        request = webhook(json.dumps(shape).encode(), content_type="application/json")
        for provider in WHOLE:
            publishable(read(provider, request, arrival))


FIELDS = st.sampled_from(
    [
        "email",
        "headers",
        "from",
        "to",
        "subject",
        "text",
        "html",
        "envelope",
        "charsets",
        "dkim",
        "attachments",
        "attachment-info",
        "content-ids",
        "attachment1",
        "recipient",
        "sender",
        "body-plain",
        "body-html",
        "body-mime",
        "message-headers",
        "content-id-map",
        "Message-Id",
        "attachment-1",
    ]
)
CONTENTS = st.binary(max_size=60) | st.sampled_from(
    [
        mail(),
        b'{"to":["support@parse.parley.example"],"from":""}',
        b'{"text":"punycode","html":"x-none","subject":5}',
        b'[["From","a@b.example"],["Subject"],5]',
        b'{"attachment1":{"filename":"../x","type":"a/b\\r\\nX: y"}}',
        b"{@example.org : pass}",
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=x",
    ]
)


@settings(max_examples=300, deadline=None)
@given(fields=st.lists(st.tuples(FIELDS, CONTENTS), max_size=10))
def test_no_form_of_a_mail_makes_a_parser_fail(
    fields: list[tuple[str, bytes]], webhook: Make, arrival: Circumstances
) -> None:
    for provider in ("sendgrid", "mailgun"):
        publishable(read(provider, webhook(form(*fields), content_type=MULTIPART), arrival))


@settings(max_examples=300, deadline=None)
@given(
    headers=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=6),
    text=st.text(max_size=60),
    html=st.text(max_size=60),
    files=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=80)), max_size=3),
)
def test_a_mail_put_together_again_says_what_it_said(
    headers: list[tuple[str, str]], text: str, html: str, files: list[tuple[str, str, bytes]]
) -> None:
    raw = compose(
        [header("From", "ann@mail.example.org"), *(header(*each) for each in headers)],
        text,
        html,
        [File(*each) for each in files],
    )
    again = read_mail(raw)
    assert again.headers.address("from") == ("", "ann@mail.example.org")
    assert [each.size for each in again.attachments] == [len(content) for _, _, content in files]
    if text.strip():
        shown = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
        assert again.text.strip() == shown.strip("\n").strip()


def test_the_headers_of_a_block_are_unfolded_and_what_they_say_of_the_body_is_left_out() -> None:
    block = b"Subject: a\r\n b\r\nContent-Type: multipart/mixed;\r\n boundary=x\r\nMIME-Version: 1.0\r\nx\r\n"
    assert header_block(block)[0] == (b"Subject", b"a b")
    raw = compose(header_block(block), "hello", "", [])
    assert raw == (
        b"Subject: a b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\nhello"
    )


@pytest.mark.parametrize(
    "document",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href=' javascript:alert(1)'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<iframe src=//evil.example></iframe>",
        "<form action=//evil.example><input name=password></form>",
        "<style>@import '//evil.example'</style>",
        "<p style='background:url(//evil.example)'>x</p>",
        "<svg><script>alert(1)</script></svg>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
        "<meta http-equiv=refresh content='0;url=//evil.example'>",
        "<base href=//evil.example>",
        "<link rel=stylesheet href=//evil.example>",
        "<img src='https://track.example/p.gif'>",
        "<img srcset='https://track.example/p.gif'>",
        "<table background='https://track.example/p.gif'><tr><td>x",
        "<object data=//evil.example></object><embed src=//evil.example>",
        "<!--><script>alert(1)</script>-->",
    ],
)
def test_no_html_runs_or_loads_anything(document: str) -> None:
    shown = (safe_html(document) or "").lower()
    forbidden = (
        "script",
        "onerror",
        "javascript:",
        "data:",
        "evil.example",
        "track.example",
        "style",
        "<form",
        "<input",
    )
    assert not any(word in shown for word in forbidden)


def test_html_that_a_reader_needs_stays() -> None:
    document = '<h1>Hi</h1><p>a <a href="https://shop.example/x">c</a></p><img src="cid:logo" alt="d">'
    shown = safe_html(document) or ""
    assert '<a href="https://shop.example/x" rel="noopener noreferrer nofollow">c</a>' in shown
    assert '<img src="cid:logo" alt="d">' in shown
    assert "<h1>Hi</h1>" in shown


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=300)
    | st.lists(st.sampled_from(["> q", "On 2026 a@b wrote:", "", "x"])).map("\n".join)
)
def test_no_word_is_lost_where_quotes_are_split_off(text: str) -> None:
    own, quoted = split_quotes(text)
    assert (own + quoted).split() == text.split() or "".join((own + quoted).split()) == "".join(text.split())


# --- reply addresses ----------------------------------------------------------------------------

OURS = "support@parley.example"


def test_a_reply_address_names_its_customer_with_any_valid_secret_and_in_any_case() -> None:
    address = reply_address(OURS, CUSTOMER, "new")
    assert address is not None
    assert named_customer(OURS, address, ["new", "old"]) == CUSTOMER
    assert named_customer(OURS, address, ["newer", "new"]) == CUSTOMER
    assert named_customer(OURS, address.upper(), ["new"]) == CUSTOMER
    assert len(address.partition("@")[0]) <= 64


def test_no_other_address_names_anybody() -> None:
    address = reply_address(OURS, CUSTOMER, "secret") or ""
    assert named_customer(OURS, address, ["other"]) is None
    assert named_customer(OURS, address, []) is None
    assert named_customer("sales@parley.example", address, ["secret"]) is None
    assert named_customer("sales@parley.example", address.replace("support", "sales"), ["secret"]) is None
    for index in range(len("support+"), address.index("@")):
        changed = "a" if address[index] != "a" else "b"
        forged = address[:index] + changed + address[index + 1 :]
        assert named_customer(OURS, forged, ["secret"]) is None


@given(st.text(max_size=80))
def test_no_address_makes_reading_it_fail(text: str) -> None:
    assert named_customer(OURS, text, ["secret"]) is None
    assert named_customer(OURS, f"support+{text}@parley.example", ["secret"]) is None


def test_where_there_is_no_room_or_no_such_id_there_is_no_reply_address() -> None:
    assert reply_address("a-mailbox-with-a-rather-long-name@parley.example", CUSTOMER, "secret") is None
    assert reply_address(OURS, "c-1", "secret") is None


# --- words of events ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (("5.1.1",), "5.1.1"),
        (("", "smtp; 550 5.7.26 no"), "5.7.26"),
        (("550 no",), "5.0.0"),
        (("5.1.1111",), "5.0.0"),
    ],
)
def test_a_bounces_code_is_found(texts: tuple[str, ...], code: str) -> None:
    assert enhanced_code(*texts) == code


@given(st.text(max_size=40))
def test_no_time_makes_reading_it_fail(text: str) -> None:
    at = iso_time(text)
    assert at is None or at.tzinfo is not None


def test_mail_is_verified_and_read_by_the_hundreds_a_second(webhook: Make, arrival: Circumstances) -> None:
    body = (
        b"Hello,\r\n\r\nwhere is it?\r\n\r\nOn Thu, Jan 1, 2026 Acme <a@acme.example> wrote:\r\n> old\r\n" * 3
    )
    requests = [of_provider("postmark", mail(body), webhook, delivery=str(n)) for n in range(300)]
    read("postmark", requests[0], arrival)
    started = time.process_time()
    for request in requests:
        read("postmark", request, arrival)
    assert time.process_time() - started < 0.6
