"""The simulated providers' sending APIs: what they check, answer, remember and call back."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from deploy.local.signing import line_signature, meta_signature, twilio_signature
from deploy.local.simulator.app import build_simulator
from services.chassis.accounts import Account, Accounts

PUBLIC, LOCAL = "https://parley.example", "http://127.0.0.1:8080"
CALLBACK = f"{PUBLIC}/ingest/v1/twilio-sms/demo"
SMS = "/dev/providers/twilio-sms/2010-04-01/Accounts/AC1/Messages.json"
WHATSAPP = "/dev/providers/whatsapp/v23.0/900100200300/messages"
MIME = "/dev/providers/mime/messages"
TEXT = {"To": "+15551230001", "From": "+15550001111", "Body": "hello & bye", "StatusCallback": CALLBACK}
CLOUD = {
    "messaging_product": "whatsapp",
    "to": "31612345678",
    "type": "text",
    "text": {"body": "hello"},
    "biz_opaque_callback_data": "ours-1",
}
MAIL = (
    b"From: Support <support@parley.example>\r\nTo: ann@mail.example.org\r\nSubject: Re: Lamp\r\n"
    b"Message-ID: <out-1@parley.example>\r\nIn-Reply-To: <m1@mail.example.org>\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nIt is on its way.\r\n"
)

UPDATE = {"name": "update", "language": "en", "text": "{{1}}, parcel {{2}} is late."}
ACCOUNTS = Accounts(
    [
        Account(
            provider="twilio-sms",
            account="demo",
            channel="sms",
            address="+15550001111",
            inbox="support",
            secrets={"account_sid": "AC1", "auth_token": "token"},
            templates=[{**UPDATE, "content_sid": f"HX{1:032x}"}],
        ),
        Account(
            provider="whatsapp",
            account="demo",
            channel="whatsapp",
            address="900100200300",
            inbox="support",
            secrets={"app_secret": "secret", "access_token": "access"},
            templates=[UPDATE],
        ),
        Account(
            provider="mime",
            account="demo",
            channel="email",
            address="support@parley.example",
            inbox="support",
            secrets={"token": "bearer"},
        ),
        Account(
            provider="telegram",
            account="demo",
            channel="telegram",
            address="7000000001",
            inbox="support",
            secrets={"secret_token": "proof", "token": "7000000001:bot"},
        ),
        Account(
            provider="line",
            account="demo",
            channel="line",
            address="Ubot",
            inbox="support",
            secrets={"channel_secret": "secret", "channel_access_token": "access"},
        ),
    ]
)


@dataclass
class Stack:
    """The simulator, and the stack it calls back."""

    http: httpx.AsyncClient
    simulator: Any
    received: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    failures: int = 0

    async def take(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        if self.failures:
            self.failures -= 1
            return 503
        self.received.append((url, headers, body))
        return 200

    async def sms(self, key: str = "token", **change: str) -> httpx.Response:
        return await self.http.post(SMS, data=TEXT | change, auth=("AC1", key))

    async def whatsapp(self, key: str = "access", **change: object) -> httpx.Response:
        return await self.http.post(WHATSAPP, json=CLOUD | change, headers={"Authorization": f"Bearer {key}"})

    async def mail(self, key: str = "bearer", raw: bytes = MAIL) -> httpx.Response:
        return await self.http.post(MIME, content=raw, headers={"Authorization": f"Bearer {key}"})

    async def telegram(
        self, method: str = "sendMessage", bot: str = "7000000001:bot", **parameters: Any
    ) -> httpx.Response:
        asked = parameters or {"json": {"chat_id": 62, "text": "hello"}}
        return await self.http.post(f"/dev/providers/telegram/bot{bot}/{method}", **asked)

    async def line(self, key: str = "access", retry_key: str = "", **change: object) -> httpx.Response:
        asked = {"to": "U62", "messages": [{"type": "text", "text": "hello"}]} | change
        headers = {"Authorization": f"Bearer {key}"} | ({"X-Line-Retry-Key": retry_key} if retry_key else {})
        return await self.http.post("/dev/providers/line/v2/bot/message/push", json=asked, headers=headers)

    async def behave(self, **behaviour: object) -> None:
        (await self.http.post("/dev/providers/behaviour", json=behaviour)).raise_for_status()

    async def sent(self) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = (await self.http.get("/dev/providers/sent")).json()
        return entries


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    built: list[Stack] = []

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        return await built[0].take(url, headers, body)

    app = build_simulator(ACCOUNTS, public_url=PUBLIC, local_url=LOCAL, post=post, pause=0)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=LOCAL) as http,
    ):
        built.append(Stack(http, app))
        yield built[0]


async def settled(stack: Stack) -> None:
    async with asyncio.timeout(5):
        await stack.simulator.state.callbacks.settled()


async def test_twilio_takes_a_message_and_reports_sent_then_delivered(stack: Stack) -> None:
    answer = await stack.sms()
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")
    sid = answer.json()["sid"]
    assert [entry | {"at": ""} for entry in await stack.sent()] == [
        {
            "provider": "twilio-sms",
            "account": "demo",
            "from": "+15550001111",
            "to": "+15551230001",
            "text": "hello & bye",
            "provider_message_id": sid,
            "at": "",
        }
    ]
    await settled(stack)
    forms = [dict(parse_qsl(body.decode(), keep_blank_values=True)) for _, _, body in stack.received]
    assert [(form["MessageSid"], form["MessageStatus"]) for form in forms] == [
        (sid, "sent"),
        (sid, "delivered"),
    ]


async def test_twilio_callbacks_go_to_the_local_address_with_a_signature_over_the_public_one(
    stack: Stack,
) -> None:
    await stack.sms()
    await settled(stack)
    url, headers, body = stack.received[0]
    assert url == f"{LOCAL}/ingest/v1/twilio-sms/demo"
    assert headers["X-Twilio-Signature"] == twilio_signature("token", CALLBACK, parse_qsl(body.decode()))


async def test_a_callback_to_anywhere_else_is_not_made(stack: Stack) -> None:
    await stack.sms(StatusCallback="https://parley.example.org/ingest/v1/twilio-sms/demo")
    await settled(stack)
    assert stack.received == []


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"key": "wrong"}, 401, 20003),
        ({"To": "nobody"}, 400, 21211),
        ({"Body": ""}, 400, 21602),
        ({"From": "+15559999999"}, 400, 21606),
    ],
)
async def test_twilio_refuses_what_twilio_refuses(
    stack: Stack, change: dict[str, str], status: int, code: int
) -> None:
    answer = await stack.sms(**change)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await stack.sent() == []


async def test_whatsapp_takes_a_message_and_reports_until_read(stack: Stack) -> None:
    answer = await stack.whatsapp()
    wamid = answer.json()["messages"][0]["id"]
    assert [(entry["to"], entry["callback_data"]) for entry in await stack.sent()] == [
        ("31612345678", "ours-1")
    ]
    await settled(stack)
    statuses = []
    for url, headers, body in stack.received:
        assert url == f"{LOCAL}/ingest/v1/whatsapp/demo"
        assert headers["X-Hub-Signature-256"] == meta_signature("secret", body)
        value = json.loads(body)["entry"][0]["changes"][0]["value"]
        assert value["metadata"]["phone_number_id"] == "900100200300"
        statuses += value["statuses"]
    assert [(s["id"], s["status"], s["biz_opaque_callback_data"]) for s in statuses] == [
        (wamid, "sent", "ours-1"),
        (wamid, "delivered", "ours-1"),
        (wamid, "read", "ours-1"),
    ]


async def test_whatsapp_tries_a_webhook_again_until_it_is_taken(stack: Stack) -> None:
    stack.failures = 2
    await stack.whatsapp()
    await settled(stack)
    assert len(stack.received) == 3


async def test_whatsapp_refuses_another_token_and_a_message_without_text(stack: Stack) -> None:
    assert (await stack.whatsapp(key="wrong")).json()["error"]["code"] == 190
    assert (await stack.whatsapp(text={})).json()["error"]["code"] == 100
    assert await stack.sent() == []


async def test_mail_is_read_into_the_list(stack: Stack) -> None:
    answer = await stack.mail()
    assert (answer.status_code, answer.json()) == (202, {"id": "<out-1@parley.example>"})
    (entry,) = await stack.sent()
    assert entry["to"] == "ann@mail.example.org"
    assert entry["text"].strip() == "It is on its way."
    assert entry["in_reply_to"] == "<m1@mail.example.org>"


async def test_mail_without_a_token_or_a_message_id_is_refused(stack: Stack) -> None:
    assert (await stack.mail(key="wrong")).status_code == 401
    assert (await stack.mail(raw=MAIL.replace(b"Message-ID", b"X-Other"))).status_code == 422
    assert await stack.sent() == []


async def test_telegram_takes_a_message_and_numbers_it_within_its_chat(stack: Stack) -> None:
    asked = {"chat_id": 62, "text": "hello", "reply_parameters": {"message_id": 5}}
    answer = (await stack.telegram(json=asked)).json()
    number = answer["result"]["message_id"]
    (entry,) = await stack.sent()
    assert (answer["ok"], answer["result"]["chat"]["id"]) == (True, 62)
    assert (entry["to"], entry["text"], entry["in_reply_to"]) == ("62", "hello", "5")
    assert entry["provider_message_id"] == f"62:{number}"
    await settled(stack)
    assert stack.received == []


async def test_telegram_takes_files(stack: Stack) -> None:
    form = {"chat_id": "62", "caption": "look"}
    await stack.telegram("sendPhoto", data=form, files={"photo": ("a.png", b"12345", "image/png")})
    media = json.dumps([{"type": "photo", "media": "attach://f0", "caption": "two"}])
    album = await stack.telegram(
        "sendMediaGroup", data={"chat_id": "62", "media": media}, files={"f0": ("b.png", b"1", "image/png")}
    )
    assert isinstance(album.json()["result"], list)
    assert [(entry["text"], entry["files"]) for entry in await stack.sent()] == [
        ("look", "a.png (5 bytes)"),
        ("two", "b.png (1 bytes)"),
    ]


@pytest.mark.parametrize(
    ("method", "change", "code", "words"),
    [
        ("sendMessage", {"bot": "1:wrong"}, 401, "Unauthorized"),
        ("getMe", {"bot": "1:wrong"}, 401, "Unauthorized"),
        ("sendPigeon", {}, 404, "Not Found"),
        ("sendMessage", {"json": {"text": "hello"}}, 400, "chat_id is empty"),
        ("sendMessage", {"json": {"chat_id": "@ann", "text": "hello"}}, 400, "chat not found"),
        ("sendMessage", {"json": {"chat_id": 62, "text": "x" * 4097}}, 400, "message is too long"),
        ("sendMessage", {"json": {"chat_id": 62}}, 400, "text is empty"),
        ("sendMessage", {"json": []}, 400, "chat_id is empty"),
    ],
)
async def test_telegram_refuses_what_telegram_refuses(
    stack: Stack, method: str, change: dict[str, Any], code: int, words: str
) -> None:
    answer = await stack.telegram(method, **change)
    assert (answer.status_code, answer.json()["error_code"]) == (code, code)
    assert words in answer.json()["description"]
    assert await stack.sent() == []


async def test_telegram_knows_its_bot(stack: Stack) -> None:
    assert (await stack.telegram("getMe")).json()["result"]["id"] == 7000000001


async def test_line_takes_a_retry_key_once(stack: Stack) -> None:
    key = "0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11"
    first, again = await stack.line(retry_key=key), await stack.line(retry_key=key)
    assert (first.status_code, again.status_code) == (200, 409)
    assert first.json()["sentMessages"] == again.json()["sentMessages"]
    assert again.headers["x-line-accepted-request-id"]
    (entry,) = await stack.sent()
    assert (entry["to"], entry["text"], entry["retry_key"]) == ("U62", "hello", key)
    assert entry["provider_message_id"] == first.json()["sentMessages"][0]["id"]
    assert (await stack.line()).status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [({"key": "wrong"}, 401), ({"to": "+1"}, 400), ({"messages": []}, 400), ({"messages": [{}] * 6}, 400)],
)
async def test_line_refuses_what_line_refuses(stack: Stack, change: dict[str, Any], status: int) -> None:
    assert (await stack.line(**change)).status_code == status
    assert await stack.sent() == []


async def test_where_nothing_is_reported_somebody_unreachable_is_told_to_have_blocked_us(
    stack: Stack,
) -> None:
    for provider, send in (("telegram", stack.telegram), ("line", stack.line)):
        await stack.behave(provider=provider, mode="undelivered", count=1)
        assert (await send()).status_code == 200
    await settled(stack)
    (first, proof, update), (second, signed, events) = stack.received
    assert first == f"{LOCAL}/ingest/v1/telegram/demo"
    assert proof["X-Telegram-Bot-Api-Secret-Token"] == "proof"
    assert json.loads(update)["my_chat_member"]["new_chat_member"]["status"] == "kicked"
    assert second == f"{LOCAL}/ingest/v1/line/demo"
    assert signed["X-Line-Signature"] == line_signature("secret", events)
    assert json.loads(events)["events"][0]["type"] == "unfollow"


@pytest.mark.parametrize(("mode", "status"), [("fail", 500), ("rate_limited", 429), ("reject", 400)])
async def test_a_failing_provider_sends_nothing_and_recovers_after_the_count(
    stack: Stack, mode: str, status: int
) -> None:
    senders = {
        "twilio-sms": stack.sms,
        "whatsapp": stack.whatsapp,
        "telegram": stack.telegram,
        "line": stack.line,
    }
    for provider, send in senders.items():
        await stack.behave(provider=provider, mode=mode, count=2)
        assert [(await send()).status_code // 100 for _ in range(3)] == [status // 100, status // 100, 2]
    assert len(await stack.sent()) == len(senders)


async def test_an_undelivered_message_is_accepted_and_reported_failed(stack: Stack) -> None:
    await stack.behave(provider="twilio-sms", mode="undelivered", count=1)
    assert (await stack.sms()).status_code == 201
    await settled(stack)
    form = dict(parse_qsl(stack.received[-1][2].decode()))
    assert (form["MessageStatus"], form["ErrorCode"]) == ("undelivered", "30003")


async def test_an_order_to_one_account_leaves_the_others_alone(stack: Stack) -> None:
    await stack.behave(provider="twilio-sms", mode="fail", account="other")
    assert (await stack.sms()).status_code == 201
    await stack.behave(provider="twilio-sms", mode="fail", account="demo", count=1)
    assert [(await stack.sms()).status_code for _ in range(2)] == [500, 201]


async def test_a_slow_provider_sends_after_its_time(stack: Stack) -> None:
    await stack.behave(provider="whatsapp", mode="slow", seconds=0.2)
    began = monotonic()
    assert (await stack.whatsapp()).status_code == 200
    assert monotonic() - began >= 0.2


async def test_an_answer_that_means_nothing_comes_after_the_message_was_sent(stack: Stack) -> None:
    await stack.behave(provider="mime", mode="garbage")
    answer = await stack.mail()
    assert (answer.status_code, answer.content[:1]) == (200, b"\0")
    assert len(await stack.sent()) == 1


async def test_an_order_that_makes_no_sense_is_refused(stack: Stack) -> None:
    answer = await stack.http.post("/dev/providers/behaviour", json={"provider": "pigeon", "mode": "ok"})
    assert answer.status_code == 422


# --- consent and templates ------------------------------------------------------------------------


async def test_twilio_sends_nothing_to_who_stopped_until_they_start_again(stack: Stack) -> None:
    async def says(text: str, sender: str = TEXT["To"]) -> None:
        heard = {"sender": sender, "to": TEXT["From"], "text": text}
        answer = await stack.http.post("/dev/providers/twilio-sms/heard", json=heard)
        assert answer.status_code == 204

    await says("Stop please")
    assert (await stack.sms()).status_code == 201
    await says(" stop ")
    refused = await stack.sms()
    assert (refused.status_code, refused.json()["code"]) == (400, 21610)
    assert (await stack.sms(To="+15551230002")).status_code == 201
    await says("START")
    assert (await stack.sms()).status_code == 201


async def test_twilio_sends_a_content_it_has(stack: Stack) -> None:
    sid = f"HX{1:032x}"
    sent = await stack.sms(Body="", ContentSid=sid, ContentVariables='{"2": "7731", "1": "Zoë"}')
    assert sent.status_code == 201
    assert [entry["text"] for entry in await stack.sent()] == ["Zoë, parcel 7731 is late."]
    for wrong in (
        {"ContentSid": f"HX{2:032x}"},
        {"ContentVariables": '{"1": "a"}'},
        {"ContentVariables": "["},
    ):
        refused = await stack.sms(**{"Body": "", "ContentSid": sid, **wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, 21655)


def template(name: str, *values: str) -> dict[str, object]:
    parameters = [{"type": "text", "text": value} for value in values]
    components = [{"type": "body", "parameters": parameters}] if values else []
    return {"name": name, "language": {"code": "en"}, "components": components}


async def test_whatsapp_sends_a_template_it_has(stack: Stack) -> None:
    sent = await stack.whatsapp(type="template", template=template("update", "Zoë", "7731"))
    assert sent.status_code == 200
    assert [entry["text"] for entry in await stack.sent()] == ["Zoë, parcel 7731 is late."]


@pytest.mark.parametrize(
    ("asked", "code"),
    [(template("nothing"), 132001), (template("update", "Zoë"), 132000), ({"name": "update"}, 100)],
)
async def test_whatsapp_refuses_any_other(stack: Stack, asked: dict[str, object], code: int) -> None:
    refused = await stack.whatsapp(type="template", template=asked)
    assert refused.json()["error"]["code"] == code
    assert await stack.sent() == []
