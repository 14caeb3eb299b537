"""The composed service on the real protocols of Kafka and MongoDB."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
from aiokafka import AIOKafkaConsumer

from deploy.local.keys import StackKeys
from schemas.inbound import MessageIdentified, MessageReceived
from schemas.topics import MESSAGES_IDENTIFIED, MESSAGES_INBOUND
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.topics import create_topics
from services.identity.app import build_app
from services.identity.settings import IdentitySettings
from tests.system.topics import readable
from tests.unit.identity.messages import PHONE, shown


async def identified(bootstrap: str, ids: set[UUID]) -> list[MessageIdentified]:
    """Return the identified messages of these ids, in log order."""
    consumer = AIOKafkaConsumer(
        MESSAGES_IDENTIFIED.name,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    found: list[MessageIdentified] = []
    try:
        async with asyncio.timeout(20):
            while {message.id for message in found} < ids:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    decoded = [
                        MESSAGES_IDENTIFIED.adapter.validate_json(readable(MESSAGES_IDENTIFIED, record.value))
                        for record in records
                    ]
                    found += [message for message in decoded if message.id in ids]
    finally:
        await consumer.stop()
    return found


async def test_messages_come_through_kafka_with_their_customer(
    embedded_kafka: str, embedded_mongo: str, database_name: str, tmp_path: Path
) -> None:
    keys = StackKeys.load_or_make(tmp_path)
    settings = IdentitySettings(
        kafka_bootstrap_servers=embedded_kafka,
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        jwks_url=(tmp_path / "jwks.json").as_uri(),
    )
    await create_topics(settings)
    number = f"+1555{hash(database_name) % 10**7:07}"
    phone = PHONE.model_copy(update={"value": number})
    messages: list[MessageReceived] = [shown(phone, number=count, name="Ada") for count in range(20)]
    app = build_app(settings)
    publisher = KafkaPublisher(settings, "test")
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        async with asyncio.timeout(20):
            while (await client.get("/identity/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        await publisher.publish(
            [Outgoing(MESSAGES_INBOUND.name, number, message.json_bytes()) for message in messages]
        )
        passed = await identified(embedded_kafka, {message.id for message in messages})
        token = keys.token("ana", ["agent"], datetime.now(UTC))
        answer = await client.get(
            "/identity/v1/customers",
            params={"identifier": f"sms:{number}"},
            headers={"Authorization": f"Bearer {token}"},
        )
    await publisher.stop()
    assert [message.id for message in passed] == [message.id for message in messages]
    (customer,) = answer.json()["items"]
    assert {message.customer_id for message in passed} == {customer["id"]}
    assert (customer["name"], customer["identifiers"][0]["verified"]) == ("Ada", True)
