"""A person is erased: from every service, from the log, and for good, though all of it is read again."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.servers import mongo_server
from deploy.local.webhooks import Mail, WhatsAppSender, chat_message, chat_session, email, whatsapp
from schemas.topics import (
    CONVERSATIONS_EVENTS,
    CUSTOMERS_EVENTS,
    MESSAGES_IDENTIFIED,
    MESSAGES_INBOUND,
    MESSAGES_OUTBOUND,
    MESSAGES_STATUS,
    TOPICS,
)
from services.chassis.keys import CustomerKeys
from services.chassis.mongo import connect
from services.chassis.sealing import Seals
from services.chassis.settings import Settings
from tests.e2e.conftest import Branch, Place, person, placed
from tests.system.client import Client, Json, client_of
from tests.system.play import sms_from
from tests.system.topics import Record, committed, raw_records
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(240)

WORDS = (
    "Quillfeather",
    "zanzibar-sms",
    "zanzibar-whatsapp",
    "zanzibar-mail",
    "zanzibar-chat",
    "zanzibar-note",
)
WORDS += (
    "zanzibar-reply",
    "quill@feather.example",
    "zanzibar-attribute",
    "zanzibar-subject",
    "zanzibar-task",
)
BEFORE_IDENTITY = {
    "messages.inbound",
    "messages.delivery",
    "webhooks.quarantine",
    "deadletters",
    "chats.signals",
}
PROMISED_SECONDS = 30.0


@dataclass(frozen=True)
class Erasable(Place):
    """A stack whose database and log can be looked into."""

    mongo: str
    data: Path

    async def stored(self) -> dict[str, str]:
        """Return all documents of all databases as text, by collection; the oplog rolls over by itself."""
        database = connect(Settings(mongo_url=self.mongo), "files")
        found = {}
        client = database.client
        for name in {*await client.list_database_names()} - {"local"}:
            for collection in await client[name].list_collection_names():
                rows = [row async for row in client[name][collection].find({})]
                found[f"{name}.{collection}"] = "\n".join(map(str, rows))
        await client.close()
        return found

    async def logged(self) -> dict[str, list[bytes]]:
        """Return the values of all topics after identity."""
        return {
            topic.name: [record.value or b"" for record in await raw_records(self.kafka, topic)]
            for topic in TOPICS
            if topic.name not in BEFORE_IDENTITY
        }

    async def opened(self) -> list[tuple[str, bytes]]:
        """Return what whoever has the secret and the database can read of the sealed topics, by topic."""
        database = connect(Settings(mongo_url=self.mongo), "files")
        seals = Seals(CustomerKeys(database, self.site.keys.secret_for("customer keys")))
        sealed = {topic.name for topic in TOPICS if topic.sealed}
        logged = await self.logged()
        values = [(name, value) for name in sorted(sealed) for value in logged[name]]
        opened = zip(values, await seals.open(values), strict=True)
        found = [(name, each) for (name, _), each in opened if isinstance(each, bytes)]
        await database.client.close()
        return found

    async def erasure(self, customer: str) -> dict[str, Any]:
        """Return how far the services are with it."""
        database = connect(Settings(mongo_url=self.mongo), "files")
        row = await database["erasures"].find_one({"_id": customer})
        await database.client.close()
        return row or {"passes": {"none": 0}}

    def lines(self) -> str:
        return (self.data / "parley.log").read_text()


@pytest.fixture(scope="module")
def erasable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erasable]:
    """Give a stack whose webhooks may go to this machine."""
    directory = tmp_path_factory.mktemp("erasable")
    with mongo_server(directory / "mongo" / "data") as mongo:
        for place in placed(
            directory,
            MONGO_URL=mongo,
            OUTSIDE_ALLOWED_NETWORKS="127.0.0.0/8",
            OUTSIDE_PLAIN_HTTP="true",
        ):
            known = {each.name: getattr(place, each.name) for each in fields(place)}
            yield Erasable(**known, mongo=mongo, data=directory / "data")


@pytest.fixture
async def client(erasable: Erasable) -> AsyncIterator[Client]:
    async with client_of(erasable.site) as made:
        yield made


def found_in(texts: Any) -> list[str]:
    """Return the planted words that are in any of the texts, escaped or not."""
    joined = "\n".join(each.decode(errors="replace") if isinstance(each, bytes) else each for each in texts)
    return [word for word in WORDS if word in joined]


async def plant(branch: Branch, sender: str) -> tuple[str, str]:
    """Let one person write on four channels and be answered; return the Customer and the Conversation."""
    client, site, now = branch.client, branch.client.site, datetime.now(UTC)
    agent = await branch.agent()
    hook = {"url": "http://127.0.0.1:9/", "events": ["*"]}
    assert (await client.act("adam", "POST", "/notifier/v1/webhooks", hook)).status_code == 201
    shown = await branch.write(sender, "zanzibar-sms")
    (customer,) = await client.customers(f"sms:{sender}")
    wa = WhatsAppSender(sender.removeprefix("+"), name="Quillfeather")
    content = {"type": "text", "text": {"body": "zanzibar-whatsapp"}}
    webhook = whatsapp(site.account("whatsapp", branch.name), wa, content, f"wamid.{uuid4().hex}", now)
    assert (await client.webhook(webhook)).status == 200
    known = {"kind": "email", "value": "quill@feather.example"}
    path = f"/identity/v1/customers/{customer}"
    assert (await client.act("lea", "POST", f"{path}/identifiers", known, key="k1")).status_code == 201
    mail = Mail(
        "Quill <quill@feather.example>",
        "zanzibar-subject",
        "zanzibar-mail",
        f"<{uuid4().hex}@feather.example>",
    )
    assert (await client.webhook(email(site.account("mime", branch.name), mail, now))).status == 200
    patch = {"name": "Quillfeather", "attributes": {"pet": "zanzibar-attribute"}}
    assert (await client.act("lea", "PATCH", path, patch, key="k2")).status_code == 200
    widget = site.account("webchat", branch.name)
    opened = await client.send(
        "POST", chat_session(widget, {"name": "Quillfeather"}).path, json={"name": "Quillfeather"}
    )
    session = opened.json()
    visitor = {"kind": "visitor", "value": session["visitor_id"]}
    assert (await client.act("lea", "POST", f"{path}/identifiers", visitor)).status_code == 201
    assert (await client.webhook(chat_message(widget, session["token"], "zanzibar-chat", "1"))).status == 202
    conversation = str(shown["conversation_id"])
    await until(
        lambda: client.timeline(customer), lambda items: sum(item["kind"] == "message" for item in items) == 4
    )
    await branch.status(conversation, "open")
    reply = {"text": "zanzibar-reply", "channel": "sms"}
    assert (await branch.do(agent, conversation, "replies", reply)).status_code == 202
    assert (await branch.do(agent, conversation, "notes", {"text": "zanzibar-note"})).status_code == 201
    await until(
        lambda: client.timeline(customer),
        lambda items: any(
            item["text"] == "zanzibar-reply" and item["status"] == "delivered" for item in items
        ),
    )
    ticket = await branch.do(agent, conversation, "tickets", {"reason": "bug"})
    assert ticket.status_code == 201, ticket.text
    task = {"title": "zanzibar-task", "inbox": branch.name}
    answer = await client.act("lea", "POST", f"/conversation/v1/customers/{customer}/tasks", task)
    assert answer.status_code == 201, answer.text
    return customer, conversation


async def replayed(place: Erasable, plain: list[tuple[str, bytes, bytes]]) -> None:
    """Publish all records once more, and those of before the erasure in clear; wait until all is read."""
    again: list[Record] = []
    for topic in (
        MESSAGES_INBOUND,
        MESSAGES_IDENTIFIED,
        CUSTOMERS_EVENTS,
        CONVERSATIONS_EVENTS,
        MESSAGES_OUTBOUND,
        MESSAGES_STATUS,
    ):
        again += await raw_records(place.kafka, topic)
    producer = AIOKafkaProducer(bootstrap_servers=place.kafka)
    await producer.start()
    try:
        for record in again:
            await producer.send(record.topic, record.value, key=record.key)
        for topic_name, key, value in plain:
            await producer.send(topic_name, value, key=key)
        await producer.flush()
    finally:
        await producer.stop()
    for group, topic in (
        ("identity", MESSAGES_INBOUND),
        ("conversation.messages.identified", MESSAGES_IDENTIFIED),
        ("conversation.customers.events", CUSTOMERS_EVENTS),
        ("notifier.messages.outbound", MESSAGES_OUTBOUND),
        ("notifier.webhooks.conversations.events", CONVERSATIONS_EVENTS),
        ("notifier.webhooks.customers.events", CUSTOMERS_EVENTS),
    ):
        total = len(await raw_records(place.kafka, topic))

        async def read(group: str = group, topic: Any = topic) -> int:
            return sum((await committed(place.kafka, group, topic)).values())

        await until(read, lambda done, total=total: done >= total, seconds=60)


async def test_a_person_is_erased_from_every_service_and_from_the_log_and_nothing_brings_them_back(
    erasable: Erasable, branch: Branch
) -> None:
    client, sender = branch.client, person()
    customer, conversation = await plant(branch, sender)
    assert set(found_in((await erasable.stored()).values())) == set(WORDS)
    raw = [value for values in (await erasable.logged()).values() for value in values]
    assert found_in(raw) == []
    before = await erasable.opened()
    assert set(found_in(value for _, value in before)) == set(WORDS)
    plain = [
        (topic, json.loads(value)["customer_id"].encode(), value)
        for topic, value in before
        if b'"personal"' in value
    ]
    exported = await client.get(f"/identity/v1/customers/{customer}/export")
    assert set(found_in([json.dumps(exported)])) == set(WORDS)

    path = f"/identity/v1/customers/{customer}"
    refused = await client.act("lea", "DELETE", path)
    assert refused.status_code == 403
    began = monotonic()
    answer = await client.act("adam", "DELETE", path, key="erase")
    assert answer.status_code == 202, answer.text

    async def left() -> list[str]:
        stored = await erasable.stored()
        return [f"{name}: {word}" for name, text in stored.items() for word in found_in([text])]

    await until(left, lambda words: not words, seconds=PROMISED_SECONDS, pause=0.5)

    async def readable() -> list[str]:
        return found_in(value for _, value in await erasable.opened())

    await until(readable, lambda words: not words, seconds=PROMISED_SECONDS, pause=0.5)

    async def passes() -> int:
        """Return how often all services have deleted it: twice is when no key is in memory any more."""
        row = await erasable.erasure(customer)
        return min(row["passes"].values())

    await until(passes, lambda done: done >= 2, seconds=PROMISED_SECONDS, pause=0.5)
    assert monotonic() - began < PROMISED_SECONDS
    assert found_in(value for values in (await erasable.logged()).values() for value in values) == []
    assert found_in([erasable.lines()]) == []
    assert sender not in "".join((await erasable.stored()).values())
    await _is_unknown(client, customer, conversation, sender)
    assert (await client.act("adam", "DELETE", path, key="erase")).status_code == 202
    assert (await client.act("adam", "DELETE", path)).status_code == 404

    await replayed(erasable, plain)
    assert await left() == []
    await _is_unknown(client, customer, conversation, sender)
    assert found_in([erasable.lines()]) == []

    again = await branch.write(sender, "I am back")
    (later,) = await client.customers(f"sms:{sender}")
    assert later != customer
    assert [item["text"] for item in await client.timeline(later) if item["kind"] == "message"] == [
        "I am back"
    ]
    assert again["conversation_id"] != conversation


async def _is_unknown(client: Client, customer: str, conversation: str, sender: str) -> None:
    """Nobody finds the Customer, or can write to them, by whatever way."""
    assert await client.customers(f"sms:{sender}") == []
    assert await client.customers("email:quill@feather.example") == []
    listed = await client.get("/identity/v1/customers", q="Quillfeather")
    assert listed["items"] == []
    asked: list[tuple[str, str, Json | None]] = [
        ("GET", f"/identity/v1/customers/{customer}", None),
        ("PATCH", f"/identity/v1/customers/{customer}", {"name": "Zoe"}),
        ("GET", f"/identity/v1/customers/{customer}/export", None),
        ("GET", f"/conversation/v1/customers/{customer}/timeline", None),
        ("POST", f"/conversation/v1/customers/{customer}/messages", {"text": "hello"}),
        ("GET", f"/conversation/v1/conversations/{conversation}", None),
        ("POST", f"/conversation/v1/conversations/{conversation}/replies", {"text": "hello"}),
        ("POST", f"/conversation/v1/conversations/{conversation}/notes", {"text": "hello"}),
        ("POST", f"/conversation/v1/conversations/{conversation}/reopen", None),
    ]
    for method, path, body in asked:
        assert (await client.act("lea", method, path, body)).status_code == 404, path
    assert await client.conversations(customer) == []


async def test_everybody_else_is_untouched(branch: Branch) -> None:
    gone, stays = person(), person()
    await branch.write(gone, "please forget me")
    await branch.write(stays, "please remember me")
    (customer,) = await branch.client.customers(f"sms:{gone}")
    (other,) = await branch.client.customers(f"sms:{stays}")
    assert (
        await branch.client.act("adam", "DELETE", f"/identity/v1/customers/{customer}")
    ).status_code == 202

    async def unknown() -> bool:
        path = f"/conversation/v1/customers/{customer}/timeline"
        return (await branch.client.send("GET", path, by="lea")).status_code == 404

    await until(unknown, seconds=PROMISED_SECONDS)
    await branch.client.webhook(sms_from(branch.client, stays, "and still", account=branch.name))
    await until(
        lambda: branch.client.timeline(other),
        lambda items: (
            [item["text"] for item in items if item["kind"] == "message"]
            == ["and still", "please remember me"]
        ),
    )
    export = await branch.client.get(f"/identity/v1/customers/{other}/export")
    assert export["customer"]["identifiers"] == [{"kind": "phone", "value": stays, "verified": True}]
    assert {row["text"] for row in export["conversation"]["timeline"] if row["kind"] == "message"} == {
        "and still",
        "please remember me",
    }
    refused = await branch.client.act("ana", "GET", f"/identity/v1/customers/{other}/export")
    assert refused.status_code == 403
