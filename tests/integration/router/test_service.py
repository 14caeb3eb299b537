"""The whole service over HTTP, on the embedded servers: commands are decided, answered and shown."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local.keys import StackKeys
from schemas.common import Channel
from schemas.envelope import Envelope
from schemas.topics import ROUTING_COMMANDS
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.topics import create_topics
from services.router.app import build_app
from services.router.settings import RouterSettings
from tests.unit.router.commands import POOL, request


class Client:
    """Speaks to the service as anybody."""

    def __init__(self, http: httpx.AsyncClient, keys: StackKeys, publisher: KafkaPublisher) -> None:
        self._http, self._keys, self._publisher = http, keys, publisher

    async def __call__(
        self, caller: str, method: str, path: str, body: object = None, key: str = ""
    ) -> httpx.Response:
        roles = {"lea": ["lead"], "adam": ["admin"]}.get(caller, ["agent"])
        headers = {"Authorization": f"Bearer {self._keys.token(caller, roles, datetime.now(UTC))}"}
        if key:
            headers["Idempotency-Key"] = key
        return await self._http.request(method, f"/router/v1/{path}", json=body, headers=headers)

    async def publish(self, *commands: Envelope) -> None:
        await self._publisher.publish(
            [Outgoing(ROUTING_COMMANDS.name, POOL, command.json_bytes()) for command in commands]
        )

    async def until(self, caller: str, path: str, condition: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(10):
            while True:
                answer = await self(caller, "GET", path)
                if answer.status_code == 200 and condition(answer.json()):
                    return answer.json()
                await asyncio.sleep(0.02)


@pytest.fixture
async def client(
    embedded_kafka: str, embedded_mongo: str, database_name: str, tmp_path: Path
) -> AsyncIterator[Client]:
    agents = tmp_path / "agents.yaml"
    agents.write_text("inboxes: [{name: support}, {name: fallback}, {name: far, pool: other}]\n")
    keys = StackKeys.load_or_make(tmp_path)
    settings = RouterSettings(
        kafka_bootstrap_servers=embedded_kafka,
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        agents_file=agents,
        jwks_url=f"file://{tmp_path / 'jwks.json'}",
        session_timeout_seconds=10,
        offer_timeout_seconds=1.0,
        routing_file=tmp_path / "routing.yaml",
        routing_reload_seconds=0.1,
    )
    await create_topics(settings)
    publisher = KafkaPublisher(settings, "test")
    app = build_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        async with asyncio.timeout(30):
            while (await http.get("/router/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        yield Client(http, keys, publisher)
    await publisher.stop()


PROFILE = {"name": "Ana Lima", "inboxes": ["support"]}
ALL_ON = dict.fromkeys(map(str, Channel), True)
Get = Callable[[str], Awaitable[Any]]


async def test_an_agent_signs_on_and_is_given_what_waits(client: Client) -> None:
    made = await client("lea", "PUT", "agents/ana", PROFILE)
    assert made.status_code == 200, made.text
    assert made.json()["pool"] == "main"
    assert made.json()["capacity"] == {"total": 8, "voice": 1, "messaging": 3, "email": 5, "tasks": 5}
    commands = [request(f"c{number}") for number in range(4)]
    await client.publish(*commands)
    await client.until("ana", "queues?inbox=support", lambda body: body["items"][1]["depth"] == 4)
    on = await client("ana", "PUT", "agents/ana/availability", {"sms": True, "chat": True})
    assert (on.status_code, on.json()["availability"]) == (200, {"sms": True, "chat": True})
    assert on.json()["load"] == {"total": 3, "voice": 0, "messaging": 3, "email": 0, "tasks": 0}
    waiting = (await client("ana", "GET", "requests/c3")).json()
    assert (waiting["state"], waiting["position"], waiting["expected_wait_seconds"]) == ("queued", 1, 100.0)
    granted = (await client("ana", "GET", "requests/c0")).json()
    assert (granted["state"], granted["agent"], granted["explanation"]["why"]) == (
        "assigned",
        "ana",
        "only_one",
    )
    queue = (await client("ana", "GET", "queues?inbox=support")).json()["items"][1]
    assert (queue["channel_class"], queue["depth"], queue["agents_available"]) == ("messaging", 1, 0)


async def test_an_offer_is_seen_accepted_once_and_times_out_otherwise(client: Client) -> None:
    await client("lea", "PUT", "agents/ana", PROFILE)
    await client("ana", "PUT", "agents/ana/availability", ALL_ON)
    await client.publish(request("call", channel=Channel.VOICE))
    offers = await client.until("ana", "agents/ana/offers", lambda body: body["items"])
    path = f"offers/{offers['items'][0]['id']}"
    assert (await client("ben", "POST", f"{path}/accept")).status_code == 404
    accepted = await client("ana", "POST", f"{path}/accept", key="once")
    assert (accepted.status_code, accepted.json()["state"]) == (200, "accepted")
    again = await client("ana", "POST", f"{path}/accept", key="once")
    assert (again.status_code, again.json()) == (200, accepted.json())
    for nowhere in ("nope", str(uuid4())):
        assert (await client("ana", "POST", f"offers/{nowhere}/accept")).status_code == 404
        assert (await client("ana", "POST", f"offers/{nowhere}/reject")).status_code == 404
    twice = await client("ana", "POST", f"{path}/accept")
    assert (twice.status_code, twice.json()["state"]) == (409, "accepted")


async def test_an_unanswered_offer_ends_by_itself(client: Client) -> None:
    await client("lea", "PUT", "agents/ana", PROFILE)
    await client("ana", "PUT", "agents/ana/availability", ALL_ON)
    await client.publish(request("call", channel=Channel.VOICE))
    await client.until("ana", "requests/call", lambda body: body["state"] == "offered")
    await client.until("ana", "requests/call", lambda body: body["state"] == "queued")
    pulled = await client("ana", "POST", "agents/ana/next")
    assert (pulled.status_code, pulled.json()["conversation_id"]) == (200, "call")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"capacity": {"messaging": -1}}, "capacity.messaging"),
        ({"capacity": {"total": 0}}, "capacity.total"),
        ({"capacity": {"voice": 0, "messaging": 0, "email": 0, "tasks": 0}}, "capacity"),
        ({"pull_limit": 0}, "pull_limit"),
        ({"excludes": {"voice": ["fax"]}}, "excludes.voice.0"),
        ({"inboxes": ["nowhere"]}, "inboxes.0"),
        ({"inboxes": ["support", "far"]}, "inboxes.1"),
        ({"pool": "other"}, "pool"),
        ({"inboxes": []}, "inboxes"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "colour"),
        ({"skills": {"a\x00b": 1}}, "skills.a\x00b.[key]"),
        ({"skills": {"$set": 1}}, "skills.$set.[key]"),
    ],
)
async def test_a_wrong_profile_is_refused_naming_the_field(
    client: Client, change: dict[str, Any], field: str
) -> None:
    answer = await client("lea", "PUT", "agents/ana", {**PROFILE, **change})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_focus_wrap_up_and_pull_limit_are_shown_and_kept(client: Client) -> None:
    limits = {"pull_limit": 1, "excludes": {"email": ["messaging"]}}
    made = await client("lea", "PUT", "agents/ana", {**PROFILE, **limits})
    assert made.json() | limits == made.json()
    on = await client("ana", "PUT", "agents/ana/availability", {"sms": True, "focus": True})
    assert (on.json()["focus"], on.json()["wrap_up_until"]) == (True, None)
    await client.publish(request("c1"), request("c2"))
    await client.until("ana", "requests/c2", lambda body: body["state"] == "queued")
    assert (await client("ana", "POST", "agents/ana/next")).json()["conversation_id"] == "c1"
    assert (await client("ana", "POST", "agents/ana/next")).status_code == 204
    waiting = (await client("ana", "GET", "requests/c2")).json()
    assert waiting["waiting_because"] == {"excluded": {"focus": 1}, "free": 0}
    off = await client("ana", "PUT", "agents/ana/availability", {"focus": False})
    assert (off.json()["focus"], off.json()["load"]["messaging"]) == (False, 2)


async def test_what_waits_says_why_and_what_comes_next_and_a_policy_is_read_again(
    client: Client, tmp_path: Path
) -> None:
    await client("lea", "PUT", "agents/ana", {**PROFILE, "skills": {"french": 1}})
    await client("lea", "PUT", "agents/cleo", {**PROFILE, "inboxes": ["fallback"]})
    await client("ana", "PUT", "agents/ana/availability", ALL_ON)
    await client.publish(request("c1", skills={"french": 3}, requested_at=datetime.now(UTC)))
    waiting = await client.until("ana", "requests/c1", lambda body: body["state"] == "queued")
    assert waiting["waiting_because"] == {"excluded": {"missing_skill": 1, "other_inbox": 1}, "free": 0}
    assert (waiting["relaxed"], waiting["next_relaxation"]) == ([], None)
    steps = "[{after: 1, skills: {french: -1}}, {after: 2, skills: {french: -1}}, {after: 999, lower: 1}]"
    (tmp_path / "routing.yaml").write_text(f"inboxes: {{support: {{relaxation: {steps}}}}}")
    waiting = await client.until("ana", "requests/c1", lambda body: body["next_relaxation"])
    granted = await client.until("ana", "requests/c1", lambda body: body["state"] == "assigned")
    assert granted["relaxed"] == ["after 1 s: french -1", "after 2 s: french -1"]
    assert granted["explanation"]["margin"] == {"french": -2}
    bad = "inboxes: {support: {fallback: fallback}, fallback: {fallback: support}}"
    (tmp_path / "routing.yaml").write_text(bad)
    await client.publish(request("c2", skills={"german": 9}, requested_at=datetime.now(UTC)))
    await client.until("ana", "requests/c2", lambda body: body["state"] == "queued")
    (tmp_path / "routing.yaml").write_text("inboxes: {support: {fallback: fallback}}")
    moved = await client.until("lea", "requests/c2", lambda body: body["overflow"])
    assert (moved["inbox"], moved["overflow_from"]) == ("fallback", "support")


async def test_who_may_do_what(client: Client) -> None:
    await client("lea", "PUT", "agents/ana", PROFILE)
    assert (await client("ana", "PUT", "agents/ana", PROFILE)).status_code == 403
    assert (await client("ben", "PUT", "agents/ana/availability", {"sms": True})).status_code == 403
    assert (await client("lea", "PUT", "agents/ana/availability", {"sms": True})).status_code == 200
    assert (await client("lea", "PUT", "agents/nobody/availability", {"sms": True})).status_code == 404
    assert (await client("ana", "PUT", "agents/ana/availability", {"fax": True})).status_code == 422
    assert (await client("ana", "POST", "agents/ana/heartbeat")).status_code == 204
    assert (await client("ana", "POST", "agents/ana/next")).status_code == 204


async def test_an_agent_with_conversations_cannot_change_the_pool_until_free(client: Client) -> None:
    await client("lea", "PUT", "agents/ana", PROFILE)
    await client("ana", "PUT", "agents/ana/availability", {"sms": True})
    await client.publish(request("c1"))
    await client.until("ana", "agents/ana", lambda body: body["load"]["total"] == 1)
    moved = {**PROFILE, "inboxes": ["far"]}
    assert (await client("lea", "PUT", "agents/ana", moved)).status_code == 409
    await client("ana", "PUT", "agents/ana/availability", {"sms": False})
    answer = await client("lea", "PUT", "agents/ana", moved)
    assert (answer.status_code, answer.json()["pool"], answer.json()["signed_on"]) == (200, "other", False)


async def test_lists_are_paged(client: Client) -> None:
    for name in ("ana", "ben", "cleo"):
        await client("lea", "PUT", f"agents/{name}", {**PROFILE, "name": name})
    first = (await client("ana", "GET", "agents?limit=2")).json()
    rest = (await client("ana", "GET", f"agents?limit=2&cursor={first['next_cursor']}")).json()
    assert [each["id"] for each in first["items"] + rest["items"]] == ["ana", "ben", "cleo"]
    assert rest["next_cursor"] is None
    assert [each["name"] for each in (await client("ana", "GET", "inboxes")).json()["items"]] == [
        "support",
        "fallback",
        "far",
    ]
