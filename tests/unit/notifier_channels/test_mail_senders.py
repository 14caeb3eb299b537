"""What the senders of mail ask of each provider's API, and what they make of its answers."""

import base64
import email
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

import httpx
import pytest

from schemas.common import Attachment, Channel, Identifier
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.accounts import Account
from services.chassis.reply_address import named_customer
from services.notifier.channels import Means, Refused, Retry, Sent, Unknown
from services.notifier.channels.registry import SENDERS
from services.notifier.channels.sending import refused as refusal

OURS = UUID("0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11")
HOME = "11111111222233334444555555555555"
ADDRESS = "support@parley.example"
MESSAGE_ID = f"<{OURS}@parley.example>"
SECRETS = {
    "token": "relay-1",
    "api_key": "key-1",
    "server_token": "server-1",
    "access_key_id": "AKIAEXAMPLE",
    "secret_access_key": "secret-1",
    "region": "eu-west-1",
    "reply_secret": "reply-1",
}
MAILERS = ("mime", "sendgrid", "mailgun", "postmark", "ses")
Answer = Callable[[httpx.Request], httpx.Response]


class Files:
    """The bytes of every attachment are its name."""

    async def read(self, attachment: Attachment, /) -> bytes:
        if attachment.filename == "gone.pdf":
            raise refusal("no file", "rejected")
        return (attachment.filename or "nameless").encode()

    def link(self, _attachment: Attachment, /) -> str:
        raise AssertionError


def account(provider: str, **secrets: str) -> Account:
    return Account(
        provider=provider,
        account="demo",
        channel=Channel.EMAIL,
        address=ADDRESS,
        inbox="support",
        secrets=SECRETS | secrets,
        api_base="https://api.example.com/base/",
    )


def message(provider: str, *, automatic: bool = False, **personal: object) -> MessageSend:
    defaults: dict[str, object] = {
        "to": Identifier(kind="email", value="ann@mail.example.org"),
        "text": "Grüße\n.\nFrom here",
        "subject": "Re: Öffnung",
        "in_reply_to": "<m2@mail.example.org>",
        "references": ("<m1@mail.example.org>",),
    }
    return MessageSend(
        id=OURS,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation=OURS,
        customer_id=HOME,
        home=HOME,
        seq=1,
        data=OutboundData(
            message_id=OURS,
            conversation_id="k1",
            provider=provider,
            account="demo",
            channel=Channel.EMAIL,
            automatic=automatic,
        ),
        personal=OutboundPersonal.model_validate(defaults | personal),
    )


ACCEPTED: dict[str, tuple[httpx.Response, str]] = {
    "mime": (httpx.Response(202), MESSAGE_ID),
    "sendgrid": (httpx.Response(202, headers={"X-Message-Id": "14c5d75ce93"}), "14c5d75ce93"),
    "mailgun": (httpx.Response(200, json={"id": MESSAGE_ID, "message": "Queued."}), MESSAGE_ID),
    "postmark": (httpx.Response(200, json={"ErrorCode": 0, "MessageID": "b7bc2f4a"}), "b7bc2f4a"),
    "ses": (httpx.Response(200, json={"MessageId": "0102018f"}), "0102018f"),
}


async def send(provider: str, answer: Answer, what: MessageSend | None = None, **secrets: str) -> Sent:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        means = Means(client, "", Files())
        return await SENDERS[provider].send(means, account(provider, **secrets), what or message(provider))


async def asked(provider: str, what: MessageSend | None = None) -> httpx.Request:
    """Return the one request of a message that is accepted."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return ACCEPTED[provider][0]

    assert await send(provider, answer, what) == Sent(ACCEPTED[provider][1])
    (request,) = requests
    return request


async def outcome(provider: str, response: httpx.Response) -> str:
    try:
        await send(provider, lambda _: response)
    except Refused as refused:
        return refused.kind
    except Retry as retry:
        return f"retry {retry.after_seconds}" if retry.whole_account else "retry"
    except Unknown:
        return "unknown"
    return "sent"


def parsed(raw: bytes) -> EmailMessage:
    mail: Any = email.message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def raw_of(provider: str, request: httpx.Request) -> bytes:
    """Return the whole mail of a provider that takes one."""
    if provider == "ses":
        return base64.b64decode(json.loads(request.content)["Content"]["Raw"]["Data"])
    if provider == "mailgun":
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = parsed(head + request.content)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        assert parts["to"].get_payload() == "ann@mail.example.org"
        assert parts["v:parley_id"].get_payload() == str(OURS)
        return request.content.partition(b"message/rfc822\r\n\r\n")[2].rpartition(b"\r\n--")[0]
    return request.content


@pytest.mark.parametrize("provider", ["mime", "mailgun", "ses"])
async def test_a_whole_mail_is_threaded_answered_at_a_signed_address_and_carries_its_files(
    provider: str,
) -> None:
    files = [Attachment(filename="a/ü.pdf", content_type="application/pdf"), Attachment(content_type="x")]
    mail = parsed(raw_of(provider, await asked(provider, message(provider, attachments=files))))
    assert mail["Message-ID"] == MESSAGE_ID
    assert mail["In-Reply-To"] == "<m2@mail.example.org>"
    assert str(mail["References"]).split() == ["<m1@mail.example.org>", "<m2@mail.example.org>"]
    assert mail["Subject"] == "Re: Öffnung"
    assert mail["Date"].datetime == datetime(2026, 1, 1, tzinfo=UTC)
    assert named_customer(ADDRESS, str(mail["Reply-To"]), ["reply-1"]) == HOME
    assert mail["Auto-Submitted"] is None
    text, first, second = mail.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == "Grüße\n.\nFrom here\n"
    assert (first.get_filename(), first.get_content_type()) == ("ü.pdf", "application/pdf")
    assert first.get_content() == "a/ü.pdf".encode()
    assert (second.get_filename(), second.get_content_type()) == ("file", "application/octet-stream")


@pytest.mark.parametrize("provider", ["mime", "mailgun", "ses"])
async def test_a_mail_nobody_wrote_says_so(provider: str) -> None:
    mail = parsed(raw_of(provider, await asked(provider, message(provider, automatic=True))))
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["X-Auto-Response-Suppress"] == "All"


async def test_sendgrid_is_asked_with_our_id_as_custom_argument() -> None:
    files = [Attachment(filename="a.pdf", content_type="application/pdf")]
    request = await asked("sendgrid", message("sendgrid", attachments=files, automatic=True))
    assert request.url == "https://api.example.com/base/v3/mail/send"
    assert request.headers["authorization"] == "Bearer key-1"
    body = json.loads(request.content)
    assert named_customer(ADDRESS, body.pop("reply_to")["email"], ["reply-1"]) == HOME
    assert body == {
        "personalizations": [
            {"to": [{"email": "ann@mail.example.org"}], "custom_args": {"parley_id": str(OURS)}}
        ],
        "from": {"email": ADDRESS},
        "subject": "Re: Öffnung",
        "content": [{"type": "text/plain", "value": "Grüße\n.\nFrom here"}],
        "headers": {
            "Message-ID": MESSAGE_ID,
            "In-Reply-To": "<m2@mail.example.org>",
            "References": "<m1@mail.example.org> <m2@mail.example.org>",
            "Auto-Submitted": "auto-replied",
            "X-Auto-Response-Suppress": "All",
        },
        "attachments": [
            {
                "content": base64.b64encode(b"a.pdf").decode(),
                "filename": "a.pdf",
                "type": "application/pdf",
                "disposition": "attachment",
            }
        ],
    }


async def test_postmark_is_asked_to_keep_our_message_id() -> None:
    files = [Attachment(filename="a.pdf", content_type="application/pdf")]
    request = await asked("postmark", message("postmark", attachments=files, automatic=True))
    assert request.url == "https://api.example.com/base/email"
    assert request.headers["x-postmark-server-token"] == "server-1"
    body = json.loads(request.content)
    assert named_customer(ADDRESS, body.pop("ReplyTo"), ["reply-1"]) == HOME
    headers = {each["Name"]: each["Value"] for each in body.pop("Headers")}
    assert headers["Message-ID"] == MESSAGE_ID
    assert headers["X-PM-KeepID"] == "true"
    assert headers["In-Reply-To"] == "<m2@mail.example.org>"
    assert body == {
        "From": ADDRESS,
        "To": "ann@mail.example.org",
        "Subject": "Re: Öffnung",
        "TextBody": "Grüße\n.\nFrom here",
        "Metadata": {"parley_id": str(OURS)},
        "MessageStream": "outbound",
        "Attachments": [
            {
                "Name": "a.pdf",
                "Content": base64.b64encode(b"a.pdf").decode(),
                "ContentType": "application/pdf",
            }
        ],
    }


async def test_ses_is_asked_by_a_signed_request_with_our_id_as_tag() -> None:
    request = await asked("ses")
    assert request.url == "https://api.example.com/base/v2/email/outbound-emails"
    authorization = request.headers["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
    assert "/eu-west-1/ses/aws4_request" in authorization
    assert "host" in authorization
    body = json.loads(request.content)
    assert body["EmailTags"] == [{"Name": "parley_id", "Value": str(OURS)}]
    assert body["Destination"] == {"ToAddresses": ["ann@mail.example.org"]}
    assert parsed(raw_of("ses", request))["X-Parley-Id"] == str(OURS)


async def test_mailgun_is_asked_for_the_domain_of_the_address_or_the_one_that_is_set() -> None:
    request = await asked("mailgun")
    assert request.url == "https://api.example.com/base/v3/parley.example/messages.mime"
    assert base64.b64decode(request.headers["authorization"].split()[1]) == b"api:key-1"
    urls = []

    def answer(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url))
        return ACCEPTED["mailgun"][0]

    await send("mailgun", answer, domain="mg.parley.example")
    assert urls == ["https://api.example.com/base/v3/mg.parley.example/messages.mime"]


@pytest.mark.parametrize("provider", MAILERS)
async def test_an_account_that_signs_no_address_asks_for_answers_at_its_own(provider: str) -> None:
    bodies = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return ACCEPTED[provider][0]

    await send(provider, answer, reply_secret="")
    assert b"support+" not in bodies[0]


@pytest.mark.parametrize("provider", MAILERS)
async def test_a_file_that_is_not_to_be_had_is_refused_before_the_provider_is_asked(provider: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError

    with pytest.raises(Refused):
        await send(provider, answer, message(provider, attachments=[Attachment(filename="gone.pdf")]))


@pytest.mark.parametrize("provider", MAILERS)
async def test_no_identifier_but_an_address_is_written_to(provider: str) -> None:
    with pytest.raises(Refused, match="invalid_recipient"):
        await send(
            provider,
            lambda _: ACCEPTED[provider][0],
            message(provider, to=Identifier(kind="phone", value="+1")),
        )


@pytest.mark.parametrize("provider", MAILERS)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "account_broken"),
        (403, "account_broken"),
        (429, "retry None"),
        (503, "retry None"),
        (500, "unknown"),
    ],
)
async def test_an_answer_without_the_providers_word(provider: str, status: int, expected: str) -> None:
    assert await outcome(provider, httpx.Response(status)) == expected


@pytest.mark.parametrize("provider", ["sendgrid", "mailgun", "postmark", "ses"])
async def test_an_acceptance_without_an_id_is_unknown(provider: str) -> None:
    assert await outcome(provider, httpx.Response(200, json={})) == "unknown"


def error(status: int, content: object = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


THURSDAY = "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("provider", "answer", "expected"),
    [
        ("sendgrid", error(429, x_ratelimit_reset="1767225630", date=THURSDAY), "retry 30.0"),
        ("sendgrid", error(429, x_ratelimit_reset="0", date=THURSDAY), "retry None"),
        ("sendgrid", error(429, retry_after="7"), "retry 7.0"),
        (
            "sendgrid",
            error(400, {"errors": [{"message": "x", "field": "personalizations.0.to.0.email"}]}),
            "invalid_recipient",
        ),
        ("sendgrid", error(400, {"errors": [{"message": "x", "field": "content"}]}), "rejected"),
        ("sendgrid", error(400, {"errors": 5}), "rejected"),
        ("sendgrid", error(413), "rejected"),
        ("mailgun", error(404, {"message": "Domain not found"}), "retry"),
        (
            "mailgun",
            error(400, {"message": "to parameter is not a valid address. please check"}),
            "invalid_recipient",
        ),
        ("mailgun", error(400, {"message": "from parameter is missing"}), "rejected"),
        ("postmark", error(422, {"ErrorCode": 406, "Message": "inactive"}), "opted_out"),
        ("postmark", error(422, {"ErrorCode": 300, "Message": "Error parsing 'To': x"}), "invalid_recipient"),
        ("postmark", error(422, {"ErrorCode": 300, "Message": "Zero recipients"}), "rejected"),
        ("postmark", error(422, {"ErrorCode": 412, "Message": "pending"}), "account_broken"),
        ("postmark", error(401, {"ErrorCode": 10, "Message": "token"}), "account_broken"),
        ("postmark", error(429, {"ErrorCode": 429, "Message": "slow"}), "retry None"),
        ("postmark", error(200, {"ErrorCode": 406, "Message": "inactive"}), "opted_out"),
        ("postmark", error(200, {"ErrorCode": 0}), "unknown"),
        ("ses", error(429, {"message": "x"}, x_amzn_errortype="TooManyRequestsException:"), "retry None"),
        ("ses", error(400, {"message": "x"}, x_amzn_errortype="LimitExceededException"), "retry None"),
        ("ses", error(400, {"message": "x"}, x_amzn_errortype="SendingPausedException"), "account_broken"),
        ("ses", error(400, {"__type": "com.amazonaws#AccountSuspendedException"}), "account_broken"),
        (
            "ses",
            error(400, {"message": "Email address is not verified."}, x_amzn_errortype="MessageRejected"),
            "account_broken",
        ),
        ("ses", error(400, {"message": "bad content"}, x_amzn_errortype="MessageRejected"), "rejected"),
        ("ses", error(400, {"message": "x"}, x_amzn_errortype="MoonException"), "rejected"),
    ],
)
async def test_what_a_provider_says_is_understood(
    provider: str, answer: httpx.Response, expected: str
) -> None:
    assert await outcome(provider, answer) == expected
