"""What each sender asks of its provider's API, and what it makes of every kind of answer."""

import asyncio
import base64
import email
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.policy import default
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.common import Attachment, Channel, Identifier
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.accounts import Account
from services.ingest.channels.items import provider_id
from services.notifier.channels import Means, Refused, Retry, Sent, Unknown
from services.notifier.channels.mail import compose, plain_subject
from services.notifier.channels.registry import SENDERS
from services.notifier.channels.sending import ANSWER_BYTES, REFUSALS
from tests import recorded

OURS = UUID("0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11")
CALLBACK = "https://hooks.example.com/ingest/v1/twilio-sms/demo"
SECRETS = {"account_sid": "AC1", "auth_token": "token-1", "access_token": "access-1", "token": "relay-1"}
ADDRESSES = {
    "twilio-sms": ("sms", "+15550001111", ("phone", "+15551230001")),
    "whatsapp": ("whatsapp", "900100200300", ("whatsapp", "15551230001")),
    "messenger": ("messenger", "100200300400", ("messenger", "PSID1")),
    "instagram": ("instagram", "178400500600", ("instagram", "IGSID1")),
    "mime": ("email", "support@parley.example", ("email", "ann@mail.example.org")),
    "webchat": ("chat", "demo-widget", ("visitor", "v1")),
}
RECORDED = recorded.sends()
ADDRESSES |= {
    name: (made["account"]["channel"], made["account"]["address"], (made["to"]["kind"], made["to"]["value"]))
    for name, made in RECORDED.items()
}
OVER_HTTP = sorted(ADDRESSES.keys() - {"webchat"})
Answer = Callable[[httpx.Request], httpx.Response]


class Files:
    """Attachments whose bytes and URL name them."""

    async def read(self, attachment: Attachment, /) -> bytes:
        return (attachment.media_id or "").encode()

    def link(self, attachment: Attachment, /) -> str:
        return f"https://files.example.com/{attachment.media_id}"


def account(provider: str, **changes: object) -> Account:
    channel, address, _ = ADDRESSES[provider]
    secrets = RECORDED[provider]["account"]["secrets"] if provider in RECORDED else SECRETS
    values = {
        "provider": provider,
        "account": "demo",
        "channel": channel,
        "address": address,
        "inbox": "support",
    }
    return Account.model_validate(
        values | {"secrets": secrets, "api_base": "https://api.example.com/"} | changes
    )


def message(provider: str, *, automatic: bool = False, **personal: object) -> MessageSend:
    channel, _, (kind, value) = ADDRESSES[provider]
    defaults: dict[str, object] = {"to": Identifier(kind=kind, value=value), "text": "hello"}
    return MessageSend(
        id=OURS,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation=OURS,
        customer_id="c1",
        home="c1",
        seq=1,
        data=OutboundData(
            message_id=OURS,
            conversation_id="k1",
            provider=provider,
            account="demo",
            channel=Channel(channel),
            automatic=automatic,
        ),
        personal=OutboundPersonal.model_validate(defaults | personal),
    )


async def send(
    provider: str, answer: Answer, ours: Account | None = None, what: MessageSend | None = None
) -> Sent:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        sender = SENDERS[provider].send
        return await sender(
            Means(client, CALLBACK, Files()), ours or account(provider), what or message(provider)
        )


def says(status: int, body: object = None, **headers: str) -> Answer:
    return lambda _: httpx.Response(
        status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def fails(error: type[Exception]) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error("no luck")

    return answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("ok", "result", "message_id", "error", "error_code", "code", "parameters"),
                    *("retry_after", "description", "sentMessages", "id", "sid", "messages", "message"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


async def result(provider: str, answer: Answer) -> Sent | Refused | Retry | Unknown:
    try:
        return await send(provider, answer)
    except (Refused, Retry, Unknown) as raised:
        return raised


async def outcome(provider: str, answer: Answer) -> str:
    told = await result(provider, answer)
    return told.kind if isinstance(told, Refused) else type(told).__name__.lower()


async def test_twilio_is_asked_with_basic_auth_and_a_callback_that_carries_our_id() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "https://api.example.com/2010-04-01/Accounts/AC1/Messages.json"
        assert base64.b64decode(request.headers["authorization"].split()[1]) == b"AC1:token-1"
        assert parse_qs(request.content.decode()) == {
            "To": ["+15551230001"],
            "From": ["+15550001111"],
            "Body": ["hello"],
            "StatusCallback": [f"{CALLBACK}?message_id={OURS}"],
        }
        return httpx.Response(201, json={"sid": "SM1", "status": "queued"})

    assert await send("twilio-sms", answer) == Sent("SM1")


async def test_whatsapp_is_asked_with_our_id_as_callback_data() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "https://api.example.com/v23.0/900100200300/messages"
        assert request.headers["authorization"] == "Bearer access-1"
        assert json.loads(request.content) == {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "15551230001",
            "type": "text",
            "text": {"body": "hello", "preview_url": False},
            "biz_opaque_callback_data": str(OURS),
        }
        return httpx.Response(200, json={"messages": [{"id": "wamid.OUT1"}]})

    assert await send("whatsapp", answer) == Sent("wamid.OUT1")


async def test_a_whatsapp_user_without_a_number_is_reached_by_user_id() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json={"messages": [{"id": "wamid.OUT1"}]})

    await send("whatsapp", answer, what=message("whatsapp", to={"kind": "whatsapp", "value": "NL.333"}))
    assert asked[0]["recipient"] == "NL.333"
    assert "to" not in asked[0]


async def test_a_mail_is_posted_as_bytes_and_known_by_our_message_id() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "https://api.example.com/messages"
        assert request.headers["authorization"] == "Bearer relay-1"
        assert request.headers["content-type"] == "message/rfc822"
        assert request.content == compose("support@parley.example", message("mime"))
        return httpx.Response(202)

    assert await send("mime", answer) == Sent(f"<{OURS}@parley.example>")


def cases(part: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, case) for name, made in RECORDED.items() for case in made.get(part, ())]


@pytest.mark.parametrize(("provider", "case"), cases("asks"))
async def test_a_provider_is_asked_as_recorded(provider: str, case: dict[str, Any]) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503)

    with pytest.raises(Retry):
        await send(provider, answer, what=message(provider, **case["message"]))
    (request,) = asked
    assert request.url == case["url"]
    assert json.loads(request.content) == case["json"]
    for name, value in case.get("headers", {}).items():
        assert request.headers[name] == value


@pytest.mark.parametrize(("provider", "case"), cases("refuses"))
async def test_what_no_provider_would_send_is_refused_before_it_is_asked(
    provider: str, case: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as refused:
        await send(provider, fails(AssertionError), what=message(provider, **case["message"]))
    assert (refused.value.code, refused.value.kind) == (case["code"], case["kind"])


@pytest.mark.parametrize(("provider", "case"), cases("answers"))
async def test_an_answer_means_what_is_recorded(provider: str, case: dict[str, Any]) -> None:
    answer = says(case["status"], case.get("body"), **case.get("headers", {}))
    assert await outcome(provider, answer) == case["outcome"]
    match await result(provider, answer):
        case Sent(provider_message_id):
            assert provider_message_id == case["id"]
        case Retry() as retry:
            asks = (retry.after_seconds, retry.whole_account)
            assert asks == (case.get("after_seconds"), case["whole_account"])
        case Refused() as refused:
            assert refused.code == case.get("code", str(case["status"]))


@pytest.mark.parametrize("provider", OVER_HTTP)
async def test_no_answer_at_all_makes_a_sender_fail(provider: str) -> None:
    @given(status=st.integers(200, 599), body=st.binary(max_size=60) | st.builds(json_bytes, JSON))
    @settings(max_examples=150, deadline=None)
    def any_answer(status: int, body: bytes) -> None:
        told = asyncio.run(outcome(provider, lambda _: httpx.Response(status, content=body)))
        assert told in {"sent", "retry", "unknown", *REFUSALS}

    await asyncio.to_thread(any_answer)


async def test_web_chat_asks_nobody() -> None:
    assert await send("webchat", fails(AssertionError)) == Sent(str(OURS))


@pytest.mark.parametrize("provider", OVER_HTTP)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (fails(httpx.ConnectError), "retry"),
        (fails(httpx.ConnectTimeout), "retry"),
        (fails(httpx.PoolTimeout), "retry"),
        (fails(httpx.ReadTimeout), "unknown"),
        (fails(httpx.ReadError), "unknown"),
        (fails(httpx.WriteError), "unknown"),
        (fails(httpx.WriteTimeout), "unknown"),
        (fails(httpx.RemoteProtocolError), "unknown"),
        (fails(httpx.UnsupportedProtocol), "account_broken"),
        (says(429), "retry"),
        (says(503), "retry"),
        (says(500), "unknown"),
        (says(502), "unknown"),
        (says(504), "unknown"),
        (says(400), "rejected"),
        (says(401), "account_broken"),
        (says(403), "account_broken"),
        (says(404), "account_broken"),
        (says(302, location="https://elsewhere.example"), "account_broken"),
    ],
)
async def test_a_failure_without_the_providers_word_is_told_by_whether_it_may_have_been_taken(
    provider: str, answer: Answer, expected: str
) -> None:
    assert await outcome(provider, answer) == expected


@pytest.mark.parametrize(
    "body", [None, [], {}, {"sid": ""}, {"sid": 5}, {"messages": []}, {"messages": [5]}, "x"]
)
@pytest.mark.parametrize("provider", ["twilio-sms", "whatsapp", "messenger", "instagram"])
async def test_an_acceptance_without_an_id_is_unknown(provider: str, body: object) -> None:
    assert await outcome(provider, says(200, body)) == "unknown"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 21610, "opted_out"),
        (400, 63014, "opted_out"),
        (400, 63016, "outside_window"),
        (400, 21211, "invalid_recipient"),
        (400, 21614, "invalid_recipient"),
        (400, 63024, "invalid_recipient"),
        (401, 20003, "account_broken"),
        (403, 99999, "account_broken"),
        (400, 30007, "rejected"),
        (400, 99999, "rejected"),
        (429, 20429, "retry"),
        (400, 63018, "retry"),
        (500, 20500, "retry"),
        (500, 99999, "unknown"),
        (503, 99999, "retry"),
    ],
)
async def test_twilios_codes(status: int, code: int, expected: str) -> None:
    assert await outcome("twilio-sms", says(status, {"code": code, "message": "To +15551230001"})) == expected


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 131047, "outside_window"),
        (400, 131050, "opted_out"),
        (400, 131026, "invalid_recipient"),
        (400, 131021, "invalid_recipient"),
        (400, 131030, "invalid_recipient"),
        (401, 190, "account_broken"),
        (401, 0, "account_broken"),
        (403, 200, "account_broken"),
        (403, 299, "account_broken"),
        (403, 131031, "account_broken"),
        (400, 131049, "rejected"),
        (400, 130472, "rejected"),
        (400, 131051, "rejected"),
        (400, 999999, "rejected"),
        (400, 130429, "retry"),
        (400, 80007, "retry"),
        (400, 4, "retry"),
        (500, 131000, "retry"),
        (500, 2, "retry"),
        (500, 999999, "unknown"),
    ],
)
async def test_metas_codes(status: int, code: int, expected: str) -> None:
    assert await outcome("whatsapp", says(status, {"error": {"code": code, "message": "x"}})) == expected


async def test_meta_may_say_itself_that_a_fault_passes() -> None:
    body = {"error": {"code": 999999, "is_transient": True}}
    assert await outcome("whatsapp", says(500, body)) == "retry"


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), ("²", None), ("9" * 9, None)])
async def test_a_wait_the_provider_asks_for_is_kept(header: str, seconds: float | None) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers=[(b"retry-after", header.encode("utf-8"))])

    with pytest.raises(Retry) as retry:
        await send("twilio-sms", answer)
    assert retry.value.after_seconds == seconds


async def test_one_user_may_only_be_written_to_every_six_seconds() -> None:
    with pytest.raises(Retry) as retry:
        await send("whatsapp", says(400, {"error": {"code": 131056}}))
    assert retry.value.after_seconds == 6


async def test_a_refusal_never_repeats_the_providers_words() -> None:
    with pytest.raises(Refused) as refused:
        await send("twilio-sms", says(400, {"code": 21211, "message": "+15551230001 is not valid"}))
    assert "15551230001" not in f"{refused.value} {refused.value.detail}"
    assert (refused.value.code, refused.value.kind) == ("21211", "invalid_recipient")


@pytest.mark.parametrize("provider", OVER_HTTP)
async def test_an_account_without_its_secret_is_broken_and_asks_nobody(provider: str) -> None:
    with pytest.raises(Refused) as refused:
        await send(provider, fails(AssertionError), account(provider, secrets={}))
    assert refused.value.kind == "account_broken"


async def test_a_mail_account_without_a_relay_is_broken() -> None:
    with pytest.raises(Refused, match="account_broken"):
        await send("mime", fails(AssertionError), account("mime", api_base=None))


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Lamp", "Re: Lamp"),
        ("Re: Lamp", "Re: Lamp"),
        ("RE: Re: AW: re[2]: Lamp", "Re: Lamp"),
        ("Regarding: x", "Re: Regarding: x"),
        ("", "Re: Your message"),
        (None, "Re: Your message"),
        ("a\r\nBcc: eve@x.example", "Re: a Bcc: eve@x.example"),
    ],
)
def test_a_reply_has_one_prefix(subject: str | None, expected: str) -> None:
    what = message("mime", subject=subject, in_reply_to="<m1@mail.example.org>")
    assert plain_subject(what) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Your lamp", "Your lamp"),
        ("Re: Lamp", "Re: Lamp"),
        ("a\r\nBcc: eve@x.example", "a Bcc: eve@x.example"),
        (" ", "Re: Your message"),
    ],
)
def test_a_mail_that_answers_nothing_has_its_own_subject(subject: str, expected: str) -> None:
    assert plain_subject(message("mime", subject=subject)) == expected


def read(raw: bytes) -> email.message.EmailMessage:
    parsed = email.message_from_bytes(raw, policy=default)
    assert isinstance(parsed, email.message.EmailMessage)
    return parsed


def test_a_mail_stands_under_the_one_it_answers() -> None:
    what = message(
        "mime",
        text="Grüße\n.\nFrom here",
        subject="Öffnung",
        in_reply_to="<m2@mail.example.org>",
        references=("<m1@mail.example.org>", "not an id", "<m2@mail.example.org>"),
    )
    mail = read(compose("support@parley.example", what))
    assert mail["Message-ID"] == f"<{OURS}@parley.example>"
    assert mail["In-Reply-To"] == "<m2@mail.example.org>"
    assert mail["References"].split() == ["<m1@mail.example.org>", "<m2@mail.example.org>"]
    assert mail["Subject"] == "Re: Öffnung"
    assert (mail["From"], mail["To"]) == ("support@parley.example", "ann@mail.example.org")
    assert mail["Date"].datetime == datetime(2026, 1, 1, tzinfo=UTC)
    assert mail.get_content().splitlines() == ["Grüße", ".", "From here"]
    assert mail["Auto-Submitted"] is None


def test_an_automatic_mail_says_so() -> None:
    mail = read(compose("support@parley.example", message("mime", automatic=True)))
    assert mail["Auto-Submitted"] == "auto-replied"


def test_a_mail_that_answers_something_without_an_id_starts_a_thread() -> None:
    mail = read(compose("support@parley.example", message("mime", in_reply_to="sha256:abc")))
    assert mail["In-Reply-To"] is None
    assert mail["References"] is None


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n\x00:<>@"), max_size=60)


@given(
    text=HOSTILE,
    subject=HOSTILE,
    parent=HOSTILE,
    references=st.lists(HOSTILE | st.from_regex(r"<[a-z]{1,240}@x>", fullmatch=True), max_size=40),
    to=HOSTILE.filter(bool),
)
def test_no_value_adds_a_header_or_breaks_a_line(
    text: str, subject: str, parent: str, references: list[str], to: str
) -> None:
    what = message(
        "mime",
        text=text,
        subject=subject,
        in_reply_to=f"<{parent}@x>",
        references=tuple(references),
        to={"kind": "email", "value": to},
    )
    head, _, body = compose("support@parley.example", what).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    names = [line.partition(b":")[0] for line in lines if line[:1] not in b" \t"]
    assert len(names) == len(set(names))
    assert set(names) <= {
        *(b"Message-ID", b"Date", b"From", b"To", b"Subject", b"In-Reply-To", b"References", b"MIME-Version"),
        *(b"Content-Type", b"Content-Transfer-Encoding"),
    }
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
    assert all(len(line) <= 998 for line in body.split(b"\r\n"))


@pytest.mark.parametrize(
    ("provider", "status", "body", "whole"),
    [
        ("twilio-sms", 429, {"code": 20429}, True),
        ("twilio-sms", 503, None, True),
        ("twilio-sms", 500, {"code": 20500}, False),
        ("whatsapp", 400, {"error": {"code": 130429}}, True),
        ("whatsapp", 400, {"error": {"code": 131056}}, False),
        ("whatsapp", 500, {"error": {"code": 131000}}, False),
        ("mime", 429, None, True),
    ],
)
async def test_a_limit_of_the_account_is_told_from_a_fault_of_one_message(
    provider: str, status: int, body: object, *, whole: bool
) -> None:
    with pytest.raises(Retry) as raised:
        await send(provider, says(status, body))
    assert raised.value.whole_account is whole


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    given = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 100_000_000:
            given += 65_536
            yield b"x" * 65_536

    with pytest.raises(Unknown):
        await send("twilio-sms", lambda _: httpx.Response(201, content=parts()))
    assert given < 2 * ANSWER_BYTES


@pytest.mark.parametrize(
    ("theirs", "kept"),
    [(" SM1\n", "SM1"), ("SM\x00\ud800", "SM\ufffd\ufffd"), ("x" * 2_000, "x" * 998)],
)
async def test_an_id_of_the_providers_is_kept_as_ingest_reads_it_in_receipts(theirs: str, kept: str) -> None:
    answer = httpx.Response(201, content=json.dumps({"sid": theirs}).encode())
    assert await send("twilio-sms", lambda _: answer) == Sent(kept)
    assert provider_id(theirs) == kept


async def test_an_id_of_blanks_is_none() -> None:
    with pytest.raises(Unknown):
        await send("twilio-sms", says(201, {"sid": " "}))
