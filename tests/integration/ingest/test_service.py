"""The composed service on the real protocols of Kafka and MongoDB."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr

from schemas.inbound import MessageReceived
from services.chassis.accounts import Accounts
from services.chassis.blobs import blob_store, contents, shared_database
from services.chassis.mongo import connect
from services.chassis.topics import create_topics
from services.ingest.app import build_app
from services.ingest.settings import IngestSettings

MAIL = b"From: ann@mail.example.org\r\nMessage-ID: <%s@mail.example.org>\r\n\r\nhello\r\n"


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        async with asyncio.timeout(20):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        yield client


async def published(bootstrap: str, name: bytes) -> MessageReceived:
    """Return the message that came with `name` in its text or id."""
    consumer = AIOKafkaConsumer(
        "messages.inbound",
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            async for record in consumer:
                if name in record.value:
                    return MessageReceived.model_validate_json(record.value)
    finally:
        await consumer.stop()
    raise AssertionError("the consumer ended")


async def test_mail_and_visitors_come_through_kafka_and_mongodb(
    embedded_kafka: str, embedded_mongo: str, database_name: str
) -> None:
    settings = IngestSettings(
        kafka_bootstrap_servers=embedded_kafka,
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        visitor_token_secret=SecretStr("visitor-token-secret-of-32-bytes!"),
    )
    await create_topics(settings)
    accounts = Accounts.load(settings.accounts_file)
    relay, widget = accounts.find("mime", "demo"), accounts.find("webchat", "demo")
    assert relay is not None
    assert widget is not None
    mail = MAIL % database_name.encode()
    async with serving(build_app(settings)) as client:
        token = {"authorization": f"Bearer {relay.secret('token')}"}
        answer = await client.post("/ingest/v1/mime/demo", content=mail, headers=token)
        assert answer.status_code == 200

        expires = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
        claims = {"user_id": database_name, "exp": expires}
        key = OctKey.import_key(widget.secret("identity_secret").encode())
        signed = jwt.encode({"alg": "HS256"}, claims, key)
        session = (
            await client.post("/ingest/v1/webchat/demo/sessions", json={"identity_token": signed})
        ).json()
        visitor = {"authorization": f"Bearer {session['token']}"}
        said = await client.post(
            "/ingest/v1/webchat/demo/messages", json={"client_id": "1", "text": "hi"}, headers=visitor
        )
        assert said.status_code == 202

    message = await published(embedded_kafka, database_name.encode() + b"@mail")
    assert message.personal.raw is not None
    shared = shared_database(settings)
    assert await contents(blob_store(settings, shared), message.personal.raw.ref) == mail
    await shared.client.close()
    database = connect(settings, "ingest")
    indexes = await database["visitors"].index_information()
    assert any(each.get("expireAfterSeconds") == 0 for each in indexes.values())
    await database.client.close()

    chat = await published(embedded_kafka, f"demo:{database_name}".encode())
    assert str(chat.id) == said.json()["message_id"]
    assert [each.value for each in chat.personal.identifiers] == [
        session["visitor_id"],
        f"demo:{database_name}",
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # producers that never started
async def test_without_kafka_nothing_is_taken_and_readiness_says_so(
    embedded_mongo: str, database_name: str
) -> None:
    settings = IngestSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        publish_timeout_seconds=0.5,
    )
    relay = Accounts.load(settings.accounts_file).find("mime", "demo")
    assert relay is not None
    app = build_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        token = {"authorization": f"Bearer {relay.secret('token')}"}
        answer = await client.post("/ingest/v1/mime/demo", content=MAIL % b"1", headers=token)
        assert answer.status_code == 503
        ready = await client.get("/ingest/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["kafka"] != "ok"
        assert (await client.get("/ingest/livez")).status_code == 200
    gc.collect()  # so that no later test sees the warnings
