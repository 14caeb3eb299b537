"""What bad input gets, over HTTP."""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.webhooks import Mail, Webhook, WhatsAppSender, email, whatsapp, whatsapp_body
from schemas.topics import MESSAGES_INBOUND, WEBHOOKS_QUARANTINE
from tests.e2e.conftest import Branch, Place, person
from tests.system.client import Client
from tests.system.play import number, shown, sms_from
from tests.system.topics import records
from tests.system.waiting import until

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UNSIGNED: dict[str, str | bytes | None] = {
    "unsigned": None,
    "empty": "",
    "malformed": "%%% not base64 %%%",
    "of something else": "sha256=" + "0" * 64,
    "not ASCII": "sïgnature".encode("latin-1"),
}


def signed(client: Client, channel: str) -> tuple[Webhook, str, int]:
    """Return a good webhook, the header that proves it, and what a bad one is answered."""
    site, sender = client.site, number(8000)
    match channel:
        case "sms":
            return sms_from(client, sender, "forged words"), "X-Twilio-Signature", 403
        case "whatsapp":
            content = {"type": "text", "text": {"body": "forged words"}}
            webhook = whatsapp(site.account("whatsapp"), WhatsAppSender(sender), content, "wamid.forged", NOW)
            return webhook, "X-Hub-Signature-256", 403
        case _:
            mail = Mail("mallory@mail.example.org", "forged", "forged words", "<forged@mail.example.org>")
            return email(site.account("mime"), mail, NOW), "Authorization", 401


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "email"])
@pytest.mark.parametrize("what", UNSIGNED)
async def test_a_request_that_is_not_proven_is_refused(client: Client, channel: str, what: str) -> None:
    webhook, header, status = signed(client, channel)
    value = UNSIGNED[what]
    others = [(name, text) for name, text in webhook.headers.items() if name != header]
    headers: Any = [*others, *([(header, value)] if value is not None else [])]
    answer = await client.send("POST", webhook.path, headers=dict(headers), content=webhook.body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


async def test_nothing_of_a_refused_request_is_on_kafka(client: Client, place: Place, branch: Branch) -> None:
    for channel in ("sms", "whatsapp", "email"):
        webhook, _, status = signed(client, channel)
        assert (await client.webhook(webhook.forged())).status == status
    await branch.write(person(), "a good one afterwards")
    texts = [record.personal.text for record in await records(place.kafka, MESSAGES_INBOUND)]
    assert "a good one afterwards" in texts
    assert not [text for text in texts if "forged" in text]


@pytest.mark.parametrize(
    "path", ["/ingest/v1/twilio-sms/nobody", "/ingest/v1/pigeon/demo", "/ingest/v1/webchat/nobody/sessions"]
)
async def test_an_account_that_is_not_ours_is_404(client: Client, path: str) -> None:
    answer = await client.send("POST", path, content=b"{}")
    assert answer.status_code == 404
    assert answer.json()["title"] == "Not Found"


@pytest.mark.parametrize(
    ("provider", "limit"), [("twilio-sms", 10**6), ("whatsapp", 4 * 10**6), ("mime", 40 * 10**6)]
)
async def test_a_declared_size_above_the_limit_is_413_before_a_byte_is_sent(
    client: Client, provider: str, limit: int
) -> None:
    token = client.site.account(provider).secrets.get("token")
    lines = (f"Authorization: Bearer {token}", f"Content-Length: {limit * 2}")
    assert await answer_to(client, provider, lines, b"") == 413


async def test_a_body_that_grows_above_the_limit_is_413_before_its_end(client: Client) -> None:
    chunk = b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000)
    assert await answer_to(client, "twilio-sms", ("Transfer-Encoding: chunked",), chunk * 11) == 413


async def answer_to(client: Client, provider: str, lines: Sequence[str], body: bytes) -> int:
    """Return the status that a request is answered with whose body never ends."""
    port = int(client.site.bases["ingest"][0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (f"POST /ingest/v1/{provider}/demo HTTP/1.1", "Host: parley", *lines, "", "")
        writer.write("\r\n".join(head).encode() + body)
        async with asyncio.timeout(10):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_broken_json_with_a_valid_signature_is_kept_counted_and_answered_200(
    client: Client, place: Place, branch: Branch
) -> None:
    before = await quarantined(client)
    body = b'{"object": "whatsapp_business_account", "entry": [{"' + branch.name.encode()
    posted = await client.webhook(whatsapp_body(client.site.account("whatsapp", branch.name), body))
    assert posted.status == 200
    assert await quarantined(client) == before + 1
    (kept,) = [
        record
        for record in await records(place.kafka, WEBHOOKS_QUARANTINE)
        if record.data.account == branch.name
    ]
    assert base64.b64decode(kept.personal.body_base64) == body
    assert (kept.data.provider, kept.data.size) == ("whatsapp", len(body))
    assert branch.name not in kept.data.reason


async def test_a_message_of_an_unknown_type_says_what_it_was(client: Client, branch: Branch) -> None:
    sender = person()
    content = {"type": "hologram", "hologram": {"id": "1"}}
    account = client.site.account("whatsapp", branch.name)
    webhook = whatsapp(account, WhatsAppSender(sender), content, "wamid.hologram", datetime.now(UTC))
    assert (await client.webhook(webhook)).status == 200
    assert (await shown(client, sender, "[hologram]"))["channel"] == "whatsapp"


HOSTILE = {
    "bidi": "\u202egnp.exe\u202c\u2066x\u2069",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "lines": "a\u2028b\u2029c\r\nd\x1b[31m\x07",
    "format": "{{7*7}} ${jndi:ldap://x} %s%n '; DROP TABLE x; --",
    "emoji": "👩‍👩‍👧‍👦 Z̸͑a̴l̷g̵o̶",
    "dollar": '$where: {"$gt": ""}',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_text_is_shown_as_text(branch: Branch, name: str) -> None:
    message = await branch.write(person(), HOSTILE[name])
    assert (message["direction"], message["text"]) == ("inbound", HOSTILE[name])


async def test_what_has_no_utf8_form_is_replaced_and_the_rest_kept(client: Client, branch: Branch) -> None:
    sender = person()
    account = client.site.account("whatsapp", branch.name)
    marker = "MARK"
    content = {"type": "text", "text": {"body": marker}}
    good = whatsapp(account, WhatsAppSender(sender), content, "wamid.surrogates", datetime.now(UTC))
    body = good.body.replace(marker.encode(), rb"nul \u0000 lone \ud800 pair \ud83d\ude00 end")
    assert (await client.webhook(whatsapp_body(account, body))).status == 200
    await shown(client, sender, "nul \ufffd lone \ufffd pair 😀 end")


async def test_nul_in_a_reply_reaches_the_provider_replaced(client: Client, branch: Branch) -> None:
    agent, sender = await branch.agent(), person()
    conversation = (await branch.write(sender, "a question about hostile replies"))["conversation_id"]
    await branch.status(conversation, "open")
    answer = await client.send(
        "POST",
        f"/conversation/v1/conversations/{conversation}/replies",
        by=agent,
        headers={"Content-Type": "application/json"},
        content=json.dumps({"text": "reply \u0000 and <b>"}),
    )
    assert answer.status_code == 202, answer.text

    async def look() -> list[str]:
        return [entry["text"] for entry in await client.sent() if entry["to"] == sender]

    assert await until(look) == ["reply \ufffd and <b>"]


async def test_half_a_character_in_a_reply_is_422(client: Client, conversation_id: str) -> None:
    answer = await client.send(
        "POST",
        f"/conversation/v1/conversations/{conversation_id}/replies",
        by="lea",
        headers={"Content-Type": "application/json"},
        content=r'{"text": "lone \ud800"}',
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "text"


BODIES: list[tuple[str, str, Any, str]] = [
    ("POST", "/conversation/v1/conversations/{id}/replies", {}, "text"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": ""}, "text"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": " \n"}, "text"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": 5}, "text"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": "x" * 50_001}, "text"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": "x", "chanel": "sms"}, "chanel"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": "x", "channel": "pigeon"}, "channel"),
    ("POST", "/conversation/v1/conversations/{id}/replies", {"text": "x", "channel": "email"}, "channel"),
    ("POST", "/conversation/v1/conversations/{id}/notes", {"text": None}, "text"),
    ("POST", "/conversation/v1/conversations/{id}/close", {"confirmed": "perhaps"}, "confirmed"),
    ("POST", "/conversation/v1/conversations/{id}/transfer", {"inbox": "nowhere"}, "inbox"),
    ("PUT", "/conversation/v1/conversations/{id}/topics", {"topics": ["Not A Topic"]}, "topics"),
    ("PUT", "/conversation/v1/conversations/{id}/priority", {"priority": 11}, "priority"),
    ("POST", "/identity/v1/customers", {"identifiers": [{"kind": "phone", "value": "x"}]}, "identifiers.0"),
    ("PUT", "/router/v1/agents/somebody", {"name": "x", "inboxes": ["nowhere"]}, "inboxes.0"),
    (
        "PUT",
        "/router/v1/agents/somebody",
        {"name": "x", "inboxes": ["demo"], "capacity": {"total": -1}},
        "capacity.total",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), BODIES)
async def test_an_invalid_body_is_422_and_names_the_field(
    client: Client, conversation_id: str, method: str, path: str, body: Any, field: str
) -> None:
    answer = await client.act("lea", method, path.replace("{id}", conversation_id), body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(error["field"].startswith(field) for error in answer.json()["errors"]), answer.text


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'"text"', b"[]", b""])
async def test_a_body_that_is_no_json_object_is_422(
    client: Client, conversation_id: str, content: bytes
) -> None:
    path = f"/conversation/v1/conversations/{conversation_id}/replies"
    headers = {"Content-Type": "application/json"}
    answer = await client.send("POST", path, by="lea", headers=headers, content=content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_nested_beyond_all_measure_is_400(client: Client, conversation_id: str) -> None:
    path = f"/conversation/v1/conversations/{conversation_id}/replies"
    headers = {"Content-Type": "application/json"}
    answer = await client.send("POST", path, by="lea", headers=headers, content=b"[" * 100_000)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("token", [None, "x", "a.b.c", "Bearer", "ey.ey."])
async def test_without_a_good_token_nothing_is_shown(client: Client, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for path in (
        "/conversation/v1/conversations",
        "/identity/v1/customers",
        "/router/v1/agents",
        "/notifier/v1/stream",
        "/conversation/v1/webchat/demo/messages",
    ):
        answer = await client.send("GET", path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_forged_webhook_that_says_it_is_another_account_is_refused(
    client: Client, branch: Branch
) -> None:
    mail = Mail("mallory@mail.example.org", "hello", "forged words", "<other@mail.example.org>")
    mine, other = client.site.account("mime", branch.name), client.site.account("mime")
    webhook = replace(email(mine, mail, NOW), path="/ingest/v1/mime/demo")
    assert other.secrets != mine.secrets
    assert (await client.webhook(webhook)).status == 401


@pytest.fixture
async def conversation_id(client: Client) -> str:
    """Give a Conversation that commands could be about."""
    return str(
        (await Branch("demo", client).write(number(8001), "the one for invalid bodies"))["conversation_id"]
    )


async def quarantined(client: Client) -> float:
    text = (await client.send("GET", "/ingest/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("parley_ingest_quarantined_items_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
