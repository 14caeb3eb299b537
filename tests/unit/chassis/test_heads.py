"""Heads of requests that are too long or never end, over a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services.chassis import heads
from services.chassis.heads import BoundedHeads

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("here")(scope, receive, send)


@asynccontextmanager
async def connected() -> AsyncIterator[Connection]:
    config = uvicorn.Config(
        app, http=BoundedHeads, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            server.should_exit = True
            await serving


async def statuses(reader: asyncio.StreamReader, number: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(10):
        while len(found) < number:
            line = await reader.readline()
            assert line, "the connection ended"
            # an answer's text and the next status line share a line
            if b"HTTP/1.1 " in line:
                found.append(line.partition(b"HTTP/1.1 ")[2].split()[0])
    return found


async def test_a_head_that_is_too_long_is_431_and_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heads, "HEAD_BYTES", 2_000)
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = asyncio.create_task(reader.read())
        sent = 0
        while not answer.done() and sent < 10_000:
            writer.write(b"a: " + b"y" * 95 + b"\r\n")
            sent += 100
            await asyncio.wait([answer], timeout=0.02)
        assert (await asyncio.wait_for(answer, 5)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("begun", "status"), [(b"", b""), (b"GET / HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 408")]
)
async def test_a_head_that_never_ends_is_waited_for_no_longer(
    begun: bytes, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.1)
    async with connected() as (reader, writer):
        writer.write(begun)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(status)
        assert bool(answer) is bool(status)


async def test_a_second_head_on_the_connection_is_waited_for_no_longer_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.1)
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await statuses(reader, 1) == [b"200"]
        writer.write(b"GET / HT")
        assert await statuses(reader, 1) == [b"408"]


async def test_large_bodies_before_a_head_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 5.0)
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"b" * 200_000
    async with connected() as (reader, writer):
        whole = one * 3
        writer.write(whole[: len(one) + 20])
        await writer.drain()
        assert await statuses(reader, 1) == [b"200"]
        writer.write(whole[len(one) + 20 :])
        assert await statuses(reader, 2) == [b"200", b"200"]


async def test_a_slow_body_is_not_the_heads_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.05)
    async with connected() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"ab")
        assert await statuses(reader, 1) == [b"200"]
