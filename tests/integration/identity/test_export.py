"""An export is one JSON object over all services, or says which of them is away."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.chassis.mongo import Database
from services.chassis.problems import Problem
from services.identity.errors import UnknownCustomerError
from services.identity.export_api import VISITORS_AT_ONCE, Export
from tests.integration.identity.test_erasing import Place, shared
from tests.unit.identity.messages import EMAIL, NOW, PHONE

__all__ = ["shared"]
PHONE_MERGE = UUID(int=7)
URLS = {name: f"http://{name}:8080" for name in ("conversation", "notifier", "ingest")}


class Others:
    """The other services: each answers with what it was asked, but for one that is away."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.away: str | None = None
        self.refuses: str | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.host == self.away:
            raise httpx.ConnectError("away")
        if request.url.host == self.refuses:
            return httpx.Response(403)
        params = sorted(value for _, value in request.url.params.multi_items())
        return httpx.Response(200, json={"of": request.url.host, "params": params})


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
async def place(database: Database, shared: Database) -> Place:
    return Place(database, shared)


@pytest.fixture
async def export(place: Place, others: Others) -> AsyncIterator[Export]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(others)) as client:
        yield Export(place.database, place.erasing, client, URLS, lambda: NOW)


async def exported(export: Export, customer: str) -> dict[str, Any]:
    parts = [part async for part in await export.of(customer, "Bearer theirs")]
    found: dict[str, Any] = json.loads(b"".join(parts))
    return found


async def test_all_services_are_asked_for_all_homes_with_the_callers_own_token(
    place: Place, export: Export, others: Others
) -> None:
    survivor, absorbed = await place.meet(PHONE), await place.meet(EMAIL)
    await place.merges.merge(PHONE_MERGE, survivor, absorbed, by="lea")
    found = await exported(export, absorbed)
    assert found["customer"]["id"] == survivor
    assert {row["_id"] for row in found["customers"]} == {survivor, absorbed}
    assert {row["_id"] for row in found["identifiers"]} == {"phone:+15551230001", "email:ada@example.org"}
    assert found["conversation"] == {"of": "conversation", "params": sorted([survivor, absorbed])}
    assert found["notifier"]["of"] == "notifier"
    assert found["ingest"] == {"of": "ingest", "params": []}
    assert {request.headers["authorization"] for request in others.asked} == {"Bearer theirs"}


async def test_many_chat_sessions_are_asked_for_in_several_requests(place: Place, export: Export) -> None:
    customer = await place.meet(PHONE)
    rows = [
        {"_id": f"visitor:{number:04d}", "customer_id": customer, "verified": True, "at": NOW}
        for number in range(VISITORS_AT_ONCE + 1)
    ]
    await place.database["identifiers"].insert_many(rows)
    found = await exported(export, customer)
    assert [len(each["params"]) for each in found["ingest"]] == [VISITORS_AT_ONCE, 1]


@pytest.mark.parametrize("name", URLS)
async def test_a_service_that_is_away_or_refuses_is_named(
    name: str, place: Place, export: Export, others: Others
) -> None:
    customer = await place.meet(PHONE)
    for others.away, others.refuses in ((name, None), (None, name)):
        with pytest.raises(Problem) as raised:
            await export.of(customer, "Bearer theirs")
        assert raised.value.status == 503
        assert name in str(raised.value.body["detail"])


async def test_nobody_unknown_or_erased_is_exported(place: Place, export: Export) -> None:
    customer = await place.meet(PHONE)
    await place.erasing.erase(customer, PHONE_MERGE)
    for unknown in (customer, "nobody"):
        with pytest.raises(UnknownCustomerError):
            await export.of(unknown, "Bearer theirs")
