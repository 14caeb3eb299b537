"""What holds up a request is answered 503; streams and slow uploads are not cut off."""

import asyncio
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pymongo.errors import ServerSelectionTimeoutError

from services.chassis import problems
from services.chassis.deadline import Deadline

SECONDS = 0.2


def application() -> tuple[FastAPI, asyncio.Event]:
    app, ended = FastAPI(), asyncio.Event()

    @app.post("/hangs")
    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @app.get("/streams")
    async def streams() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            for _ in range(4):
                yield "x"
                await asyncio.sleep(SECONDS / 2)

        return StreamingResponse(parts())

    @app.post("/uploads")
    async def uploads(request: Request) -> int:
        return len(await request.body())

    @app.get("/fails")
    async def fails() -> None:
        raise ServerSelectionTimeoutError

    problems.install(app)
    app.add_middleware(Deadline, seconds=SECONDS)
    return app, ended


async def test_a_request_that_hangs_is_ended_and_answered_as_a_problem() -> None:
    app, ended = application()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        answer = await http.post("/hangs")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"] == "2"
    assert ended.is_set()


async def test_an_answer_that_has_begun_may_take_its_time() -> None:
    app, _ = application()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        answer = await http.get("/streams")
    assert (answer.status_code, answer.text) == (200, "xxxx")


async def test_a_body_that_comes_slowly_is_waited_for() -> None:
    app, _ = application()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(SECONDS / 2)
            yield b"x"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        answer = await http.post("/uploads", content=body())
    assert (answer.status_code, answer.text) == (200, "4")


async def test_a_database_that_is_away_is_answered_and_raises_nothing_further() -> None:
    app, _ = application()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        answer = await http.get("/fails")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
