"""The control of ingest: a bare ASGI app that checks the signature and produces the body as it came.

`python -m tests.bench.bare` reads PORT, KAFKA_BOOTSTRAP_SERVERS, PUBLIC_URL, TOPIC and ACCOUNTS_FILE.
`/idle` answers without doing anything: what the load itself can do at most.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis.accounts import Accounts
from services.chassis.settings import Settings

Headers = Mapping[bytes, bytes]
Check = Callable[[str, Headers, bytes], bool]


def twilio(url: str, token: bytes) -> Check:
    """Return the check of X-Twilio-Signature for a form posted to `url`."""

    def check(path: str, headers: Headers, body: bytes) -> bool:
        pairs = sorted(set(parse_qsl(body.decode(), keep_blank_values=True)))
        signed = url + path + "".join(name + value for name, value in pairs)
        digest = base64.b64encode(hmac.digest(token, signed.encode(), hashlib.sha1))
        return hmac.compare_digest(digest, headers.get(b"x-twilio-signature", b""))

    return check


def meta(secret: bytes) -> Check:
    """Return the check of X-Hub-Signature-256 over the body."""

    def check(_path: str, headers: Headers, body: bytes) -> bool:
        expected = b"sha256=" + hmac.digest(secret, body, hashlib.sha256).hex().encode()
        return hmac.compare_digest(expected, headers.get(b"x-hub-signature-256", b""))

    return check


def build_app() -> ASGIApp:
    """Return the application."""
    settings = Settings()
    accounts = Accounts.load(settings.accounts_file)
    secrets = {name: accounts.find(name, "demo").secrets for name in ("twilio-sms", "whatsapp")}  # type: ignore[union-attr]
    checks = {
        "twilio-sms": twilio(settings.public_url, secrets["twilio-sms"]["auth_token"].encode()),
        "whatsapp": meta(secrets["whatsapp"]["app_secret"].encode()),
    }
    topic = os.environ["TOPIC"]
    producers: list[AIOKafkaProducer] = []

    async def start() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
        )
        await producer.start()
        producers.append(producer)

    async def lifespan(receive: Receive, send: Send) -> None:
        await receive()
        await start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for producer in producers:
            await producer.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        path: str = scope["path"]
        status = 200
        if scope["method"] == "POST":
            body = await _body(receive)
            if path != "/idle":
                check = checks[path.split("/")[3]]
                if check(path, dict(scope["headers"]), body):
                    await producers[0].send_and_wait(topic, body)
                else:
                    status = 403
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    return app


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message: Any = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


if __name__ == "__main__":
    uvicorn.run(
        build_app,
        factory=True,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
