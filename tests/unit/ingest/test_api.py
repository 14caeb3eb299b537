"""The whole service but Kafka and MongoDB: what each kind of request is answered, and what is published."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey
from prometheus_client import REGISTRY
from pydantic import SecretStr

from schemas.common import BlobRef
from schemas.inbound import DeliveryReported, DeliveryWatermark, MessageReceived, WebhookQuarantined
from schemas.signals import VisitorTyping
from services.chassis import problems
from services.chassis.accounts import Accounts
from services.chassis.attachments import File
from services.chassis.auth import Authenticator
from services.chassis.broker import Outgoing
from services.chassis.faults import BrokerUnavailable
from services.ingest.app import routes
from services.ingest.channels import twilio as shared
from services.ingest.channels import whatsapp
from services.ingest.front import Front
from services.ingest.handlers import RECORD_BYTES, Intake
from services.ingest.settings import IngestSettings
from services.ingest.taking import Taking
from services.ingest.visitors import VisitorRecord, Visitors, random_visitor_id

NOW = datetime(2096, 1, 1, 12, 0, tzinfo=UTC)  # tokens are checked against the real clock
PUBLIC = "https://hooks.example.com"
SMS = "/ingest/v1/twilio-sms/demo"
VOICE = "/ingest/v1/twilio-voice/demo"
WHATSAPP = "/ingest/v1/whatsapp/demo"
MIME = "/ingest/v1/mime/demo"
CHAT = "/ingest/v1/webchat/demo"
IDENTITY_SECRET = "identity-secret-of-at-least-32-bytes"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(32)
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(64)
MAIL = b"From: ann@mail.example.org\nMessage-ID: <1@mail.example.org>\n\nhello\n"


@dataclass
class Log:
    """A Kafka that keeps records in memory, or is down."""

    records: list[Outgoing] = field(default_factory=list)
    down: bool = False

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        if self.down:
            raise BrokerUnavailable("away")
        self.records += batch

    def messages(self) -> list[MessageReceived]:
        return [
            MessageReceived.model_validate_json(each.value)
            for each in self.records
            if each.topic == "messages.inbound"
        ]

    def quarantined(self) -> list[WebhookQuarantined]:
        return [
            WebhookQuarantined.model_validate_json(each.value)
            for each in self.records
            if each.topic == "webhooks.quarantine"
        ]


@dataclass
class Bytes:
    """A blob store in memory, or away."""

    kept: dict[str, bytes] = field(default_factory=dict)
    down: bool = False

    async def put(self, data: bytes, content_type: str | None = None, filename: str | None = None) -> BlobRef:
        if self.down:
            raise ConnectionError
        ref = str(len(self.kept))
        self.kept[ref] = data
        digest = hashlib.sha256(data).hexdigest()
        return BlobRef(ref=ref, sha256=digest, size=len(data), content_type=content_type, filename=filename)

    async def delete(self, ref: str) -> None:
        del self.kept[ref]


@dataclass
class Uploads:
    """What visitors uploaded, in memory."""

    blobs: Bytes
    known: dict[str, File] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    async def upload(self, file: File, _at: datetime) -> File:
        return self.known.setdefault(file.id, file)

    async def own(self, owner: str, ids: Sequence[str], _at: datetime) -> list[File] | None:
        files = [file for each in ids if (file := self.known.get(each)) and file.owner == owner]
        return files if len(files) == len(ids) else None

    async def use(self, files: Sequence[File]) -> None:
        self.used |= {file.id for file in files}


@dataclass
class People:
    """A store of visitors in memory."""

    known: dict[str, VisitorRecord] = field(default_factory=dict)

    async def add(self, visitor: VisitorRecord) -> None:
        self.known[visitor.visitor_id] = visitor

    async def find(self, visitor_id: str) -> VisitorRecord | None:
        return self.known.get(visitor_id)


@dataclass
class Stack:
    """The service and what stands around it."""

    client: httpx.AsyncClient
    log: Log
    blobs: Bytes
    people: People
    uploads: Uploads

    async def sms(self, body: bytes, **headers: str) -> httpx.Response:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        signature = shared.signature(f"{PUBLIC}{SMS}{shared.signed_form(pairs)}", "token-1")
        return await self.client.post(
            SMS,
            content=body,
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "x-twilio-signature": signature,
                **headers,
            },
        )

    async def voice(self, body: bytes, query: str = "") -> httpx.Response:
        url = f"{VOICE}?{query}" if query else VOICE
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        signature = shared.signature(f"{PUBLIC}{url}{shared.signed_form(pairs)}", "token-1")
        return await self.client.post(url, content=body, headers={"x-twilio-signature": signature})

    async def whatsapp(self, body: bytes) -> httpx.Response:
        signature = whatsapp.signature(body, "app-secret-1")
        return await self.client.post(WHATSAPP, content=body, headers={"x-hub-signature-256": signature})

    async def mail(self, body: bytes) -> httpx.Response:
        return await self.client.post(MIME, content=body, headers={"authorization": "Bearer relay-token"})

    async def visitor(self, **body: object) -> dict[str, str]:
        answer = await self.client.post(f"{CHAT}/sessions", json=body)
        assert answer.status_code == 201, answer.text
        started: dict[str, str] = answer.json()
        return started

    async def say(self, token: str, body: object, path: str = f"{CHAT}/messages") -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(path, content=content, headers={"authorization": f"Bearer {token}"})


def form(**parameters: str) -> bytes:
    message = {"MessageSid": "SM1", "From": "+15551230001", "To": "+15550001111", "Body": "hi", **parameters}
    return urlencode(message).encode()


def chat_text(body: str) -> bytes:
    message = {
        "from": "31612345678",
        "id": "wamid.1",
        "timestamp": "1767225600",
        "type": "text",
        "text": {"body": body},
    }
    value = {"metadata": {"phone_number_id": "900100200300"}, "messages": [message]}
    return json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode()


def identity(secret: str = IDENTITY_SECRET, **claims: object) -> str:
    expires = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    return jwt.encode({"alg": "HS256"}, {"exp": expires, **claims}, OctKey.import_key(secret.encode()))


def refused(provider: str, reason: str) -> float:
    labels = {"provider": provider, "reason": reason}
    return REGISTRY.get_sample_value("parley_ingest_refused_webhooks_total", labels) or 0


Settle = Callable[..., Stack]


@pytest.fixture(params=["front", "routes"])
async def settle(accounts: Accounts, request: pytest.FixtureRequest) -> AsyncIterator[Settle]:
    """Every test holds for what the front answers, and for the same request by way of the router."""
    clients = []

    def make(**changes: object) -> Stack:
        settings = IngestSettings(
            public_url=PUBLIC,
            visitor_token_secret=SecretStr("visitor-token-secret-of-32-bytes!"),
            body_timeout_seconds=changes.pop("body_timeout_seconds", 5.0),
            **changes,
        )
        log, blobs, people = Log(), Bytes(), People()
        uploads = Uploads(blobs)
        intake = Intake(accounts, log, blobs, lambda: NOW, uuid4)
        taking = Taking(intake, settings)
        visitors = Visitors(people, timedelta(days=180), random_visitor_id)
        app = FastAPI()
        app.state.authenticator = Authenticator(settings)
        problems.install(app)
        app.include_router(routes(taking, visitors, uploads, settings), prefix="/ingest")
        served = Front(app, taking) if request.param == "front" else app
        # the client's own host stands for a proxy's: signatures cover PUBLIC_URL
        client = httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://10.0.0.1:8080")
        clients.append(client)
        return Stack(client, log, blobs, people, uploads)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def stack(settle: Settle) -> Stack:
    return settle()


async def test_a_signed_sms_is_published_and_answered_with_empty_twiml(stack: Stack) -> None:
    answer = await stack.sms(form())
    assert (answer.status_code, answer.text) == (200, "<Response/>")
    assert answer.headers["content-type"].startswith("text/xml")
    (record,) = stack.log.records
    assert record.key == "+15551230001"
    (message,) = stack.log.messages()
    assert message.personal.text == "hi"
    assert message.data.received_at == NOW


async def test_a_call_is_published_and_then_answered_with_what_the_caller_hears(stack: Stack) -> None:
    call = b"CallSid=CA1&From=%2B15551230001&To=%2B15550001111&CallStatus=ringing&Direction=inbound"
    answer = await stack.voice(call)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    assert "<Record" in answer.text
    assert f"{PUBLIC}{VOICE}?step=recorded" in answer.text
    (message,) = stack.log.messages()
    assert (message.data.kind, message.data.channel) == ("call", "voice")
    again = await stack.voice(call)
    assert again.text == answer.text
    assert len({message.id for message in stack.log.messages()}) == 1


async def test_a_forged_step_of_a_call_is_refused(stack: Stack) -> None:
    answer = await stack.client.post(f"{VOICE}?step=choice&menu=main&n=1", content=b"CallSid=CA1&Digits=1")
    assert answer.status_code == 403
    assert not stack.log.records


async def test_a_call_that_cannot_be_kept_is_not_answered(settle: Settle) -> None:
    stack = settle()
    stack.log.down = True
    answer = await stack.voice(b"CallSid=CA1&From=%2B15551230001&To=%2B15550001111&CallStatus=ringing")
    assert answer.status_code == 503


async def test_an_sms_by_get_is_taken_too(stack: Stack) -> None:
    url = f"{SMS}?{form().decode()}"
    signature = shared.signature(PUBLIC + url, "token-1")
    answer = await stack.client.get(url, headers={"x-twilio-signature": signature})
    assert answer.status_code == 200
    assert len(stack.log.messages()) == 1


async def test_the_same_webhook_twice_gives_the_same_record_id(stack: Stack) -> None:
    await asyncio.gather(*(stack.sms(form()) for _ in range(5)))
    assert len({message.id for message in stack.log.messages()}) == 1


async def test_all_records_of_one_webhook_share_its_own_correlation_id(stack: Stack) -> None:
    await stack.sms(form())
    await stack.sms(form(MessageSid="SM2"))
    first, second = stack.log.messages()
    assert isinstance(first.correlation, UUID)
    assert first.correlation != second.correlation


@pytest.mark.parametrize("signature", ["", "wrong", b"\xff\xfe", "ü".encode()])
@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        (SMS, "x-twilio-signature", 403),
        (WHATSAPP, "x-hub-signature-256", 403),
        (MIME, "authorization", 401),
    ],
)
async def test_a_forged_request_is_refused_and_leaves_no_trace_in_kafka(
    stack: Stack, path: str, header: str, status: int, signature: str | bytes
) -> None:
    provider = path.split("/")[3]
    before = refused(provider, "forged")
    raw = signature if isinstance(signature, bytes) else signature.encode()
    answer = await stack.client.post(path, content=form(), headers=[(header.encode(), raw)])
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert stack.log.records == []
    assert stack.blobs.kept == {}
    assert refused(provider, "forged") == before + 1


@pytest.mark.parametrize("path", ["twilio-sms/nobody", "pigeon/demo", "webchat/demo", "whatsapp/%00"])
async def test_an_unknown_account_or_provider_is_404(stack: Stack, path: str) -> None:
    assert (await stack.client.post(f"/ingest/v1/{path}", content=b"x")).status_code == 404
    assert (await stack.client.get(f"/ingest/v1/{path}")).status_code in (404, 405)


async def test_a_get_where_only_post_is_used_is_405(stack: Stack) -> None:
    assert (await stack.client.get(MIME)).status_code == 405


async def test_metas_handshake(stack: Stack) -> None:
    query = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    answer = await stack.client.get(f"{WHATSAPP}{query}verify-1")
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    assert (await stack.client.get(f"{WHATSAPP}{query}wrong")).status_code == 403


@pytest.mark.parametrize(("path", "limit"), [(SMS, 1_000_000), (WHATSAPP, 4_000_000), (MIME, 40_000_000)])
async def test_a_declared_size_above_the_limit_is_413_without_reading(
    stack: Stack, path: str, limit: int
) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    headers = {"content-length": str(limit + 1), "authorization": "Bearer relay-token"}
    answer = await stack.client.post(path, content=body(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


async def test_a_body_that_grows_beyond_the_limit_is_413_as_soon_as_it_does(stack: Stack) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100_000
            yield b"x" * 100_000

    answer = await stack.client.post(SMS, content=body())
    assert answer.status_code == 413
    assert sent <= 1_200_000


async def test_a_sender_that_never_ends_is_cut_off(settle: Settle) -> None:
    stack = settle(body_timeout_seconds=0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = await stack.client.post(SMS, content=body())
    assert answer.status_code == 408


@pytest.mark.parametrize("length", ["-1", "1e3", "²"])
async def test_a_content_length_that_is_no_number_is_400(stack: Stack, length: str) -> None:
    headers = [(b"content-length", length.encode("latin-1"))]
    assert (await stack.client.post(SMS, content=b"x", headers=headers)).status_code == 400


TELEGRAM = "/ingest/v1/telegram/demo"
PRESSED = (
    b'{"update_id":1,"callback_query":{"id":"77","from":{"id":62},"data":"YES",'
    b'"message":{"message_id":4,"date":1,"chat":{"id":62,"type":"private"}}}}'
)


async def test_a_pressed_button_is_answered_by_the_body_of_our_200_once_it_is_published(stack: Stack) -> None:
    proof = {"x-telegram-bot-api-secret-token": "tg_Secret-01"}
    stack.log.down = True
    assert (await stack.client.post(TELEGRAM, content=PRESSED, headers=proof)).status_code == 503
    stack.log.down = False
    answer = await stack.client.post(TELEGRAM, content=PRESSED, headers=proof)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"method": "answerCallbackQuery", "callback_query_id": "77"}
    assert len(stack.log.records) == 1


@pytest.mark.parametrize("token", [b"", b"tg_Secret-0", "tg_Secret-01ü".encode(), b"\xff\xfe"])
async def test_an_update_without_the_secret_token_is_answered_401_and_published_nowhere(
    stack: Stack, token: bytes
) -> None:
    headers = [(b"x-telegram-bot-api-secret-token", token)]
    answer = await stack.client.post(TELEGRAM, content=PRESSED, headers=headers)
    assert (answer.status_code, stack.log.records) == (401, [])


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"entry": 5}', b"\xff"])
async def test_a_signed_body_that_cannot_be_read_is_kept_aside_and_answered_200(
    stack: Stack, body: bytes
) -> None:
    answer = await stack.whatsapp(body)
    assert answer.status_code == 200
    (record,) = stack.log.records
    assert (record.topic, record.key) == ("webhooks.quarantine", "whatsapp/demo")
    (kept,) = stack.log.quarantined()
    assert base64.b64decode(kept.personal.body_base64 or "") == body
    assert kept.data.size == len(body)


async def test_a_large_body_that_cannot_be_read_is_kept_in_the_blob_store(stack: Stack) -> None:
    body = b"{" * 1_000_000
    await stack.whatsapp(body)
    (kept,) = stack.log.quarantined()
    assert kept.personal.body_base64 is None
    assert kept.personal.blob is not None
    assert stack.blobs.kept[kept.personal.blob.ref] == body


async def test_a_fault_in_a_parser_costs_nobody_their_message(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("services.ingest.channels.twilio_sms._message", broken)
    assert (await stack.sms(form())).status_code == 200
    (kept,) = stack.log.quarantined()
    assert kept.data.reason == "fault of the parser: ZeroDivisionError"


async def test_while_kafka_is_down_nothing_is_answered_2xx_and_afterwards_it_works_again(
    stack: Stack,
) -> None:
    token = (await stack.visitor())["token"]
    stack.log.down = True
    answers = [await stack.sms(form()), await stack.whatsapp(chat_text("hi")), await stack.mail(MAIL)]
    answers.append(await stack.say(token, {"client_id": "1", "text": "hi"}))
    assert [answer.status_code for answer in answers] == [503] * 4
    assert all("retry-after" in answer.headers for answer in answers)
    stack.log.down = False
    assert (await stack.sms(form())).status_code == 200


async def test_a_mail_is_not_taken_before_its_bytes_are_stored(stack: Stack) -> None:
    stack.blobs.down = True
    assert (await stack.mail(MAIL)).status_code == 503
    assert stack.log.records == []
    stack.blobs.down = False
    assert (await stack.mail(MAIL)).status_code == 200
    (message,) = stack.log.messages()
    assert message.personal.raw is not None
    assert stack.blobs.kept[message.personal.raw.ref] == MAIL


async def test_a_long_text_is_cut_and_all_of_it_kept(stack: Stack) -> None:
    text = "ü" * 400_000
    assert (await stack.whatsapp(chat_text(text))).status_code == 200
    (record,) = stack.log.records
    assert len(record.value) <= RECORD_BYTES
    (message,) = stack.log.messages()
    assert message.personal.text_rest is not None
    assert text.startswith(message.personal.text)
    assert stack.blobs.kept[message.personal.text_rest.ref].decode() == text


async def test_hostile_text_is_kept_and_shown_as_text(stack: Stack) -> None:
    body = chat_text("a\ud800\x00\u202e<b>")
    await stack.whatsapp(body)
    (message,) = stack.log.messages()
    assert message.personal.text == "a\ufffd\ufffd\u202e<b>"
    assert json.loads(message.personal.text_raw or "") == "a\ud800\x00\u202e<b>"


async def test_a_status_callback_becomes_a_delivery_report(stack: Stack) -> None:
    assert (await stack.sms(form(MessageStatus="delivered"))).status_code == 200
    (record,) = stack.log.records
    assert (record.topic, record.key) == ("messages.delivery", "SM1")
    assert DeliveryReported.model_validate_json(record.value).data.status == "delivered"


async def test_verified_webhooks_are_never_limited(settle: Settle) -> None:
    stack = settle(webchat_messages_burst=1, webchat_sessions_burst=1)
    answers = await asyncio.gather(*(stack.sms(form(MessageSid=f"SM{n}")) for n in range(50)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_visitor_starts_a_session_and_writes(stack: Stack) -> None:
    session = await stack.visitor()
    assert session["expires_at"] == "2096-06-29T12:00:00.000Z"
    answer = await stack.say(session["token"], {"client_id": "c1", "text": " hello "})
    assert answer.status_code == 202
    (message,) = stack.log.messages()
    assert answer.json() == {"message_id": str(message.id)}
    assert message.personal.text == " hello "
    assert message.personal.sender.value == session["visitor_id"] == stack.log.records[0].key
    assert stack.people.known == {}


async def test_a_repeated_post_is_the_same_message_and_of_another_visitor_another(stack: Stack) -> None:
    first, second = (await stack.visitor())["token"], (await stack.visitor())["token"]
    post = {"client_id": "c1", "text": "hello"}
    answers = [await stack.say(token, post) for token in (first, first, second)]
    one, again, other = (answer.json()["message_id"] for answer in answers)
    assert one == again != other


async def test_what_the_site_signed_is_verified_and_what_the_visitor_typed_is_not(stack: Stack) -> None:
    token = identity(user_id="u-42", email="Ann@Mail.Example.org")
    session = await stack.visitor(identity_token=token, name=" Ann ", email="boss@corp.example")
    await stack.say(session["token"], {"client_id": "c1", "text": "hello"})
    (message,) = stack.log.messages()
    known = [(each.kind.value, each.value, each.verified) for each in message.personal.identifiers]
    assert known == [
        ("visitor", session["visitor_id"], True),
        ("external", "shop:u-42", True),
        ("email", "Ann@mail.example.org", True),
        ("email", "boss@corp.example", False),
    ]
    assert message.personal.sender.value == session["visitor_id"]
    assert message.personal.name == "Ann"


@pytest.mark.parametrize("typed", ["no address at all", "ANN@MAIL.EXAMPLE.ORG", "Ann@MAIL.example.org"])
async def test_a_typed_address_is_told_unless_it_is_none_or_is_proven_anyway(
    stack: Stack, typed: str
) -> None:
    token = identity(user_id="u-42", email="Ann@Mail.Example.org")
    session = await stack.visitor(identity_token=token, email=typed)
    answer = await stack.say(session["token"], {"client_id": "c1", "text": "hello"})
    assert answer.status_code == 202
    (message,) = stack.log.messages()
    told = [each for each in message.personal.identifiers if not each.verified]
    assert [each.value for each in told] == (["ANN@mail.example.org"] if typed.isupper() else [])


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        identity("another secret of at least 32 bytes", user_id="u"),
        identity(exp=1, user_id="u"),
        identity(),
        identity(email="not an address"),
        jwt.encode({"alg": "HS256"}, {"user_id": "u"}, OctKey.import_key(IDENTITY_SECRET.encode())),
        "eyJhbGciOiJub25lIn0.eyJ1c2VyX2lkIjoidSIsImV4cCI6OTk5OTk5OTk5OX0.",
    ],
)
async def test_an_identity_that_is_not_proven_starts_no_session(stack: Stack, token: str) -> None:
    answer = await stack.client.post(f"{CHAT}/sessions", json={"identity_token": token})
    assert answer.status_code == 401
    assert stack.people.known == {}


async def test_a_widget_without_a_secret_proves_nothing(stack: Stack) -> None:
    path = "/ingest/v1/webchat/other/sessions"
    answer = await stack.client.post(path, json={"identity_token": identity(user_id="u")})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": "hi"}, "client_id"),
        ({"client_id": "", "text": "hi"}, "client_id"),
        ({"client_id": "x" * 256, "text": "hi"}, "client_id"),
        ({"client_id": "1"}, "text"),
        ({"client_id": "1", "text": "  "}, "text"),
        ({"client_id": "1", "text": 5}, "text"),
        ({"client_id": "1", "text": "hi", "attachments": [{"url": "http://x"}]}, "attachments"),
        ({"client_id": "1", "text": "hi", "attachments": ["no id"]}, "attachments"),
        ({"client_id": "1", "text": "", "attachments": []}, "text"),
        ({"client_id": "1", "text": "hi", "attachments": [str(UUID(int=1))] * 11}, "attachments"),
        ({"client_id": "1", "text": "hi", "attachments": [str(UUID(int=1))]}, "attachments"),
        ([1], "body"),
        (b"{", "not JSON"),
    ],
)
async def test_a_bad_post_is_422_and_names_the_field(stack: Stack, body: object, field: str) -> None:
    token = (await stack.visitor())["token"]
    answer = await stack.say(token, body)
    assert answer.status_code == 422
    assert field in answer.json()["detail"]
    assert stack.log.records == []


async def test_hostile_text_of_a_visitor_is_taken(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    answer = await stack.say(token, b'{"client_id": "\\ud800", "text": "a\\ud800\\u0000"}')
    assert answer.status_code == 202
    assert stack.log.messages()[0].personal.text == "a\ufffd\ufffd"


async def test_a_visitor_needs_a_token_of_this_widget(stack: Stack) -> None:
    session = await stack.visitor()
    body = {"client_id": "1", "text": "hi"}
    other = await stack.say(session["token"], body, "/ingest/v1/webchat/other/messages")
    assert other.status_code == 403
    for token in ("", "nonsense", session["token"] + "x"):
        assert (await stack.say(token, body)).status_code == 401
    assert (await stack.say(session["token"], body, "/ingest/v1/webchat/nobody/messages")).status_code == 404
    assert stack.log.records == []


async def test_the_public_is_limited_a_visitor_and_an_address(settle: Settle) -> None:
    stack = settle(webchat_messages_burst=2, webchat_messages_per_minute=1, webchat_sessions_burst=2)
    first, second = (await stack.visitor())["token"], (await stack.visitor())["token"]
    statuses = [(await stack.say(first, {"client_id": str(n), "text": "x"})).status_code for n in range(3)]
    assert statuses == [202, 202, 429]
    assert (await stack.say(second, {"client_id": "1", "text": "x"})).status_code == 202
    limited = await stack.client.post(f"{CHAT}/sessions", json={})
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) >= 1


async def upload(stack: Stack, token: str, data: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await stack.client.post(
        f"{CHAT}/attachments", content=data, headers={"authorization": f"Bearer {token}", **named}
    )


async def test_a_visitor_sends_a_file_with_a_message(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    name = "attachment; filename*=UTF-8''M%C3%A4rz.png"
    answer = await upload(stack, token, PNG, content_type="image/jpeg", content_disposition=name)
    assert answer.status_code == 201
    file = answer.json()
    assert file == {"id": file["id"], "content_type": "image/png", "filename": "März.png", "size": len(PNG)}
    for number, given in enumerate((file["id"], {"id": file["id"]})):
        said = await stack.say(token, {"client_id": str(number), "attachments": [given]})
        assert said.status_code == 202
    first, second = stack.log.messages()
    (attachment,) = first.personal.attachments
    assert first.personal.attachments == second.personal.attachments
    assert (str(attachment.id), first.personal.text, first.data.kind) == (file["id"], "[März.png]", "media")
    assert attachment.blob is not None
    assert stack.blobs.kept[attachment.blob.ref] == PNG
    assert stack.uploads.used == {file["id"]}


async def test_a_file_may_come_in_a_form(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    answer = await stack.client.post(
        f"{CHAT}/attachments",
        files={"file": ("../../a\r\nb.txt", b"hello", "text/html")},
        headers={"authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 201
    assert answer.json()["content_type"] == "text/plain"
    assert "/" not in answer.json()["filename"]
    assert answer.json()["filename"].endswith("b.txt")


async def test_a_visitor_cannot_send_anothers_file(stack: Stack) -> None:
    mine, theirs = (await stack.visitor())["token"], (await stack.visitor())["token"]
    file = (await upload(stack, theirs, PNG)).json()
    answer = await stack.say(mine, {"client_id": "1", "text": "hi", "attachments": [file["id"]]})
    assert answer.status_code == 422
    assert stack.log.records == []


FORM = (
    b"--x\r\nContent-Disposition: form-data; name=a; filename=..b..\r\n\r\nhello\r\n--x\r\n"
    b"Content-Disposition: form-data; name=c\r\n\r\n\xff\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        (EXE, {"content_type": "image/png"}, 422),
        (b"", {}, 422),
        (PNG * 100, {}, 413),
        (b"no form", {"content_type": "multipart/form-data; boundary=x"}, 422),
        (b"no form", {"content_type": "multipart/form-data"}, 422),
        (FORM, {"content_type": "multipart/form-data; boundary=x; charset=undefined"}, 422),
        (b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n",
         {"content_type": "multipart/form-data; boundary=x"}, 422),
    ],
)  # fmt: skip
async def test_what_is_no_file_for_us_is_refused(
    settle: Settle, data: bytes, headers: dict[str, str], status: int
) -> None:
    stack = settle(attachment_most_bytes=1000)
    token = (await stack.visitor())["token"]
    answer = await upload(stack, token, data, **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert stack.uploads.known == {}
    assert stack.blobs.kept == {}


async def test_uploads_need_a_token_and_are_limited(settle: Settle) -> None:
    stack = settle(webchat_uploads_burst=1, webchat_uploads_per_minute=1)
    token = (await stack.visitor())["token"]
    assert (await upload(stack, "nonsense", PNG)).status_code == 401
    assert [(await upload(stack, token, PNG)).status_code for _ in range(2)] == [201, 429]


async def test_whoever_the_visitors_are_an_address_uploads_only_so_many_files(settle: Settle) -> None:
    stack = settle(webchat_address_uploads_burst=2, webchat_address_uploads_per_minute=1)
    tokens = [(await stack.visitor())["token"] for _ in range(3)]
    assert [(await upload(stack, token, PNG)).status_code for token in tokens] == [201, 201, 429]


async def test_an_address_uploads_only_so_many_bytes(settle: Settle) -> None:
    stack = settle(webchat_address_upload_bytes_burst=len(PNG) * 2, webchat_address_upload_bytes_per_minute=1)
    tokens = [(await stack.visitor())["token"] for _ in range(3)]
    assert [(await upload(stack, token, PNG)).status_code for token in tokens] == [201, 201, 429]
    assert len(stack.uploads.known) == 2


async def test_an_upload_with_the_same_key_is_one_file_and_another_file_with_it_is_refused(
    stack: Stack,
) -> None:
    mine, theirs = (await stack.visitor())["token"], (await stack.visitor())["token"]
    first, again = [await upload(stack, mine, PNG, idempotency_key="k1") for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    other = await upload(stack, mine, b"another", idempotency_key="k1")
    assert (other.status_code, other.json()["type"].endswith("key-reused")) == (422, True)
    assert list(stack.blobs.kept.values()) == [PNG]
    assert (await upload(stack, theirs, PNG, idempotency_key="k1")).json()["id"] != first.json()["id"]
    assert (await upload(stack, mine, PNG, idempotency_key="x" * 256)).status_code == 422


async def test_a_file_is_kept_for_good_only_once_its_message_is_taken(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    said = {"client_id": "1", "attachments": [(await upload(stack, token, PNG)).json()["id"]]}
    stack.log.down = True
    assert (await stack.say(token, said)).status_code == 503
    assert stack.uploads.used == set()
    stack.log.down = False
    assert (await stack.say(token, said)).status_code == 202
    assert stack.uploads.used == set(said["attachments"])


async def test_an_absent_store_is_503(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    stack.blobs.down = True
    assert (await upload(stack, token, PNG)).status_code == 503


@pytest.mark.parametrize("action", ["rating"])
async def test_what_belongs_to_a_later_version_says_so(stack: Stack, action: str) -> None:
    token = (await stack.visitor())["token"]
    assert (await stack.say(token, {}, f"{CHAT}/{action}")).status_code == 501
    assert (await stack.client.post(f"{CHAT}/{action}")).status_code == 401


async def test_a_visitor_who_types_is_told_to_the_feed_alone(settle: Settle) -> None:
    stack = settle()
    visitor = await stack.visitor()
    for typing in (True, False):
        assert (await stack.say(visitor["token"], {"typing": typing}, f"{CHAT}/typing")).status_code == 204
    assert [(record.topic, record.key) for record in stack.log.records] == [
        ("chats.signals", visitor["visitor_id"])
    ] * 2
    signals = [VisitorTyping.model_validate_json(record.value) for record in stack.log.records]
    assert [(each.data.account, each.data.typing) for each in signals] == [("demo", True), ("demo", False)]
    assert len({each.id for each in signals}) == 2
    assert (await stack.client.post(f"{CHAT}/typing", json={})).status_code == 401
    assert (await stack.say(visitor["token"], {"typing": "maybe"}, f"{CHAT}/typing")).status_code == 422
    stack.log.down = True
    assert (await stack.say(visitor["token"], {}, f"{CHAT}/typing")).status_code == 503


async def test_what_a_visitor_has_read_is_told_up_to_now_and_never_beyond(settle: Settle) -> None:
    stack = settle()
    visitor = await stack.visitor()
    for body in ({}, {"up_to": "2025-12-31T23:00:00Z"}, {"up_to": "2999-01-01T00:00:00+01:00"}):
        assert (await stack.say(visitor["token"], body, f"{CHAT}/read")).status_code == 204
    words = [DeliveryWatermark.model_validate_json(record.value) for record in stack.log.records]
    assert {record.topic for record in stack.log.records} == {"messages.delivery"}
    assert [(each.data.status, each.data.up_to) for each in words] == [
        ("read", NOW),
        ("read", datetime(2025, 12, 31, 23, tzinfo=UTC)),
        ("read", NOW),
    ]
    assert {each.personal.recipient.value for each in words} == {visitor["visitor_id"]}
    assert (await stack.say(visitor["token"], {"up_to": "yesterday"}, f"{CHAT}/read")).status_code == 422
    assert (await stack.client.post(f"{CHAT}/read", json={})).status_code == 401


async def test_who_types_all_the_time_is_limited(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    statuses = {(await stack.say(token, {}, f"{CHAT}/typing")).status_code for _ in range(40)}
    assert statuses == {204, 429}


async def test_an_action_that_is_none_is_404(stack: Stack) -> None:
    token = (await stack.visitor())["token"]
    assert (await stack.say(token, {}, f"{CHAT}/explode")).status_code == 404


async def test_a_fault_of_ours_is_answered_by_the_front_without_its_text(accounts: Accounts) -> None:
    class Broken(Log):
        async def publish(self, _: Sequence[Outgoing]) -> None:
            raise RuntimeError("said +15551230001")

    settings = IngestSettings(public_url=PUBLIC)
    front = Front(FastAPI(), Taking(Intake(accounts, Broken(), Bytes(), lambda: NOW, uuid4), settings))
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.1") as client:
        answer = await client.post(MIME, content=MAIL, headers={"authorization": "Bearer relay-token"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "+1555" not in answer.text
    labels = {
        "service": "ingest",
        "method": "POST",
        "route": "/ingest/v1/{provider}/{account}",
        "status": "500",
    }
    assert REGISTRY.get_sample_value("parley_http_request_seconds_count", labels)
