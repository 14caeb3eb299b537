"""Proofs of mail providers: published and own vectors, forgeries, hostile headers, certificates, replays."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.accounts import Account
from services.ingest.certificates import SnsCertificates
from services.ingest.channels import mailgun, postmark, sendgrid, ses, sns
from services.ingest.channels.registry import PROVIDERS
from services.ingest.proofs import Proofs
from services.ingest.webhook import Webhook

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-inbound"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem"
OWN_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUVw9brnjlrkE0/7Kf1T9zQzB6Ze/N13KUVrQpsO0A19FNr46UPMY+/mlR1kCoiFQK+8NV+CM"
    "U7LMClbxfZ+TVA=="
)
OWN_BODY = b'--x\r\nContent-Disposition: form-data; name="to"\r\n\r\nsupport@parse.example.com\r\n--x--\r\n'
OWN_SIGNATURE = (
    "MEQCICyzsf6Y7ydybdApLC8qmVni7+V18ewMqtM6ZYOlIYlDAiAVfRt4mtd7c/cpJ8zWxoW/dVM9AnQkPMwfTpDS5LMWcA=="
)
MAILGUN_KEY = "mailgun_http_webhook_signing_key_01"
MAILGUN_TOKEN = "a3f1c2d4e5b60718293a4b5c6d7e8f90123456789abcdef012"
MAILGUN_SIGNATURE = "84c22f7e955639c3244fb5d9d237ea0be1e4159438d67bb498daec7a0a649182"


def account(provider: str, **secrets: str) -> Account:
    return Account(
        provider=provider,
        account="demo",
        channel="email",
        address="support@parley.example",
        inbox="support",
        secrets=secrets,
    )


def request(body: bytes, **headers: str) -> Webhook:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Webhook("POST", "/ingest/v1/x/demo", "", named, body, "https://hooks.example.com")


# --- SendGrid -----------------------------------------------------------------------------------


def signed(body: bytes, signature: str = OWN_SIGNATURE, timestamp: str = "1767225600") -> Webhook:
    return request(
        body,
        x_twilio_email_event_webhook_signature=signature,
        x_twilio_email_event_webhook_timestamp=timestamp,
    )


def test_sendgrids_signature_covers_timestamp_and_raw_body() -> None:
    ours = account("sendgrid", public_key=OWN_KEY)
    assert sendgrid.verify(signed(OWN_BODY), ours)
    assert not sendgrid.verify(signed(OWN_BODY.replace(b"\r\n", b"\n")), ours)
    assert not sendgrid.verify(signed(OWN_BODY.strip()), ours)
    assert not sendgrid.verify(signed(OWN_BODY, timestamp="1767225601"), ours)
    assert not sendgrid.verify(signed(OWN_BODY), account("sendgrid", public_key="AAAA"))
    assert not sendgrid.verify(signed(OWN_BODY), account("sendgrid", public_key="no key"))


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64!", "\xff", OWN_SIGNATURE + "=", "\ud800"])
def test_a_malformed_sendgrid_signature_is_refused(signature: str) -> None:
    assert not sendgrid.verify(signed(OWN_BODY, signature), account("sendgrid", public_key=OWN_KEY))


def test_an_account_with_a_public_key_takes_nothing_on_a_password() -> None:
    both = account("sendgrid", public_key=OWN_KEY, username="hook", password="s3cret")
    assert not sendgrid.verify(request(OWN_BODY, authorization="Basic aG9vazpzM2NyZXQ="), both)


# --- basic auth ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", [postmark.verify, sendgrid.verify])
def test_basic_auth_is_compared_whole(verify: Callable[[Webhook, Account], bool]) -> None:
    ours = account("x", username="hook", password="s3cret")
    assert verify(request(b"", authorization="Basic aG9vazpzM2NyZXQ="), ours)
    wrong = (
        "",
        "Basic",
        "Basic !",
        "Bearer aG9vazpzM2NyZXQ=",
        "Basic aG9vazo=",
        "Basic \xff",
        "Basic \ud800",
    )
    assert not any(verify(request(b"", authorization=each), ours) for each in wrong)


@pytest.mark.parametrize("provider", ["sendgrid", "mailgun", "postmark", "ses"])
def test_an_account_without_secrets_accepts_nothing(provider: str) -> None:
    empty = base64.b64encode(b":").decode()
    body = json.dumps({"signature": {"timestamp": "", "token": "", "signature": ""}}).encode()
    webhook = request(body, authorization=f"Basic {empty}", content_type="application/json")
    assert not PROVIDERS[provider].verify(webhook, account(provider))


# --- Mailgun ------------------------------------------------------------------------------------


def mailgun_form(
    body: str = "hello", *, token: str = MAILGUN_TOKEN, signature: str = MAILGUN_SIGNATURE
) -> Webhook:
    form = f"body-plain={body}&from=ann%40x.example&timestamp=1767225600&token={token}&signature={signature}"
    return request(form.encode(), content_type="application/x-www-form-urlencoded")


def test_mailguns_signature_covers_timestamp_and_token() -> None:
    ours = account("mailgun", signing_key=MAILGUN_KEY)
    assert mailgun.verify(mailgun_form(), ours)
    assert not mailgun.verify(mailgun_form(token=MAILGUN_TOKEN[:-1]), ours)
    assert not mailgun.verify(mailgun_form(signature="%FF"), ours)
    assert not mailgun.verify(mailgun_form(), account("mailgun", signing_key="another"))
    event = {"signature": {"timestamp": "1767225600", "token": MAILGUN_TOKEN, "signature": MAILGUN_SIGNATURE}}
    assert mailgun.verify(request(json.dumps(event).encode(), content_type="application/json"), ours)
    assert not mailgun.verify(request(b"\xff", content_type="multipart/form-data"), ours)


def test_mailguns_own_fields_come_after_user_variables_of_the_same_name() -> None:
    assert mailgun.verify(
        request(b"token=mine&timestamp=1&signature=x&" + mailgun_form().body),
        account("mailgun", signing_key=MAILGUN_KEY),
    )


class Nonces:
    """In memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def admit(self, name: str, content: str, until: datetime) -> bool:
        assert until >= datetime(2026, 1, 1, 9, tzinfo=UTC)
        return self.kept.setdefault(name, content) == content


class NoCertificates:
    async def get(self, url: str) -> bytes:
        raise AssertionError(url)

    async def confirm(self, url: str) -> None:
        raise AssertionError(url)


def proofs() -> Proofs:
    return Proofs(NoCertificates(), Nonces(), timedelta(hours=9))


async def test_a_captured_mailgun_signature_carries_no_other_body_but_a_redelivery_is_taken() -> None:
    row, ours, known = PROVIDERS["mailgun"], account("mailgun", signing_key=MAILGUN_KEY), proofs()
    soon = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    first = mailgun_form()
    assert await known.admits(row, first, ours, soon)
    assert await known.admits(row, mailgun_form(), ours, soon)
    assert not await known.admits(row, mailgun_form("changed"), ours, soon)
    again = "--b\r\n" + "".join(
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b\r\n'
        for name, value in [
            ("body-plain", "hello"),
            ("from", "ann@x.example"),
            ("timestamp", "1767225600"),
            ("token", MAILGUN_TOKEN),
            ("signature", MAILGUN_SIGNATURE),
        ]
    ).removesuffix("\r\n")
    other_form = request((again + "--\r\n").encode(), content_type="multipart/form-data; boundary=b")
    assert await known.admits(row, other_form, ours, soon)


@pytest.mark.parametrize(
    ("hours", "taken"), [(-1, False), (-0.05, True), (0, True), (8, True), (9.5, False), (24 * 365, False)]
)
async def test_a_mailgun_signature_is_good_for_as_long_as_mailgun_tries_again(
    hours: float,
    taken: bool,  # noqa: FBT001  (a test's parameter)
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)

    known = Proofs(NoCertificates(), Nonces(), timedelta(hours=9))
    row = PROVIDERS["mailgun"]
    assert await known.admits(row, mailgun_form(), account("mailgun", signing_key="k"), at) is taken


@pytest.mark.parametrize("timestamp", ["", "soon", "-1", "1e9", "²", "9" * 40])
async def test_a_mailgun_time_that_is_none_is_refused(timestamp: str) -> None:
    form = f"timestamp={timestamp}&token=t&signature=s".encode()
    assert not await proofs().admits(PROVIDERS["mailgun"], request(form), account("mailgun"), NOW)


# --- Amazon SNS ---------------------------------------------------------------------------------

KEY = rsa.generate_private_key(65537, 2048)


def certificate(name: str = "sns.amazonaws.com", *, until: datetime = NOW + timedelta(days=90)) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=90))
        .not_valid_after(until)
        .sign(KEY, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM)


PEM = certificate()
_COVERED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ),
}


def notification(version: str = "1", kind: str = "Notification", **changes: str) -> dict[str, str]:
    """Return a signed document; `changes` are part of what is signed."""
    document = {
        "Type": kind,
        "MessageId": "22b80b92",
        "TopicArn": TOPIC,
        "Message": 'a "quoted"\nmessage é \U0001f600',
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **changes,
    }
    text = "".join(f"{name}\n{document[name]}\n" for name in _COVERED[kind] if name in document)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303  (SNS's own)
    signature = KEY.sign(text.encode(), padding.PKCS1v15(), algorithm)
    return {**document, "Signature": base64.b64encode(signature).decode()}


def arrived(document: object, pem: bytes = PEM) -> Webhook:
    return Webhook("POST", "/", "", {}, json.dumps(document).encode(), "https://h", certificate=pem)


SES = account("ses", topic_arn=TOPIC)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "changes", [{}, {"Subject": "Amazon SES Email Receipt Notification"}, {"Subject": ""}]
)
def test_a_notification_is_verified_with_and_without_a_subject(version: str, changes: dict[str, str]) -> None:
    assert ses.verify(arrived(notification(version, **changes)), SES)


@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "Subject", "Type", "SignatureVersion"])
def test_any_change_to_a_notification_is_noticed(name: str) -> None:
    document = notification(Subject="s")
    assert ses.verify(arrived(document), SES)
    assert not ses.verify(arrived({**document, name: "2" if name == "SignatureVersion" else "changed"}), SES)


def test_a_foreign_topic_is_refused_though_amazon_signed_it() -> None:
    foreign = "arn:aws:sns:eu-west-1:999999999999:mallory"
    for kind in _COVERED:
        document = notification(kind=kind, TopicArn=foreign, Token="t", SubscribeURL="https://x.example")
        assert not ses.verify(arrived(document), SES)
        assert ses.certificate_url(arrived(document), SES) is None


def test_a_confirmation_asks_amazon_itself_and_never_the_url_it_names() -> None:
    document = notification(
        kind="SubscriptionConfirmation", Token="2336412f37", SubscribeURL="http://169.254.169.254/"
    )
    webhook = arrived(document)
    assert ses.verify(webhook, SES)
    assert ses.confirmation_url(webhook) == (
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Version=2010-03-31"
        "&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Ases-inbound&Token=2336412f37"
    )
    assert ses.confirmation_url(arrived(notification())) is None
    china = TOPIC.replace("arn:aws:sns:eu-west-1", "arn:aws-cn:sns:cn-north-1")
    url = sns.confirmation_url({"TopicArn": china, "Token": "t"})
    assert url is not None
    assert url.startswith("https://sns.cn-north-1.amazonaws.com.cn/?")
    assert sns.confirmation_url({"TopicArn": "arn:aws:sns:x/../y:1:z", "Token": "t"}) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.pem?x",
        "https://sns.eu-west-1.amazonaws.com/../a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.crt",
        "https://sns.eu-west-1.amazonaws.com/a.pem\n",
        "https://sns..amazonaws.com/a.pem",
        "https://snsxeu-west-1.amazonaws.com/a.pem",
        "https://SNS.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-wést-1.amazonaws.com/a.pem",
        "https://evilsns.eu-west-1.amazonaws.com/a.pem",
        "https://s3.amazonaws.com/bucket/a.pem",
        "",
    ],
)
def test_no_certificate_but_amazons_own_is_asked_for(url: str) -> None:
    document = notification(SigningCertURL=url)
    assert ses.certificate_url(arrived(document), SES) is None
    assert not ses.verify(arrived(document), SES)


def test_a_certificate_in_china_is_amazons_own_too() -> None:
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem"
    assert ses.certificate_url(arrived(notification(SigningCertURL=url)), SES) == url


@pytest.mark.parametrize(
    "pem", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_without_a_certificate_nothing_is_verified(pem: bytes) -> None:
    assert not ses.verify(arrived(notification(), pem), SES)


def test_a_certificate_for_another_name_is_not_sns() -> None:
    assert not ses.verify(arrived(notification(), certificate("evil.example")), SES)


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"Type": []}'])
def test_no_body_makes_the_verification_fail(body: bytes) -> None:
    webhook = Webhook("POST", "/", "", {}, body, "https://h", certificate=PEM)
    assert not ses.verify(webhook, SES)
    assert ses.certificate_url(webhook, SES) is None


class Amazon:
    """Answers what it is asked for, and remembers it."""

    def __init__(self, answer: httpx.Response | type[Exception]) -> None:
        self.answer, self.asked, self.now = answer, list[str](), NOW

    def certificates(self, base_url: str | None = None) -> SnsCertificates:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answered))
        return SnsCertificates(client, lambda: self.now, base_url)

    def _answered(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if isinstance(self.answer, httpx.Response):
            return self.answer
        raise self.answer("no luck")


async def test_a_certificate_is_fetched_once_a_day() -> None:
    amazon = Amazon(httpx.Response(200, content=PEM))
    cache = amazon.certificates()
    assert [await cache.get(CERTIFICATE_URL) for _ in range(3)] == [PEM] * 3
    assert amazon.asked == [CERTIFICATE_URL]
    amazon.now += timedelta(hours=25)
    await cache.get(CERTIFICATE_URL)
    assert len(amazon.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(302, headers={"location": "http://169.254.169.254/"}),
        httpx.Response(200, content=b"x" * 100_000),
        httpx.Response(200, content=b"no certificate"),
        httpx.Response(200, content=certificate(until=NOW - timedelta(days=1))),
    ],
)
async def test_what_is_no_valid_certificate_is_not_asked_for_again_at_once(answer: httpx.Response) -> None:
    amazon = Amazon(answer)
    cache = amazon.certificates()
    assert [await cache.get(CERTIFICATE_URL) for _ in range(3)] == [b""] * 3
    assert amazon.asked == [CERTIFICATE_URL]


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.ConnectTimeout, httpx.ReadError])
async def test_amazon_being_away_is_a_transient_fault(answer: httpx.Response | type[Exception]) -> None:
    amazon = Amazon(answer)
    cache = amazon.certificates()
    with pytest.raises(OSError, match=r"503|Connect|Read"):
        await cache.get(CERTIFICATE_URL)
    amazon.answer = httpx.Response(200, content=PEM)
    assert await cache.get(CERTIFICATE_URL) == PEM


async def test_many_urls_do_not_fill_the_memory() -> None:
    amazon = Amazon(httpx.Response(404))
    cache = amazon.certificates()
    for number in range(200):
        await cache.get(CERTIFICATE_URL.replace("0a1b", str(number)))
    assert len(cache._known) <= 64  # noqa: SLF001  (its size is the point)


async def test_a_subscription_that_is_not_confirmed_is_a_fault() -> None:
    amazon = Amazon(httpx.Response(200))
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    await amazon.certificates("http://127.0.0.1:8080/dev/providers/sns").confirm(url)
    assert amazon.asked == ["http://127.0.0.1:8080/dev/providers/sns/?Action=ConfirmSubscription"]
    amazon.answer = httpx.Response(403)
    with pytest.raises(OSError, match="403"):
        await amazon.certificates().confirm(url)


# --- all ----------------------------------------------------------------------------------------

HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "authorization",
            "content-type",
            "x-twilio-email-event-webhook-signature",
            "x-twilio-email-event-webhook-timestamp",
        ]
    ),
    st.text(max_size=40)
    | st.sampled_from(["multipart/form-data; boundary=x", "application/json", "Basic ="]),
)


@settings(max_examples=200, deadline=None)
@given(
    headers=HEADERS, body=st.binary(max_size=200) | st.sampled_from([OWN_BODY, b"--x\r\n\r\n--x--", b"{}"])
)
def test_no_request_makes_a_verification_fail(headers: dict[str, str], body: bytes) -> None:
    webhook = Webhook("POST", "/", "", headers, body, "https://h", certificate=PEM)
    secrets = {
        "public_key": OWN_KEY,
        "signing_key": "k",
        "username": "u",
        "password": "p",
        "topic_arn": TOPIC,
    }
    for provider in ("sendgrid", "mailgun", "postmark", "ses"):
        row, ours = PROVIDERS[provider], account(provider, **secrets)
        assert not row.verify(webhook, ours)
        if row.certificate_url:
            row.certificate_url(webhook, ours)


def test_the_hmac_of_the_vectors_is_what_openssl_makes_of_it() -> None:
    text = b"1767225600" + MAILGUN_TOKEN.encode()
    assert hmac.new(MAILGUN_KEY.encode(), text, hashlib.sha256).hexdigest() == MAILGUN_SIGNATURE
