"""The whole service on the embedded servers, over real HTTP: replies go out, the feed tells what happens."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx
import pytest
import uvicorn

from deploy.local.keys import StackKeys
from schemas import ids
from schemas.common import DeliveryStatus
from schemas.outbound import MessageStatus
from schemas.routing import AgentChanged, AgentStateData, ProfilePersonal
from schemas.topics import (
    AGENTS_EVENTS,
    CONVERSATIONS_EVENTS,
    MESSAGES_DELIVERY,
    MESSAGES_OUTBOUND,
    MESSAGES_STATUS,
    ROUTING_DECISIONS,
)
from services.chassis.auth import VisitorTokens
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.delivery import Delivery
from services.chassis.tail import Tail
from services.chassis.topics import create_topics
from services.notifier import metrics
from services.notifier.app import build_app
from services.notifier.settings import NotifierSettings
from tests.unit.notifier.builders import message_id, receipt, reply
from tests.unit.notifier.feeding import assigned, chat, message, note, offered

SECRET = "a secret for visitors of at least 32 bytes"


@dataclass
class Twilio:
    """Accepts every message; remembers what it was asked."""

    forms: list[dict[str, list[str]]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        self.forms.append(form)
        return httpx.Response(201, json={"sid": f"SM-{form['Body'][0]}"})


class Stream:
    """A client of a stream: reads events in the background."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.last = ""
        self._task = asyncio.create_task(self._read(lines))

    async def _read(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last = value
            elif name == "data":
                self.events.append(json.loads(value))

    async def until(self, condition: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        async with asyncio.timeout(45):
            while not condition(self.events):
                await asyncio.sleep(0.02)
        return self.events

    async def ended(self) -> None:
        async with asyncio.timeout(45):
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@dataclass
class Running:
    """One replica, and the rest of the world."""

    http: httpx.AsyncClient
    keys: StackKeys
    publisher: KafkaPublisher
    statuses: list[MessageStatus]
    twilio: Twilio

    async def publish(self, topic: Any, *records: Any) -> None:
        await self.publisher.publish(
            [
                Outgoing(topic.name, str(getattr(record, "customer_id", None) or "key"), record.json_bytes())
                for record in records
            ]
        )

    def agent(self, name: str, role: str = "agent") -> str:
        return self.keys.token(name, [role], datetime.now(UTC))

    def visitor(self, name: str, account: str = "demo", seconds: float = 600) -> str:
        return VisitorTokens(SECRET).issue(account, name, datetime.now(UTC) + timedelta(seconds=seconds))

    @asynccontextmanager
    async def stream(self, path: str, token: str, last: str | None = None) -> AsyncIterator[Stream]:
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last} if last else {})}
        async with self.http.stream("GET", f"/notifier/v1/{path}", headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            listener = Stream(answer.aiter_lines())
            try:
                if last is None:
                    await listener.until(bool)
                yield listener
            finally:
                await listener.stop()


async def _ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/notifier/readyz")).status_code == 200


@asynccontextmanager
async def replica(settings: NotifierSettings, twilio: Twilio) -> AsyncIterator[httpx.AsyncClient]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(twilio))
    server = uvicorn.Server(
        uvicorn.Config(build_app(settings, client=client), log_config=None, timeout_graceful_shutdown=2)
    )
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(base_url=base, timeout=20) as http:
        async with asyncio.timeout(100):
            while not server.started or not await _ready(http):
                await asyncio.sleep(0.05)
        yield http
    server.should_exit = True
    await serving
    listening.close()


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
        visitor_token_secret=SECRET,  # type: ignore[arg-type]
        public_url="https://parley.example",
        session_timeout_seconds=10,
        ring_records=5,
    )


@pytest.fixture
async def running(settings: NotifierSettings, tmp_path: Path) -> AsyncIterator[Running]:
    await create_topics(settings)
    publisher, twilio = KafkaPublisher(settings, "test"), Twilio()
    statuses: list[MessageStatus] = []

    def hear(delivery: Delivery) -> None:
        statuses.append(delivery.message)

    tail = Tail(settings, "test", [MESSAGES_STATUS], hear)
    tailing = asyncio.create_task(tail.run())
    async with asyncio.timeout(40):
        await tail.started.wait()
    async with replica(settings, twilio) as http:
        yield Running(http, StackKeys.load_or_make(tmp_path), publisher, statuses, twilio)
    await tail.stop()
    await tailing
    await publisher.stop()


def agent_state(agent: str, *inboxes: str, seq: int = 1) -> AgentChanged:
    own = ids.derive("agent", agent, seq)
    return AgentChanged(
        id=own,
        occurred_at=datetime.now(UTC),
        correlation=own,
        seq=seq,
        data=AgentStateData(agent=agent, pool="main", inboxes=inboxes),
        personal=ProfilePersonal(name="Somebody"),
    )


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(45):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_reply_reaches_the_provider_once_and_its_receipts_are_told(running: Running) -> None:
    name = f"reply-{datetime.now(UTC).timestamp()}"
    early = receipt(f"SM-{name}", DeliveryStatus.DELIVERED, seconds=9)
    await running.publish(MESSAGES_DELIVERY, early)
    await running.publish(MESSAGES_OUTBOUND, reply(name), reply(name))
    await until(lambda: any(each.data.status is DeliveryStatus.DELIVERED for each in running.statuses))
    own = [each for each in running.statuses if each.data.message_id == message_id(name)]
    assert [(each.seq, each.data.status.value) for each in own] == [(1, "sent"), (2, "delivered")]
    assert {each.customer_id for each in own} == {"c1"}
    forms = [form for form in running.twilio.forms if form["Body"] == [name]]
    assert len(forms) == 1
    callback = f"https://parley.example/ingest/v1/twilio-sms/demo?message_id={message_id(name)}"
    assert (forms[0]["To"], forms[0]["StatusCallback"]) == (["+15551230001"], [callback])


async def test_an_agent_follows_the_own_inboxes_live_and_resumes_on_another_replica(
    running: Running, settings: NotifierSettings
) -> None:
    unique = datetime.now(UTC).timestamp()
    first, *missed = [message(f"{unique}-{number}") for number in range(12)]
    sales = message(f"{unique}-sales", inbox="sales")
    await running.publish(AGENTS_EVENTS, agent_state("ana", "support", seq=int(unique)))
    async with running.stream("stream", running.agent("lea", "lead")) as lead:
        async with running.stream("stream", running.agent("ana")) as ana:
            await running.publish(CONVERSATIONS_EVENTS, sales, first)
            await lead.until(lambda events: len(events) == 3)
            await running.publish(ROUTING_DECISIONS, offered(f"{unique}-offer", "ana"))
            await ana.until(lambda events: str(offered(f"{unique}-offer", "ana").id) in _ids(events))
        assert str(sales.id) not in _ids(ana.events)
    await running.publish(CONVERSATIONS_EVENTS, *missed, sales)
    from_kafka = metrics.RESUMES.labels("kafka")._value.get()  # noqa: SLF001  (the client offers no reading)
    async with replica(settings, Twilio()) as http:
        other = Running(http, running.keys, running.publisher, [], Twilio())
        async with other.stream("stream", running.agent("ana"), ana.last) as resumed:
            await running.publish(CONVERSATIONS_EVENTS, then := message(f"{unique}-then"))
            await resumed.until(lambda events: str(then.id) in _ids(events))
        assert _ids(resumed.events) == [str(record.id) for record in [*missed, then]]
    assert metrics.RESUMES.labels("kafka")._value.get() == from_kafka + 1  # noqa: SLF001  (as above)


def _ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events]


async def test_a_visitor_hears_the_own_chat_only(running: Running) -> None:
    unique = datetime.now(UTC).timestamp()
    mine, conversation = f"v-{unique}", f"k-{unique}"
    async with running.stream("webchat/demo/stream", running.visitor(mine)) as stream:
        await running.publish(
            CONVERSATIONS_EVENTS,
            chat(f"{unique}-theirs", "somebody-else", conversation="k-other"),
            message(f"{unique}-sms"),
            note(f"{unique}-note"),
            chat(f"{unique}-mine", mine, conversation=conversation),
            assigned(f"{unique}-assigned", conversation=conversation),
        )
        await stream.until(lambda events: len(events) == 3)
    assert stream.types() == ["ready", "message.added", "conversation.assigned"]
    assert stream.events[1]["text"] == f"text of {unique}-mine"
    assert "agent" not in stream.events[2]


async def test_who_may_not_look_is_told_before_a_stream_begins(running: Running) -> None:
    async def status(path: str, token: str | None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await running.http.get(f"/notifier/v1/{path}", headers=headers)
        return answer.status_code, answer.headers["content-type"]

    problem = "application/problem+json"
    assert await status("stream", None) == (401, problem)
    assert await status("stream", "nonsense") == (401, problem)
    assert await status("stream", running.visitor("v1")) == (401, problem)
    assert await status("webchat/demo/stream", None) == (401, problem)
    assert await status("webchat/other/stream", running.visitor("v1")) == (403, problem)
    assert await status("webchat/demo/stream", running.agent("ana")) == (401, problem)
    for role, status in (("", 401), ("lead", 403), ("admin", 422)):
        headers = {"Authorization": f"Bearer {running.agent('ana', role)}"} if role else {}
        answer = await running.http.post("/notifier/v1/webhooks", json={}, headers=headers)
        assert answer.status_code == status, role
    documented = (await running.http.get("/notifier/openapi.json")).json()["paths"]
    assert "/notifier/v1/stream" in documented


async def test_a_stream_ends_when_its_token_does(running: Running) -> None:
    async with running.stream("webchat/demo/stream", running.visitor("v1", seconds=2)) as stream:
        await stream.ended()
    assert stream.types() == ["ready"]


async def test_hostile_text_arrives_whole(running: Running) -> None:
    unique = datetime.now(UTC).timestamp()
    record = message(f"{unique}-\u2028\x85\r\n\ndata: x\u202e<b>\U0001f600")
    async with running.stream("stream", running.agent("lea", "lead")) as stream:
        await running.publish(CONVERSATIONS_EVENTS, record)
        await stream.until(lambda events: str(record.id) in _ids(events))
    assert stream.events[-1]["text"] == record.personal.text
    assert UUID(stream.events[-1]["id"]) == record.id
