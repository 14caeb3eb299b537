"""Who saw and changed what: noted before the answer, published after it, once for each thing done."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from pymongo.errors import AutoReconnect

from schemas.audit import AuditEntry
from services.chassis import problems
from services.chassis.audit import Action, Audited, Trail, about
from services.chassis.auth import Principal, Role, Visitor
from services.chassis.broker import Outgoing
from services.chassis.faults import BrokerUnavailable
from services.chassis.mongo import Database, connect
from services.chassis.problems import not_found
from services.chassis.settings import Settings
from tests.crash import Crash, Fuse, Log
from tests.crash import Database as Crashing

ACTIONS = {
    ("GET", "/v1/customers/{customer_id}"): Action("customer.viewed"),
    ("DELETE", "/v1/customers/{customer_id}/files/{file_id}/{name}"): Action("file.removed", ("file_id",)),
    ("POST", "/v1/customers/{customer_id}/typing"): None,
}


class Away(Log):
    down = False

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        if self.down:
            raise BrokerUnavailable
        await super().publish(batch)


async def caller(request: Request) -> Principal | Visitor:
    who = request.headers.get("who", "ana")
    if who == "visitor":
        return Visitor("demo", "v-1")
    request.state.principal = Principal(who, frozenset({Role.AGENT}))
    found: Principal = request.state.principal
    return found


class Door:
    def __init__(self, database: Database, fuse: Fuse | None = None) -> None:
        self.now = datetime(2026, 3, 1, 9, 0, 30, tzinfo=UTC)
        self.log = Away()
        self.failing = False
        self.trail = Trail(
            Crashing(database, fuse or Fuse(None)),  # type: ignore[arg-type]
            self.log,
            "desk",
            lambda: self.now,
            self._also,
        )
        app = FastAPI(dependencies=[Depends(caller)])
        problems.install(app)
        app.add_middleware(Audited, trail=self.trail, prefix="/desk", actions=ACTIONS)
        self._routes(app)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t")

    async def _also(self, _: Sequence[AuditEntry]) -> None:
        if self.failing:
            raise AutoReconnect

    @staticmethod
    def _routes(app: FastAPI) -> None:
        @app.api_route("/desk/v1/customers/{customer_id}", methods=["GET", "PATCH"])
        async def customer(customer_id: str, _: Annotated[object, Depends(caller)]) -> dict[str, str]:
            if customer_id == "nobody":
                raise not_found("the Customer")
            return {"secret": "of the Customer"}

        @app.get("/desk/v1/search")
        async def search() -> None:
            about("c-1")
            about("c-2", conversation="k-2")

        @app.delete("/desk/v1/customers/{customer_id}/files/{file_id}/{name}")
        async def remove(customer_id: str, file_id: str, name: str) -> list[str]:
            return [customer_id, file_id, name]

        @app.post("/desk/v1/customers/{customer_id}/typing")
        async def typing(customer_id: str) -> str:
            return customer_id

    async def __call__(self, method: str, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, f"/desk/v1{path}", headers=named)

    async def entries(self) -> list[AuditEntry]:
        await self.trail.publish()
        return [AuditEntry.model_validate_json(record.value) for record in self.log.records]

    async def told(self) -> list[tuple[str, str, str, dict[str, str]]]:
        return [
            (each.data.actor, each.data.action, each.customer_id, each.data.what)
            for each in await self.entries()
        ]


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "test")
    yield found
    await found.client.close()


@pytest.fixture
def door(database: Database) -> Door:
    return Door(database)


async def test_who_looks_again_within_the_minute_is_noted_once(door: Door) -> None:
    for _ in range(3):
        assert (await door("GET", "/customers/c-1")).status_code == 200
    await door("GET", "/customers/c-1", who="ben")
    assert await door.told() == [
        ("ana", "customer.viewed", "c-1", {}),
        ("ben", "customer.viewed", "c-1", {}),
    ]
    await door("GET", "/customers/c-1")
    assert len(await door.told()) == 2
    door.now += timedelta(minutes=1)
    await door("GET", "/customers/c-1")
    assert len(await door.told()) == 3


async def test_replicas_that_note_the_same_make_one_entry(database: Database) -> None:
    one, other = Door(database), Door(database)
    await one("GET", "/customers/c-1")
    await other("GET", "/customers/c-1")
    assert len(await one.told()) == 1
    await other("GET", "/customers/c-1")
    assert await other.told() == []


async def test_a_command_is_one_entry_however_often_it_is_repeated(door: Door) -> None:
    for key in ("k1", "k1", "k2"):
        await door("PATCH", "/customers/c-1", idempotency_key=key)
    assert [each.data.action for each in await door.entries()] == ["customer", "customer"]
    await door("PATCH", "/customers/c-1")
    await door("PATCH", "/customers/c-1")
    assert len({each.id for each in await door.entries()}) == 4


async def test_an_entry_names_only_the_parameters_that_it_may(door: Door) -> None:
    await door("DELETE", "/customers/c-1/files/f-7/ada@mail.example")
    await door("GET", "/search")
    assert await door.told() == [
        ("ana", "file.removed", "c-1", {"file": "f-7"}),
        ("ana", "search.viewed", "c-1", {}),
        ("ana", "search.viewed", "c-2", {"conversation": "k-2"}),
    ]


async def test_refusals_visitors_and_what_is_of_no_interest_leave_no_entry(door: Door) -> None:
    assert (await door("GET", "/customers/nobody")).status_code == 404
    assert (await door("GET", "/customers/c-1", who="visitor")).status_code == 200
    assert (await door("POST", "/customers/c-1/typing")).status_code == 200
    assert await door.told() == []


async def test_what_cannot_be_noted_is_not_shown(door: Door) -> None:
    door.failing = True
    refused = await door("GET", "/customers/c-1")
    assert refused.status_code == 503
    assert b"secret" not in refused.content
    door.failing = False
    assert (await door("GET", "/customers/c-1")).status_code == 200


async def test_entries_wait_while_kafka_is_away(door: Door) -> None:
    door.log.down = True
    assert (await door("GET", "/customers/c-1")).status_code == 200
    with pytest.raises(BrokerUnavailable):
        await door.trail.publish()
    door.log.down = False
    assert len(await door.told()) == 1
    assert len(await door.told()) == 1


@pytest.mark.parametrize("step", range(1, 8))
async def test_a_crash_at_any_step_loses_no_entry_of_an_answer_that_went_out(
    database: Database, step: int
) -> None:
    fuse = Fuse(step)
    door = Door(database, fuse)
    door.log.fuse = fuse
    shown: Any = None
    try:
        shown = await door("GET", "/customers/c-1")
        await door.trail.publish()
    except Crash:
        pass
    again = Door(database)
    ids = {each.id for each in [*await again.entries(), *_published(door.log)]}
    assert len(ids) == 1 or (shown is None and not ids)


def _published(log: Log) -> list[AuditEntry]:
    return [AuditEntry.model_validate_json(record.value) for record in log.records]
