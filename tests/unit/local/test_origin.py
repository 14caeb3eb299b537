"""All services behind one address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from deploy.local.origin import Lifespans, OneOrigin


def service(name: str, log: list[str] | None = None, *, fails: bool = False) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if fails:
            message = f"{name} can't start"
            raise RuntimeError(message)
        if log is not None:
            log.append(f"{name} starts")
        yield
        if log is not None:
            log.append(f"{name} stops")

    app = FastAPI(lifespan=lifespan)

    @app.get(f"/{name}/v1/who")
    async def who() -> str:
        return name

    return app


async def get(path: str) -> httpx.Response:
    origin = OneOrigin({name: service(name) for name in ("ingest", "router")}, {"dev": service("dev")})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(origin), base_url="http://local") as http:
        return await http.get(path)


async def test_a_request_goes_to_the_service_named_first() -> None:
    assert (await get("/router/v1/who")).json() == "router"
    assert (await get("/dev/v1/who")).json() == "dev"


async def test_the_root_lists_the_services_and_not_the_simulator() -> None:
    listed = (await get("/")).json()["services"]
    assert [(each["name"], each["openapi"], each["health"]) for each in listed] == [
        ("ingest", "/ingest/openapi.json", "/ingest/readyz"),
        ("router", "/router/openapi.json", "/router/readyz"),
    ]


async def test_another_path_is_a_problem_that_says_where_to_look() -> None:
    answer = await get("/nobody/v1/who")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "GET / lists them" in answer.json()["detail"]


async def test_lifespans_start_and_stop_with_the_process() -> None:
    log: list[str] = []
    lifespans = Lifespans({"ingest": service("ingest", log), "router": service("router", log)})
    await lifespans.start()
    assert log == ["ingest starts", "router starts"]
    await lifespans.stop()
    assert sorted(log[2:]) == ["ingest stops", "router stops"]


async def test_a_service_that_cannot_start_is_told_and_the_others_stop() -> None:
    log: list[str] = []
    lifespans = Lifespans({"ingest": service("ingest", log), "router": service("router", fails=True)})
    with pytest.raises(RuntimeError, match="router can't start"):
        await lifespans.start()
    await lifespans.stop()
    assert log == ["ingest starts", "ingest stops"]
