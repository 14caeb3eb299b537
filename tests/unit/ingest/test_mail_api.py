"""What mail providers are answered: the table of `docs`, replays, certificates that are not to be had."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from schemas.common import BlobRef
from schemas.inbound import MessageReceived, WebhookQuarantined
from services.chassis.accounts import Accounts
from services.chassis.broker import Outgoing
from services.chassis.faults import BrokerUnavailable
from services.ingest.front import Front
from services.ingest.handlers import RECORD_BYTES, Intake
from services.ingest.proofs import Proofs
from services.ingest.settings import IngestSettings
from services.ingest.taking import Taking
from tests.unit.ingest.test_mail_proofs import (
    MAILGUN_SIGNATURE,
    MAILGUN_TOKEN,
    PEM,
    Nonces,
    notification,
)

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
BASIC = {"authorization": "Basic aG9vazpzM2NyZXQ="}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Log:
    """Stands in for Kafka."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.down = False

    async def publish(self, records: list[Outgoing]) -> None:
        if self.down:
            raise BrokerUnavailable
        self.records += records


class Blobs:
    def __init__(self) -> None:
        self.kept: list[bytes] = []

    async def put(self, data: bytes, content_type: str | None = None) -> BlobRef:
        self.kept.append(data)
        return BlobRef(ref=str(len(self.kept)), sha256="0" * 64, size=len(data), content_type=content_type)


class Amazon:
    """Stands in for what certificates and confirmations are asked of."""

    def __init__(self) -> None:
        self.down = False
        self.asked: list[str] = []

    async def get(self, url: str) -> bytes:
        self.asked.append(url)
        if self.down:
            raise ConnectionError
        return PEM

    async def confirm(self, url: str) -> None:
        self.asked.append(url)
        if self.down:
            raise ConnectionError


class Ingest:
    def __init__(self, accounts: Accounts) -> None:
        self.log, self.blobs, self.amazon, self.nonces = Log(), Blobs(), Amazon(), Nonces()
        proofs = Proofs(self.amazon, self.nonces, timedelta(hours=9))
        intake = Intake(accounts, self.log, self.blobs, lambda: NOW, uuid4, proofs)  # type: ignore[arg-type]
        app = Front(FastAPI(), Taking(intake, IngestSettings()))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")

    async def post(self, provider: str, content: bytes, **headers: str) -> httpx.Response:
        return await self.client.post(f"/ingest/v1/{provider}/demo", content=content, headers=headers)

    async def mailgun(self, text: str = "hello", signature: str = MAILGUN_SIGNATURE) -> httpx.Response:
        form = {
            "from": "ann@mail.example.org",
            "recipient": "support@mg.parley.example",
            "body-plain": text,
            "timestamp": "1767225600",
            "token": MAILGUN_TOKEN,
            "signature": signature,
        }
        return await self.post("mailgun", urlencode(form).encode(), **FORM)

    async def sns(self, document: dict[str, str]) -> httpx.Response:
        return await self.post("ses", json.dumps(document).encode(), **{"content-type": "text/plain"})

    def messages(self) -> list[MessageReceived]:
        return [
            MessageReceived.model_validate_json(record.value)
            for record in self.log.records
            if record.topic == "messages.inbound"
        ]


@pytest.fixture
async def ingest(accounts: Accounts) -> AsyncIterator[Ingest]:
    made = Ingest(accounts)
    yield made
    await made.client.aclose()


@pytest.mark.parametrize(
    ("provider", "status"), [("sendgrid", 403), ("mailgun", 406), ("postmark", 401), ("ses", 403)]
)
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[" * 10_000])
async def test_a_forged_webhook_is_answered_so_that_its_provider_does_what_is_right(
    ingest: Ingest, provider: str, status: int, body: bytes
) -> None:
    answer = await ingest.post(
        provider, body, authorization="Basic d3Jvbmc6", **{"content-type": "application/json"}
    )
    assert answer.status_code == status
    assert ingest.log.records == []
    assert ingest.amazon.asked == []
    assert ("www-authenticate" in answer.headers) == (provider == "postmark")


async def test_what_is_verified_and_cannot_be_read_is_kept_aside_and_answered_200(ingest: Ingest) -> None:
    answers = [
        await ingest.post("postmark", b"\xff", **BASIC),
        await ingest.post("sendgrid", b"--x", **BASIC, **{"content-type": "multipart/form-data; boundary=x"}),
        await ingest.sns(notification(Message="no JSON")),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    kept = [WebhookQuarantined.model_validate_json(record.value) for record in ingest.log.records]
    assert [each.data.provider for each in kept] == ["postmark", "sendgrid", "ses"]


async def test_a_replayed_mailgun_signature_is_406_and_a_redelivery_has_the_same_id(ingest: Ingest) -> None:
    answers = [await ingest.mailgun(), await ingest.mailgun(), await ingest.mailgun("forged")]
    assert [answer.status_code for answer in answers] == [200, 200, 406]
    first, again = ingest.messages()
    assert first.id == again.id
    assert first.personal.text == "hello"


async def test_a_mailgun_webhook_that_met_a_fault_of_ours_is_taken_when_it_comes_again(
    ingest: Ingest,
) -> None:
    ingest.log.down = True
    assert (await ingest.mailgun()).status_code == 503
    ingest.log.down = False
    assert (await ingest.mailgun()).status_code == 200


async def test_a_subscription_is_confirmed_once_it_is_verified(ingest: Ingest) -> None:
    url = "https://evil.example/"
    asked = notification(kind="SubscriptionConfirmation", Token="2336412f37", SubscribeURL=url)
    assert (await ingest.sns({**asked, "Token": "other"})).status_code == 403
    assert len(ingest.amazon.asked) == 1
    assert (await ingest.sns(asked)).status_code == 200
    assert ingest.amazon.asked[-1].startswith(
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    )
    assert ingest.log.records == []


@pytest.mark.parametrize("kind", ["Notification", "SubscriptionConfirmation"])
async def test_while_amazon_is_away_it_is_asked_to_try_again(ingest: Ingest, kind: str) -> None:
    ingest.amazon.down = True
    document = notification(kind=kind, Token="t", SubscribeURL="https://x.example")
    assert (await ingest.sns(document)).status_code == 503


async def test_a_foreign_topic_asks_nobody_for_a_certificate(ingest: Ingest) -> None:
    document = notification(TopicArn="arn:aws:sns:eu-west-1:999999999999:mallory")
    assert (await ingest.sns(document)).status_code == 403
    assert ingest.amazon.asked == []


async def test_the_mail_that_was_taken_apart_is_kept_whole(ingest: Ingest) -> None:
    document = {
        "MessageID": "1",
        "From": "ann@mail.example.org",
        "TextBody": "hello",
        "Attachments": [{"Name": "a.txt", "Content": "eA==", "ContentType": "text/plain"}],
    }
    assert (await ingest.post("postmark", json.dumps(document).encode(), **BASIC)).status_code == 200
    (message,) = ingest.messages()
    assert message.personal.raw is not None
    (raw,) = ingest.blobs.kept
    assert b"From: ann@mail.example.org" in raw
    assert b"filename*=utf-8''a.txt" in raw


@pytest.mark.parametrize(
    ("provider", "most_bytes"),
    [("sendgrid", 40_000_000), ("mailgun", 40_000_000), ("postmark", 40_000_000), ("ses", 1_000_000)],
)
async def test_a_mail_may_have_40_mb_and_what_sns_carries_a_few_hundred_kb(
    ingest: Ingest, provider: str, most_bytes: int
) -> None:
    headers = {"content-length": str(most_bytes + 1), **BASIC}
    answer = await ingest.client.post(f"/ingest/v1/{provider}/demo", headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[" + b"[]," * 4_000_000 + b"[]]"),
        ("application/x-www-form-urlencoded", b"a=1&" * 3_000_000),
        ("application/x-www-form-urlencoded", b"body-plain=" + b"%41" * 3_000_000),
    ],
)
async def test_what_mailgun_did_not_sign_costs_little(ingest: Ingest, kind: str, body: bytes) -> None:
    tracemalloc.start()
    try:
        answer = await ingest.post("mailgun", body, **{"content-type": kind})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (answer.status_code, peak < 150_000_000) == (406, True)


async def test_a_long_html_mail_fits_in_a_record(ingest: Ingest) -> None:
    document = {
        "MessageID": "1",
        "From": "ann@mail.example.org",
        "TextBody": "hello\n\nOn 1 Jan 2026 Acme <a@acme.example> wrote:\n" + "> old\n" * 100_000,
        "HtmlBody": "<p>" + "ü" * 90_000,
    }
    assert (await ingest.post("postmark", json.dumps(document).encode(), **BASIC)).status_code == 200
    (message,) = ingest.messages()
    assert len(ingest.log.records[0].value) <= RECORD_BYTES
    assert message.personal.text == "hello"
    assert message.personal.html is None
    assert message.personal.quoted is not None
