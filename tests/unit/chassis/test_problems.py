"""Errors that name what was wrong."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from pymongo.errors import AutoReconnect

from services.chassis import problems


class Body(BaseModel):
    number: int


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)

    @app.post("/things")
    async def things(body: Body) -> int:
        return body.number

    @app.get("/away")
    async def away() -> None:
        raise AutoReconnect("secret-host")

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError("what a person wrote")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "field"),
    [
        (b'{"number": "x"}', JSON, "number"),
        (b"{}", JSON, "number"),
        (b'{"number": ', JSON, "body"),
        (b'{"number": 1}', {}, "Content-Type"),
        (b'{"number": 1}', {"content-type": "application/x-www-form-urlencoded"}, "Content-Type"),
    ],
)
async def test_an_invalid_body_names_the_field(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], field: str
) -> None:
    refusal = await http.post("/things", content=content, headers=headers)
    assert (refusal.status_code, refusal.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in refusal.json()["errors"]] == [field]
    assert field in refusal.json()["detail"]


@pytest.mark.parametrize(("path", "status"), [("/away", 503), ("/bug", 500), ("/nowhere", 404)])
async def test_faults_are_told_apart_and_quote_nothing(
    http: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert "secret-host" not in answer.text
    assert "person" not in answer.text
