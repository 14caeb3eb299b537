"""A secret is rotated while ingest, notifier and a provider are at work: nothing is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI

from deploy.local.keys import StackKeys
from deploy.local.signing import twilio_signature
from deploy.local.simulator.app import build_simulator
from schemas.common import DeliveryStatus
from schemas.outbound import MessageStatus
from schemas.topics import MESSAGES_OUTBOUND, MESSAGES_STATUS
from services.chassis.accounts import Accounts
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.delivery import Delivery
from services.chassis.tail import Tail
from services.chassis.topics import create_topics
from services.ingest.app import build_app as build_ingest
from services.ingest.settings import IngestSettings
from services.notifier.app import build_app as build_notifier
from services.notifier.settings import NotifierSettings
from tests.unit.notifier.builders import message_id, reply

PUBLIC = "https://parley.example"
SMS = "/ingest/v1/twilio-sms/demo"
FILE = """
accounts:
  - provider: "twilio-sms"
    account: "demo"
    channel: "sms"
    address: "+15550001111"
    inbox: "support"
    secrets: {{account_sid: "AC1", auth_token: {tokens}}}
"""


@dataclass
class Provider(httpx.AsyncBaseTransport):
    """The simulated Twilio with the tokens it takes now; it signs with the first."""

    post: Callable[[str, Mapping[str, str], bytes], Awaitable[int]]
    directory: Path
    simulator: Any = None
    sent: list[Any] = field(default_factory=list)

    def has(self, *tokens: str) -> None:
        file = self.directory / "of_the_provider.yaml"
        file.write_text(FILE.format(tokens="[" + ", ".join(f'"{token}"' for token in tokens) + "]"))
        app = build_simulator(
            Accounts.load(file), public_url=PUBLIC, local_url=PUBLIC, post=self.post, pause=0.0
        )
        self.simulator = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer: httpx.Response = await self.simulator.handle_async_request(request)
        if request.method == "POST" and answer.is_success:
            self.sent.append(dict(httpx.QueryParams(request.content.decode()))["Body"])
        return answer


@dataclass
class World:
    """Both services, the provider, and what is told of messages."""

    directory: Path
    provider: Provider
    ingest: httpx.AsyncClient
    notifier: httpx.AsyncClient
    publisher: KafkaPublisher
    admin: str
    statuses: list[MessageStatus] = field(default_factory=list)
    count: int = 0

    def ours(self, tokens: str) -> None:
        (self.directory / "accounts.yaml").write_text(FILE.format(tokens=tokens))

    async def webhook(self, token: str) -> int:
        """Return what a message that the provider signs with `token` is answered."""
        self.count += 1
        message = {
            "MessageSid": f"SM{self.count}",
            "From": "+15551230001",
            "To": "+15550001111",
            "Body": "hi",
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": twilio_signature(token, PUBLIC + SMS, message.items()),
        }
        answer = await self.ingest.post(SMS, content=urlencode(message).encode(), headers=headers)
        return answer.status_code

    async def answered(self, token: str, status: int) -> None:
        async with asyncio.timeout(60):
            while await self.webhook(token) != status:
                await asyncio.sleep(0.05)

    async def say(self, name: str) -> None:
        record = reply(name)
        await self.publisher.publish(
            [Outgoing(MESSAGES_OUTBOUND.name, record.customer_id, record.json_bytes())]
        )

    async def reached(self, name: str, status: DeliveryStatus = DeliveryStatus.DELIVERED) -> None:
        async with asyncio.timeout(60):
            while (message_id(name), status) not in [
                (each.data.message_id, each.data.status) for each in self.statuses
            ]:
                await asyncio.sleep(0.02)

    async def metrics(self) -> str:
        return (await self.ingest.get("/ingest/metrics")).text

    async def account(self) -> dict[str, Any]:
        answer = await self.notifier.get(
            "/notifier/v1/accounts", headers={"Authorization": f"Bearer {self.admin}"}
        )
        assert answer.status_code == 200
        assert "token-" not in answer.text
        (item,) = answer.json()["items"]
        return dict(item)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        async with asyncio.timeout(40):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        yield client


@pytest.fixture
async def world(
    embedded_kafka: str, embedded_mongo: str, database_name: str, tmp_path: Path
) -> AsyncIterator[World]:
    keys = StackKeys.load_or_make(tmp_path)
    common: dict[str, Any] = {
        "kafka_bootstrap_servers": embedded_kafka,
        "mongo_url": embedded_mongo,
        "mongo_database": database_name,
        "jwks_url": f"file://{tmp_path / 'jwks.json'}",
        "visitor_token_secret": keys.visitor_token_secret,
        "public_url": PUBLIC,
        "accounts_file": tmp_path / "accounts.yaml",
        "accounts_reload_seconds": 0.1,
        "session_timeout_seconds": 10,
    }
    ours = IngestSettings(**common)
    await create_topics(ours)
    (tmp_path / "old").write_text("token-old\n")
    (tmp_path / "new").write_text("token-new\n")
    (tmp_path / "accounts.yaml").write_text(FILE.format(tokens="{file: old}"))

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        answer = await made.ingest.post(url.removeprefix(PUBLIC), headers=dict(headers), content=body)
        return answer.status_code

    provider, publisher = Provider(post, tmp_path), KafkaPublisher(ours, "test")
    provider.has("token-old")
    async with AsyncExitStack() as resources:
        ingest = await resources.enter_async_context(serving(build_ingest(ours)))
        own = NotifierSettings(
            **common, provider_api_base="http://provider/dev/providers", probe_first_seconds=60
        )
        app = build_notifier(own, client=httpx.AsyncClient(transport=provider))
        notifier = await resources.enter_async_context(serving(app))
        admin = keys.token("adam", ["admin"], datetime.now(UTC))
        made = World(tmp_path, provider, ingest, notifier, publisher, admin)

        def hear(delivery: Delivery) -> None:
            made.statuses.append(delivery.message)

        tail = Tail(ours, "test", [MESSAGES_STATUS], hear)
        tailing = asyncio.create_task(tail.run())
        async with asyncio.timeout(10):
            await tail.started.wait()
        yield made
        await tail.stop()
        await tailing
        await publisher.stop()


async def test_both_secrets_are_taken_during_a_rotation_and_the_old_one_is_refused_after(
    world: World, database_name: str
) -> None:
    names = [f"{database_name}-{number}" for number in range(3)]
    assert [await world.webhook(token) for token in ("token-old", "token-new")] == [200, 403]
    await world.say(names[0])
    await world.reached(names[0])

    world.provider.has("token-new", "token-old")
    world.ours("[{file: new}, {file: old}]")
    await world.answered("token-new", 200)
    assert await world.webhook("token-old") == 200
    await world.say(names[1])
    await world.reached(names[1])

    world.provider.has("token-new")
    world.ours("{file: new}")
    await world.answered("token-old", 403)
    assert await world.webhook("token-new") == 200
    await world.say(names[2])
    await world.reached(names[2])
    assert world.provider.sent == names


async def test_an_account_that_was_rotated_there_first_pauses_until_our_file_follows(
    world: World, database_name: str
) -> None:
    name = f"{database_name}-3"
    world.ours("{file: new}")
    await world.answered("token-old", 403)
    world.provider.has("token-third")
    await world.say(name)
    async with asyncio.timeout(60):
        while (await world.account())["state"] != "paused":
            await asyncio.sleep(0.05)
    assert (await world.account())["code"] == "20003"
    (world.directory / "new").write_text("token-third")
    # not until it is delivered: ingest may not have read the file yet when the provider's receipt comes
    await world.reached(name, DeliveryStatus.SENT)
    assert (await world.account())["state"] == "ok"
    assert world.provider.sent == [name]


async def test_a_file_that_cannot_be_used_changes_nothing_and_admins_alone_see_accounts(world: World) -> None:
    world.ours("{file: nowhere}")
    async with asyncio.timeout(60):
        while 'parley_accounts_refused{service="ingest"} 1.0' not in await world.metrics():
            assert await world.webhook("token-old") == 200
    assert await world.webhook("token-old") == 200
    world.ours('["token-new"]')
    await world.answered("token-new", 200)
    assert 'parley_accounts_refused{service="ingest"} 0.0' in await world.metrics()
    keys = StackKeys.load(world.directory)
    for role, status in (("", 401), ("lead", 403), ("service", 403), ("admin", 200)):
        token = keys.token("ana", [role], datetime.now(UTC)) if role else "nonsense"
        answer = await world.notifier.get(
            "/notifier/v1/accounts", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == status, role
