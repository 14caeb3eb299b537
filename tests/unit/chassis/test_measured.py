"""Every request is counted by its status, also one that ended in an error nobody caught."""

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pymongo.errors import AutoReconnect

from services.chassis import problems
from services.chassis.measured import Measured


@pytest.mark.parametrize(("path", "status"), [("/fine", 200), ("/away", 503), ("/bug", 500)])
async def test_a_request_is_counted_by_its_status(path: str, status: int) -> None:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(Measured, service="demo")

    @app.get("/fine")
    async def fine() -> None: ...

    @app.get("/away")
    async def away() -> None:
        raise AutoReconnect

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        assert (await client.get(path)).status_code == status
    labels = {"service": "demo", "method": "GET", "route": path, "status": str(status)}
    assert REGISTRY.get_sample_value("parley_http_request_seconds_count", labels) == 1
