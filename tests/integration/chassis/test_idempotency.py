"""`Idempotency-Key` on the MongoDB protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from services.chassis import problems
from services.chassis.clock import utc_now
from services.chassis.idempotency import Answer, Commands
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings

Run = Callable[[UUID], Awaitable[Answer]]


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "test")
    yield found
    await found.client.close()


class Door:
    """An application with one command, `run`."""

    def __init__(self, database: Database) -> None:
        self.commands = Commands(database, lambda: utc_now() + self.later)
        self.later = timedelta()
        self.ran: list[UUID] = []
        self.run: Run = self.count
        app = FastAPI()
        problems.install(app)

        @app.post("/pay")
        async def pay(request: Request) -> Response:
            return await self.commands.once(request, "ana", await request.json(), self.now_running)

        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://t"
        )

    async def now_running(self, own: UUID) -> Answer:
        return await self.run(own)

    async def count(self, own: UUID) -> Answer:
        self.ran.append(own)
        await asyncio.sleep(0.05)
        return Answer(202, {"number": len(self.ran)})

    async def post(self, body: object, key: str | None) -> httpx.Response:
        headers = {"idempotency-key": key} if key is not None else {}
        return await self.http.post("/pay", json=body, headers=headers)


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Door]:
    made = Door(database)
    await made.commands.prepare()
    yield made
    await made.http.aclose()


async def test_the_same_key_gives_the_first_answer_again(door: Door) -> None:
    first, again = await door.post({"a": 1}, "k"), await door.post({"a": 1}, "k")
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (202, {"number": 1})
    assert len(door.ran) == 1


async def test_concurrent_ones_wait_for_the_first(door: Door) -> None:
    answers = await asyncio.gather(*(door.post({"a": 1}, "k") for _ in range(8)))
    assert {answer.text for answer in answers} == {'{"number":1}'}
    assert len(door.ran) == 1


async def test_another_body_is_refused(door: Door) -> None:
    await door.post({"a": 1}, "k")
    refusal = await door.post({"a": 2}, "k")
    assert (refusal.status_code, refusal.headers["content-type"]) == (422, "application/problem+json")
    assert "Idempotency-Key" in refusal.json()["detail"]


async def test_without_a_key_each_request_runs(door: Door) -> None:
    await door.post({"a": 1}, None)
    await door.post({"a": 1}, None)
    assert len(set(door.ran)) == 2


async def test_a_refusal_is_remembered_too(door: Door) -> None:
    async def refuse(own: UUID) -> Answer:
        door.ran.append(own)
        raise problems.conflict("the Conversation is closed", state="closed")

    door.run = refuse
    first, again = await door.post({}, "k"), await door.post({}, "k")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.json()["state"] == "closed"
    assert len(door.ran) == 1


async def test_after_a_fault_it_runs_again_under_the_same_id(door: Door) -> None:
    async def fail(own: UUID) -> Answer:
        door.ran.append(own)
        raise ConnectionError

    door.run = fail
    assert (await door.post({}, "k")).status_code == 503
    door.run = door.count
    assert (await door.post({}, "k")).status_code == 202
    assert door.ran[0] == door.ran[1]


async def test_a_run_that_died_is_taken_over_when_its_lease_is_over(door: Door, database: Database) -> None:
    async def die(own: UUID) -> Answer:
        door.ran.append(own)
        raise asyncio.CancelledError

    door.run = die
    with pytest.raises(asyncio.CancelledError):
        await door.post({}, "k")
    await database["idempotency"].update_many({}, {"$set": {"until": utc_now() + timedelta(seconds=14)}})
    door.later = timedelta(seconds=15)
    door.run = door.count
    assert (await door.post({}, "k")).status_code == 202
    assert door.ran[0] == door.ran[1]


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_of_an_odd_length_is_named(door: Door, key: str) -> None:
    refusal = await door.post({}, key)
    assert refusal.status_code == 422
    assert door.ran == []
