"""What stands in for the world beside services that run elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import KeySet

from deploy.local.dev import build_app
from deploy.local.keys import StackKeys
from deploy.local.ports import LOCALHOST, free_port
from deploy.local.stack import HERE, Stack
from deploy.local.up import SERVICES
from tests.system.waiting import until


@asynccontextmanager
async def proxied(port: int, told: dict[str, str]) -> AsyncIterator[None]:
    """Answer as proxy and services do; `told` gets the token by which each Agent was made known."""
    app = FastAPI()

    @app.get("/{service}/readyz")
    async def readyz(service: str) -> dict[str, str]:
        return {"service": service}

    @app.put("/router/v1/agents/{agent}")
    async def profile(agent: str, request: Request) -> dict[str, str]:
        told[agent] = request.headers["authorization"].removeprefix("Bearer ")
        return {}

    server = uvicorn.Server(uvicorn.Config(app, host=LOCALHOST, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def test_agents_are_told_once_services_answer_and_keys_and_list_are_there_at_once(
    tmp_path: Path,
) -> None:
    port, keys, told = free_port(), StackKeys.make(), dict[str, str]()
    url = f"http://{LOCALHOST}:{port}"
    stack = Stack(port, tmp_path, url, HERE / "accounts.yaml", HERE / "agents.yaml")
    app = build_app(stack, keys)

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://dev") as client,
    ):

        async def ready() -> int:
            return (await client.get("/dev/readyz")).status_code

        assert await ready() == 503
        listed: Any = (await client.get("/")).json()["services"]
        assert [service["name"] for service in listed] == list(SERVICES)
        assert (await client.get("/nowhere")).status_code == 404
        published: Any = (await client.get("/dev/jwks.json")).json()

        async with proxied(port, told):
            await until(ready, lambda status: status == 200)

    assert told.keys() == {"ana", "ben", "cleo"}
    claims = jwt.decode(told["ana"], KeySet.import_key_set(published), algorithms=["ES256"]).claims
    assert claims["roles"] == ["service"]
