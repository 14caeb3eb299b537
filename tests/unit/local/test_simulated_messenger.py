"""The simulated Send API of Messenger and Instagram: what it checks, answers, remembers and tells later."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from deploy.local.signing import meta_signature
from deploy.local.simulator.app import build_simulator
from services.chassis.accounts import Account, Accounts
from tests.unit.local.test_simulator import LOCAL, PUBLIC, Stack, settled

PATHS = {"messenger": "/v23.0/100200300400/messages", "instagram": "/v23.0/me/messages"}
ADDRESSES = {"messenger": "100200300400", "instagram": "178400500600"}
BOTH = pytest.mark.parametrize("provider", sorted(PATHS))
TEXT = {"text": "hello", "metadata": "ours-1"}
ACCOUNTS = Accounts(
    Account(
        provider=provider,
        account="demo",
        channel=provider,
        address=address,
        inbox="support",
        secrets={"app_id": "7", "app_secret": "secret", "access_token": f"token-{provider}"},
    )
    for provider, address in ADDRESSES.items()
)


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


async def ask(
    stack: Stack, provider: str, message: Mapping[str, Any] = TEXT, *, token: str = "", **change: object
) -> httpx.Response:
    return await stack.http.post(
        f"/dev/providers/{provider}{PATHS[provider]}",
        json={"recipient": {"id": "P1"}, "messaging_type": "RESPONSE", "message": message} | change,
        headers={"Authorization": f"Bearer {token or f'token-{provider}'}"},
    )


async def events(stack: Stack, provider: str) -> list[dict[str, Any]]:
    await settled(stack)
    found = []
    for url, headers, body in stack.received:
        assert url == f"{LOCAL}/ingest/v1/{provider}/demo"
        assert headers["X-Hub-Signature-256"] == meta_signature("secret", body)
        (entry,) = json.loads(body)["entry"]
        assert entry["id"] == ADDRESSES[provider]
        found += entry["messaging"]
    return found


async def test_messenger_echoes_with_app_and_metadata_and_tells_receipts_by_watermark(stack: Stack) -> None:
    mid = (await ask(stack, "messenger")).json()["message_id"]
    echo, delivery, read = await events(stack, "messenger")
    assert echo["message"] == {"mid": mid, "is_echo": True, "app_id": 7, **TEXT}
    assert (echo["sender"]["id"], echo["recipient"]["id"]) == ("100200300400", "P1")
    assert delivery["delivery"] == {"mids": [mid], "watermark": echo["timestamp"]}
    assert read["read"] == {"watermark": echo["timestamp"]}
    assert (read["sender"]["id"], read["recipient"]["id"]) == ("P1", "100200300400")


async def test_instagram_echoes_without_saying_by_whom_and_names_what_was_read(stack: Stack) -> None:
    mid = (await ask(stack, "instagram", {"text": "hello"})).json()["message_id"]
    echo, read = await events(stack, "instagram")
    assert echo["message"] == {"mid": mid, "is_echo": True, "text": "hello"}
    assert read["read"] == {"mid": mid}


@BOTH
async def test_a_file_is_remembered_by_its_address(provider: str, stack: Stack) -> None:
    url = "https://parley.example/files/a"
    message = {"attachment": {"type": "image", "payload": {"url": url, "is_reusable": False}}}
    assert (await ask(stack, provider, message)).status_code == 200
    (entry,) = await stack.sent()
    assert (entry["to"], entry["attachment"], entry["text"]) == ("P1", url, "")
    (echo, *_) = await events(stack, provider)
    assert echo["message"]["attachments"] == [{"type": "image", "payload": {"url": url}}]


@BOTH
@pytest.mark.parametrize(
    ("message", "change", "code"),
    [
        ({}, {}, 100),
        ({"text": "x" * 8001}, {}, 100),
        ({"text": "x", "attachment": {"type": "image", "payload": {"url": "https://x"}}}, {}, 100),
        ({"attachment": {"type": "image"}}, {}, 100),
        (TEXT, {"messaging_type": "MESSAGE_TAG"}, 100),
        (TEXT, {"messaging_type": "RESPONSE", "tag": "HUMAN_AGENT"}, 100),
        (TEXT, {"recipient": {}}, 100),
        (TEXT, {"token": "wrong"}, 190),
    ],
)
async def test_it_refuses_what_meta_refuses(
    provider: str, message: dict[str, Any], change: dict[str, Any], code: int, stack: Stack
) -> None:
    answer = await ask(stack, provider, message, **change)
    assert answer.json()["error"]["code"] == code
    assert await stack.sent() == []


@BOTH
@pytest.mark.parametrize(("mode", "code"), [("fail", 2), ("rate_limited", 613), ("reject", 551)])
async def test_a_failing_provider_sends_nothing_and_recovers_after_the_count(
    provider: str, mode: str, code: int, stack: Stack
) -> None:
    await stack.behave(provider=provider, mode=mode, count=1)
    assert (await ask(stack, provider)).json()["error"]["code"] == code
    assert await stack.sent() == []
    assert (await ask(stack, provider)).status_code == 200


async def test_of_an_undelivered_message_only_the_echo_is_heard(stack: Stack) -> None:
    await stack.behave(provider="messenger", mode="undelivered", count=1)
    await ask(stack, "messenger")
    assert [list(event)[-1] for event in await events(stack, "messenger")] == ["message"]
