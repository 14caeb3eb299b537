"""The whole service on the embedded servers: subscriptions over HTTP, and endpoints that really listen."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from standardwebhooks import Webhook
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deploy.local.keys import StackKeys
from schemas.topics import CONVERSATIONS_EVENTS
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.mongo import connect
from services.chassis.topics import create_topics
from services.notifier.app import build_app
from services.notifier.settings import NotifierSettings
from tests.unit.notifier.feeding import message

PROBLEM = "application/problem+json"
Script = Callable[[dict[str, Any]], Response | float]
"""Gives the answer to an event, or for how many seconds to say nothing."""


def taken(_: dict[str, Any]) -> Response:
    return Response(status_code=204)


@dataclass
class Site:
    """An integrator: a real HTTP server that keeps what it was sent."""

    script: Script = taken
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        self.requests.append((dict(request.headers), body))
        answer = self.script(json.loads(body))
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = Response(status_code=500)
        await answer(scope, receive, send)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def texts(self) -> list[str]:
        return [json.loads(body)["data"]["text"] for _, body in self.requests]


@asynccontextmanager
async def served(app: Any, port: int = 0) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2))
    listening = socket.create_server(("127.0.0.1", port))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    async with asyncio.timeout(40):
        while not server.started:
            await asyncio.sleep(0.02)
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving
    listening.close()


@dataclass
class Running:
    http: httpx.AsyncClient
    publisher: KafkaPublisher
    keys: StackKeys

    async def call(
        self, method: str, path: str = "", role: str = "admin", **content: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.keys.token('adam', [role], datetime.now(UTC))}"}
        answer = await self.http.request(
            method, f"/notifier/v1/webhooks{path}", headers=headers | content.pop("headers", {}), **content
        )
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == PROBLEM
        return answer.status_code, answer.json() if answer.content else {}

    async def subscribe(self, url: str, *events: str) -> tuple[str, str]:
        status, made = await self.call("POST", json={"url": url, "events": events or ["*"]})
        assert status == 201, made
        return made["id"], made["secret"]

    async def happen(self, *names: str, customer: str = "c1") -> None:
        await self.publisher.publish(
            [
                Outgoing(CONVERSATIONS_EVENTS.name, customer, told(name, customer).json_bytes())
                for name in names
            ]
        )

    async def deliveries(self, webhook: str, query: str = "") -> list[dict[str, Any]]:
        _, found = await self.call("GET", f"/{webhook}/deliveries{query}")
        return list(found["items"])


def told(name: str, customer: str) -> Any:
    made = message(name)
    personal = made.personal.model_copy(update={"text": name})
    return made.model_copy(
        update={"customer_id": customer, "personal": personal, "occurred_at": datetime.now(UTC)}
    )


@pytest.fixture
def settings(
    embedded_kafka: str, embedded_mongo: str, database_name: str, tmp_path: Path
) -> NotifierSettings:
    StackKeys.load_or_make(tmp_path)
    return NotifierSettings(
        kafka_bootstrap_servers=embedded_kafka,
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        jwks_url=f"file://{tmp_path / 'jwks.json'}",
        session_timeout_seconds=10,
        outside_allowed_networks="127.0.0.0/8",
        outside_plain_http=True,
        webhook_timeout_seconds=0.5,
        webhook_poll_seconds=0.05,
        webhook_schedule_seconds=(0.2, 0.4),
        webhook_pause_seconds=1.5,
        webhook_pause_failures=3,
        webhooks_most=4,
    )


@pytest.fixture
async def running(settings: NotifierSettings, tmp_path: Path) -> AsyncIterator[Running]:
    await create_topics(settings)
    publisher = KafkaPublisher(settings, "test")
    async with (
        served(build_app(settings)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
    ):
        async with asyncio.timeout(40):
            while (await http.get("/notifier/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        yield Running(http, publisher, StackKeys.load_or_make(tmp_path))
    await publisher.stop()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    async with served(found) as port:
        found.port = port
        yield found


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_an_event_arrives_signed_and_its_delivery_is_listed(running: Running, site: Site) -> None:
    webhook, secret = await running.subscribe(site.url, "message.*")
    await running.happen("hello \u00fc \u2028")
    await until(lambda: site.requests)
    ((headers, body),) = site.requests
    event = Webhook(secret).verify(body, headers)
    assert (event["type"], event["data"]["text"]) == ("message.added", "hello \u00fc \u2028")
    assert headers["webhook-id"] == event["data"]["id"]
    assert headers["content-type"] == "application/json"
    assert event["timestamp"] == event["data"]["at"]
    async with asyncio.timeout(10):
        while (delivery := (await running.deliveries(webhook))[0])["state"] != "delivered":
            await asyncio.sleep(0.02)
    assert delivery["event_id"] == event["data"]["id"]
    assert (delivery["attempts"], delivery["last_status"], delivery["next_attempt_at"]) == (1, 204, None)


async def test_failures_are_retried_in_order_until_the_endpoint_takes_it(
    running: Running, site: Site
) -> None:
    webhook, secret = await running.subscribe(site.url)
    bad: list[Response | float] = [
        Response(status_code=500),
        Response(status_code=302, headers={"location": f"{site.url}/elsewhere"}),
        2.0,
    ]
    site.script = lambda _: bad.pop(0) if bad else Response(b"x" * 1_000_000)
    await running.happen("1", "2", "3")
    await until(lambda: len(site.requests) == 6)
    assert site.texts() == ["1", "1", "1", "1", "2", "3"]
    assert len({body for _, body in site.requests[:4]}) == 1
    assert len({headers["webhook-id"] for headers, _ in site.requests[:4]}) == 1
    for headers, body in site.requests:
        Webhook(secret).verify(body, headers)
    async with asyncio.timeout(10):
        while {each["state"] for each in await running.deliveries(webhook)} != {"delivered"}:
            await asyncio.sleep(0.02)
    (first,) = [each for each in await running.deliveries(webhook) if each["attempts"] == 4]
    assert (first["last_status"], first["last_error"]) == (200, None)


async def test_a_dead_endpoint_is_paused_and_resumed_without_loss(running: Running, site: Site) -> None:
    dead = socket.create_server(("127.0.0.1", 0))
    port = dead.getsockname()[1]
    dead.close()
    webhook, _ = await running.subscribe(f"http://127.0.0.1:{port}/hook", "message.*")
    told_of, _ = await running.subscribe(site.url, "webhook.*")
    await running.happen("1", "2")
    async with asyncio.timeout(30):
        while (shown := (await running.call("GET", f"/{webhook}"))[1])["state"] != "paused":
            await asyncio.sleep(0.05)
    assert (shown["paused_reason"], shown["last_error"]) == ("failing", "not_connected")
    assert shown["failures"] >= 3
    await until(lambda: site.requests)
    event = json.loads(site.requests[0][1])
    assert (event["type"], event["data"]["webhook_id"]) == ("webhook.paused", webhook)
    await running.happen("3")
    gauge = 'parley_notifier_webhooks_paused{reason="failing"} 1.0'
    async with asyncio.timeout(30):
        while gauge not in (await running.http.get("/notifier/metrics")).text:
            await asyncio.sleep(0.2)

    back = Site()
    async with served(back, port):
        status, shown = await running.call("PATCH", f"/{webhook}", json={"paused": False})
        assert (status, shown["state"]) == (200, "active")
        await running.happen("4")
        await until(lambda: len(back.requests) == 4)
    assert back.texts() == ["1", "2", "3", "4"]
    await running.call("DELETE", f"/{told_of}")


async def test_a_replay_sends_again_what_happened_since(running: Running, site: Site) -> None:
    webhook, _ = await running.subscribe(site.url, "message.*")
    await running.happen("before")
    await until(lambda: len(site.requests) == 1)
    await asyncio.sleep(0.01)
    point = datetime.now(UTC).isoformat()
    await asyncio.sleep(0.01)
    await running.happen("1", "2")
    await until(lambda: len(site.requests) == 3)
    async with asyncio.timeout(10):
        while {each["state"] for each in await running.deliveries(webhook)} != {"delivered"}:
            await asyncio.sleep(0.02)
    status, shown = await running.call("POST", f"/{webhook}/replay", json={"from": point})
    assert (status, shown["catching_up"]) == (202, True)
    await until(lambda: len(site.requests) == 5)
    assert site.texts() == ["before", "1", "2", "1", "2"]
    ids_ = [headers["webhook-id"] for headers, _ in site.requests]
    assert ids_[1:3] == ids_[3:5]


async def test_a_rotation_signs_with_both_and_shows_the_new_secret_once(running: Running, site: Site) -> None:
    webhook, old = await running.subscribe(site.url)
    status, shown = await running.call("PATCH", f"/{webhook}", json={"rotate_secret": True})
    fresh = shown["secret"]
    assert (status, shown["valid_secrets"]) == (200, 2)
    assert fresh != old
    await running.happen("1")
    await until(lambda: site.requests)
    ((headers, body),) = site.requests
    for secret in (old, fresh):
        Webhook(secret).verify(body, headers)
    for path in ("", f"/{webhook}"):
        _, listed = await running.call("GET", path)
        assert "secret" not in json.dumps(listed).replace("valid_secrets", "")
        assert old not in json.dumps(listed)


async def test_deliveries_come_in_steady_pages(running: Running, site: Site) -> None:
    webhook, _ = await running.subscribe(site.url)
    await running.happen(*(f"{number}" for number in range(5)))
    await until(lambda: len(site.requests) == 5)
    _, first = await running.call("GET", f"/{webhook}/deliveries?limit=2")
    await running.happen("later")
    await until(lambda: len(site.requests) == 6)
    seen, cursor = first["items"], first["next_cursor"]
    while cursor:
        _, page = await running.call("GET", f"/{webhook}/deliveries?limit=2&cursor={cursor}")
        seen, cursor = [*seen, *page["items"]], page["next_cursor"]
    names = {str(told(f"{number}", "c1").id) for number in range(5)}
    assert sorted(each["event_id"] for each in seen) == sorted(names)
    async with asyncio.timeout(10):
        while len(await running.deliveries(webhook, "?state=delivered")) != 6:
            await asyncio.sleep(0.02)
    assert await running.deliveries(webhook, "?state=waiting") == []


async def test_what_is_wrong_is_named(running: Running, site: Site) -> None:
    good = {"url": site.url, "events": ["*"]}
    for wrong, words in (
        ({"events": ["message.added", "ticket.made"]}, ("events", "ticket.made", "catalogue")),
        ({"events": []}, ("events",)),
        ({"url": "http://10.0.0.1/hook"}, ("url", "not public")),
        ({"url": "http://[::1]/hook"}, ("url", "not public")),
        ({"url": "http://169.254.169.254/latest"}, ("url", "not public")),
        ({"url": "ftp://127.0.0.1/"}, ("url", "scheme")),
        ({"url": "http://user:secret@127.0.0.1/"}, ("url", "password")),
        ({"url": "http://127.0.0.1/#there"}, ("url", "fragment")),
        ({"url": "http://\ud7ff..nowhere.invalid/"}, ("url",)),
        ({"url": "nonsense"}, ("url",)),
        ({"secrets": 1}, ("secrets",)),
    ):
        status, problem = await running.call("POST", json=good | wrong)
        assert (status, problem["status"]) == (422, 422), wrong
        assert all(word in problem["detail"] for word in words), problem
    webhook, _ = await running.subscribe(site.url)
    for path, body in (
        ("", {"url": "http://10.0.0.1/"}),
        ("", {"events": ["x"]}),
        ("", {"state": "active"}),
        ("/replay", {"from": (datetime.now(UTC) + timedelta(days=1)).isoformat()}),
        ("/replay", {"from": "yesterday"}),
        ("/replay", {"since": "2026-01-01T00:00:00Z"}),
    ):
        method = "POST" if path else "PATCH"
        assert (await running.call(method, f"/{webhook}{path}", json=body))[0] == 422, body
    assert (await running.call("POST", f"/{webhook}/replay", json={"from": "0001-01-01T00:00:00Z"}))[0] == 202
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries")):
        assert (await running.call(method, f"/wh_none{path}", json={}))[0] == 404


async def test_subscriptions_are_admins_alone_and_not_without_end(running: Running, site: Site) -> None:
    wanted = {"url": site.url, "events": ["*"]}
    assert (await running.call("POST", role="lead", json=wanted))[0] == 403
    assert (await running.call("GET", "/catalogue", role="lead"))[0] == 403
    status, catalogue = await running.call("GET", "/catalogue")
    assert (status, "message.added" in {each["type"] for each in catalogue["events"]}) == (200, True)
    again = {"headers": {"Idempotency-Key": "one"}, "json": wanted}
    first, second = await running.call("POST", **again), await running.call("POST", **again)
    assert first == second
    made = [first[1]["id"]] + [(await running.subscribe(site.url))[0] for _ in range(3)]
    status, problem = await running.call("POST", json=wanted)
    assert (status, problem["state"]) == (409, "full")
    _, listed = await running.call("GET", "?limit=3")
    assert [each["id"] for each in listed["items"]] == made[:0:-1]
    assert (await running.call("DELETE", f"/{made[0]}"))[0] == 204
    assert (await running.call("POST", json=wanted))[0] == 201


async def test_repeated_commands_have_their_answers_while_no_secret_is_kept_with_them(
    running: Running, site: Site, settings: NotifierSettings
) -> None:
    create = {"headers": {"Idempotency-Key": "make"}, "json": {"url": site.url, "events": ["*"]}}
    made = [await running.call("POST", **create) for _ in range(2)]
    assert made[0] == made[1]
    webhook, first = made[0][1]["id"], made[0][1]["secret"]
    rotate = {"headers": {"Idempotency-Key": "rotate"}, "json": {"rotate_secret": True}}
    rotated = [await running.call("PATCH", f"/{webhook}", **rotate) for _ in range(2)]
    assert rotated[0] == rotated[1]
    database = connect(settings, "notifier")
    kept = [str(each) async for each in database["idempotency"].find({})]
    await database.client.close()
    assert len(kept) == 2
    for secret in (first, rotated[0][1]["secret"]):
        assert secret.startswith("whsec_")
        assert not any(secret in each for each in kept)
    delete = {"headers": {"Idempotency-Key": "gone"}}
    assert [(await running.call("DELETE", f"/{webhook}", **delete))[0] for _ in range(2)] == [204, 204]
    assert (await running.call("DELETE", f"/{webhook}"))[0] == 404
