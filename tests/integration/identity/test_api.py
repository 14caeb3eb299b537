"""identity's HTTP contract, on the real database protocol."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from schemas.customers import CustomerUpdated
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis.faults import BrokerUnavailable
from services.chassis.mongo import Database
from services.identity.app import build_app
from services.identity.settings import IdentitySettings
from tests.crash import Log
from tests.integration.identity.conftest import Identity
from tests.unit.identity.messages import PHONE, batch, shown

SMS = {"kind": "sms", "value": "+1 (555) 123-0001"}
EMAIL = {"kind": "email", "value": "Ada@Example.ORG"}
PATH = "/identity/v1/customers"


class Away(Log):
    """A broker that is away while `down`."""

    down = False

    async def publish(self, batch: Any) -> None:
        if self.down:
            raise BrokerUnavailable
        await super().publish(batch)


@dataclass
class Api:
    app: FastAPI
    client: httpx.AsyncClient
    log: Away
    key: ECKey

    def token(self, role: str, subject: str) -> dict[str, str]:
        claims = {
            "iss": "parley",
            "aud": "parley",
            "sub": subject,
            "roles": [role],
            "exp": int(time.time()) + 600,
        }
        return {"Authorization": f"Bearer {jwt.encode({'alg': 'ES256'}, claims, self.key)}"}

    async def __call__(
        self, method: str, path: str, body: object = None, *, role: str = "agent", key: str | None = None
    ) -> httpx.Response:
        headers = self.token(role, "ana") | ({"Idempotency-Key": key} if key else {})
        return await self.client.request(method, path, json=body, headers=headers)

    async def made(self, *identifiers: dict[str, str], **fields: object) -> dict[str, Any]:
        answer = await self("POST", PATH, {"identifiers": identifiers, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def events(self) -> list[Any]:
        adapter = CUSTOMERS_EVENTS.adapter
        return [adapter.validate_json(record.value) for record in self.log.records]


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    key = ECKey.generate_key("P-256", auto_kid=True)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    log = Away()
    app = build_app(
        IdentitySettings(jwks_url=jwks.as_uri()),
        publisher=log,  # type: ignore[arg-type]
        database=database,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://identity.test") as client:
        yield Api(app, client, log, key)


async def test_a_customer_is_made_found_and_told_of(api: Api) -> None:
    made = await api.made(
        SMS,
        EMAIL,
        {"kind": "external:shop", "value": "42"},
        name=" Ada  Lovelace ",
        attributes={"tier": "gold"},
    )
    assert made["name"] == "Ada Lovelace"
    assert made["attributes"] == {"tier": "gold"}
    assert made["identifiers"] == [
        {"kind": "phone", "value": "+15551230001", "verified": False},
        {"kind": "email", "value": "Ada@example.org", "verified": False},
        {"kind": "external:shop", "value": "42", "verified": False},
    ]
    assert (await api("GET", f"{PATH}/{made['id']}")).json() == made
    for written in (
        "sms:%2B15551230001",
        "phone:+15551230001",
        "voice:(555)123-0001",
        "email:Ada@EXAMPLE.org",
        "external:shop:42",
    ):
        found = await api("GET", f"{PATH}?identifier={written}")
        assert found.json() == {"items": [made], "next_cursor": None}, written
    (event,) = api.events()
    assert (event.type, event.customer_id, event.personal.attributes) == (
        "customer.created",
        made["id"],
        {"tier": "gold"},
    )


async def test_nobody_has_the_identifier(api: Api) -> None:
    await api.made(SMS)
    answer = await api("GET", f"{PATH}?identifier=sms:%2B15551239999")
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


@pytest.mark.parametrize("written", ["15551230001", "sms:abc", "pigeon:grey", "email:nobody", ""])
async def test_a_malformed_identifier_is_named_in_the_answer(api: Api, written: str) -> None:
    answer = await api("GET", f"{PATH}?identifier={written}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == ["identifier"]


async def test_names_are_found_by_the_beginnings_of_their_words_in_any_case(api: Api) -> None:
    ada = await api.made(name="Ada Lovelace")
    await api.made(name="Charles Babbage")
    await api.made()
    for asked in ("ada", "LOVE", "love ad", "\uff21da"):
        found = (await api("GET", PATH + f"?q={asked}")).json()["items"]
        assert [item["id"] for item in found] == [ada["id"]], asked
    for asked in ("ada bab", ".*", "elace"):
        assert (await api("GET", PATH + f"?q={asked}")).json()["items"] == [], asked


async def test_pages_show_everyone_once_newest_first(api: Api) -> None:
    made = [(await api.made(name=f"Grace {number}"))["id"] for number in range(5)]
    seen: list[str] = []
    path = f"{PATH}?q=grace&limit=2"
    cursor = ""
    while cursor is not None:
        page = (await api("GET", path + (f"&cursor={cursor}" if cursor else ""))).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("place", [b"nonsense", b"[" * 40_000, b'[1e999, "x"]', b"[[1, 2], 3]"])
async def test_a_cursor_that_is_not_ours_is_refused_by_field(api: Api, place: bytes) -> None:
    answer = await api("GET", f"{PATH}?cursor={base64.urlsafe_b64encode(place).decode()}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_an_identifier_of_another_customer_is_refused_and_nothing_is_made(
    api: Api, database: Database
) -> None:
    first = await api.made(SMS)
    answer = await api("POST", PATH, {"identifiers": [EMAIL, SMS]})
    assert answer.status_code == 409
    assert first["id"] in answer.json()["detail"]
    assert (await api("GET", f"{PATH}?identifier=email:ada@example.org")).json()["items"] == []
    assert await database["customers"].count_documents({}) == 1


async def test_twenty_agents_at_once_make_one_customer_of_an_identifier(api: Api, database: Database) -> None:
    bodies = [{"identifiers": [SMS, {"kind": "email", "value": f"a{n}@example.org"}]} for n in range(20)]
    answers = await asyncio.gather(*(api("POST", PATH, body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 19]
    assert await database["customers"].count_documents({}) == 1
    assert await database["identifiers"].count_documents({}) == 2


async def test_a_message_and_an_agent_at_once_make_one_customer(api: Api, database: Database) -> None:
    identity = Identity(database)
    await asyncio.gather(
        *(identity.customers.identify(batch(shown(PHONE, number=number))) for number in range(5)),
        *(api("POST", PATH, {"identifiers": [SMS]}) for _ in range(5)),
    )
    (stored,) = [row async for row in database["customers"].find({})]
    assert [known["verified"] for known in stored["identifiers"]] == [True]
    assert await database["identifiers"].count_documents({}) == 1


async def test_the_same_key_gives_the_same_customer(api: Api, database: Database) -> None:
    answers = await asyncio.gather(*(api("POST", PATH, {"name": "Ada"}, key="k1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await database["customers"].count_documents({}) == 1
    assert (await api("POST", PATH, {"name": "Eve"}, key="k1")).status_code == 422


async def test_name_and_attributes_are_patched(api: Api) -> None:
    made = await api.made(name="Ada", attributes={"tier": "gold", "language": "en"})
    path = f"{PATH}/{made['id']}"
    changed = await api("PATCH", path, {"attributes": {"tier": "silver", "language": None, "vip": "yes"}})
    assert changed.status_code == 200
    sources = changed.json()["attribute_sources"]
    assert sources.keys() == {"tier", "vip"}
    assert changed.json() == made | {
        "attributes": {"tier": "silver", "vip": "yes"},
        "attribute_sources": sources,
    }
    assert (await api("PATCH", path, {"name": None})).json()["name"] is None
    assert (await api("PATCH", path, {})).json()["attributes"] == {"tier": "silver", "vip": "yes"}
    updates = [event for event in api.events() if isinstance(event, CustomerUpdated)]
    assert [event.seq for event in updates] == [2, 3]
    assert (await api("GET", path)).json()["name"] is None


async def test_concurrent_patches_all_take_effect(api: Api) -> None:
    made = await api.made()
    path = f"{PATH}/{made['id']}"
    await asyncio.gather(*(api("PATCH", path, {"attributes": {f"a{n}": str(n)}}) for n in range(10)))
    assert (await api("GET", path)).json()["attributes"] == {f"a{n}": str(n) for n in range(10)}


async def test_attributes_that_outgrow_a_customer_are_refused_by_field(api: Api) -> None:
    path = f"{PATH}/{(await api.made())['id']}"
    for part in range(2):
        body = {"attributes": {f"{part}-{n}": str(n) for n in range(50)}}
        assert (await api("PATCH", path, body)).status_code == 200
    refused = await api("PATCH", path, {"attributes": {"one": "more"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "attributes")
    assert len((await api("GET", path)).json()["attributes"]) == 100


async def test_a_command_whose_answer_a_crash_swallowed_is_answered_as_if_it_had_not(
    api: Api, database: Database
) -> None:
    made = await api.made(name="Ada", attributes={"tier": "gold"})
    path = f"{PATH}/{made['id']}"
    commands = [
        ("POST", f"{path}/identifiers", SMS, 201),
        ("PATCH", path, {"attributes": {"tier": "silver"}}, 200),
        ("DELETE", f"{path}/identifiers/sms/+15551230001", None, 200),
    ]
    for method, where, body, status in commands:
        assert (await api(method, where, body, key="k1")).status_code == status
    await api("PATCH", path, {"attributes": {"tier": "bronze"}})
    told = len(api.events())
    await database["idempotency"].update_many({}, {"$set": {"answer": None, "until": datetime.now(UTC)}})
    for method, where, body, status in commands:
        assert (await api(method, where, body, key="k1")).status_code == status
    found = (await api("GET", path)).json()
    assert (found["identifiers"], found["attributes"]) == ([], {"tier": "bronze"})
    assert len(api.events()) == told


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"nick": "Ada"}, "nick"),
        ({"attributes": {"a.b": "1"}}, "attributes"),
        ({"attributes": {"$set": "1"}}, "attributes"),
        ({"attributes": {"a": 1}}, "attributes.a"),
        ({"attributes": {"a": "x" * 1001}}, "attributes.a"),
        ({"name": "x" * 201}, "name"),
        ({"identifiers": [{"kind": "sms", "value": "nobody"}]}, "identifiers.0.value"),
        ({"identifiers": [{"kind": "pigeon", "value": "1"}]}, "identifiers.0.kind"),
    ],
)
async def test_an_invalid_body_is_refused_by_field(api: Api, body: object, field: str) -> None:
    answer = await api("POST", PATH, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


async def test_an_identifier_is_given_once_and_refused_to_others(api: Api) -> None:
    ada, eve = await api.made(name="Ada"), await api.made(name="Eve")
    first = await api("POST", f"{PATH}/{ada['id']}/identifiers", SMS)
    assert first.status_code == 201
    assert first.json()["identifiers"][0]["value"] == "+15551230001"
    assert (await api("POST", f"{PATH}/{ada['id']}/identifiers", SMS)).status_code == 200
    refused = await api("POST", f"{PATH}/{eve['id']}/identifiers", SMS)
    assert refused.status_code == 409
    assert ada["id"] in refused.json()["detail"]
    assert (await api("POST", f"{PATH}/nobody/identifiers", EMAIL)).status_code == 404


async def test_an_identifier_taken_away_leads_to_a_new_customer(api: Api, database: Database) -> None:
    made = await api.made(SMS, {"kind": "external", "value": "shop:4/2"})
    path = f"{PATH}/{made['id']}/identifiers"
    assert (await api("DELETE", f"{path}/sms/+15551230001")).status_code == 200
    left = await api("DELETE", f"{path}/external:shop/4/2")
    assert left.json()["identifiers"] == []
    assert (await api("DELETE", f"{path}/sms/+15551230001")).status_code == 404
    identity = Identity(database)
    await identity.customers.identify(batch(shown(PHONE)))
    found = (await api("GET", f"{PATH}?identifier=sms:+15551230001")).json()["items"]
    assert [item["id"] for item in found] != [made["id"]]
    assert (await api("GET", f"{PATH}/{made['id']}")).json()["identifiers"] == []


async def test_a_change_stands_while_the_broker_is_away(api: Api) -> None:
    api.log.down = True
    made = await api.made(SMS)
    assert (await api("GET", f"{PATH}/{made['id']}")).status_code == 200
    assert api.events() == []
    api.log.down = False
    await api("PATCH", f"{PATH}/{made['id']}", {"name": "Ada"})
    assert [(event.type, event.seq) for event in api.events()] == [
        ("customer.created", 1),
        ("customer.updated", 2),
    ]


async def test_only_agents_get_in_and_unknown_is_unknown(api: Api) -> None:
    assert (await api.client.get(PATH)).status_code == 401
    assert (await api("GET", PATH, role="visitor")).status_code == 403
    assert (await api("GET", f"{PATH}/nobody")).status_code == 404
    assert (await api("PATCH", f"{PATH}/nobody", {"name": "x"})).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [
        ("DELETE", f"{PATH}/x", "lead", 403),
    ],
)
async def test_only_admins_erase(api: Api, method: str, path: str, role: str, status: int) -> None:
    assert (await api(method, path, role=role)).status_code == status


async def test_each_attribute_says_who_gave_it(api: Api) -> None:
    made = await api.made(SMS, attributes={"tier": "gold"})
    await api("PATCH", f"{PATH}/{made['id']}", {"attributes": {"language": "pt"}}, role="service")
    found = (await api("GET", f"{PATH}/{made['id']}")).json()
    assert found["attributes"] == {"tier": "gold", "language": "pt"}
    sources = {name: each["source"] for name, each in found["attribute_sources"].items()}
    assert sources == {"tier": "agent:ana", "language": "system:ana"}
    await api("PATCH", f"{PATH}/{made['id']}", {"attributes": {"tier": None}})
    assert list((await api("GET", f"{PATH}/{made['id']}")).json()["attribute_sources"]) == ["language"]
