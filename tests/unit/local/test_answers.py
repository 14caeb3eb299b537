"""Providers that do not answer, over real HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
import uvicorn

from deploy.local.simulator.app import build_simulator
from deploy.local.stack import HERE
from services.chassis.accounts import Accounts

MAIL = (
    b"From: support@parley.example\r\nTo: ann@mail.example.org\r\nSubject: Re\r\n"
    b"Message-ID: <1@parley.example>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\nHello\r\n"
)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    simulator = build_simulator(
        Accounts.load(HERE / "accounts.yaml"), public_url="http://127.0.0.1:1", local_url="http://127.0.0.1:1"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(
            uvicorn.Config(simulator, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client:
            yield client
        server.should_exit = True
        await serving


async def send(http: httpx.AsyncClient, mode: str) -> httpx.Response:
    order = {"provider": "mime", "mode": mode, "count": 1}
    (await http.post("/dev/providers/behaviour", json=order)).raise_for_status()
    headers = {"Authorization": "Bearer demo-mime-token"}
    return await http.post("/dev/providers/mime/messages", content=MAIL, headers=headers, timeout=0.5)


async def sent(http: httpx.AsyncClient) -> list[str]:
    return [entry["to"] for entry in (await http.get("/dev/providers/sent")).json()]


async def test_a_hanging_provider_keeps_the_caller_waiting_and_sends_nothing(http: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await send(http, "hang")
    assert await sent(http) == []


async def test_a_lost_answer_is_a_broken_connection_after_the_message_was_sent(
    http: httpx.AsyncClient,
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await send(http, "lose_answer")
    assert await sent(http) == ["ann@mail.example.org"]


async def test_after_the_count_it_behaves_well_again(http: httpx.AsyncClient) -> None:
    with suppress(httpx.ReadTimeout):
        await send(http, "hang")
    assert (await send(http, "ok")).status_code == 202
