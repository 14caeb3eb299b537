"""Accounts that come, go and change while requests are being taken."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.types import Receive, Scope, Send

from schemas.common import BlobRef
from services.chassis.accounts import Account, Accounts
from services.chassis.broker import Outgoing
from services.ingest.channels.webchat import BadIdentityToken, verified_identity
from services.ingest.front import Front
from services.ingest.handlers import Intake
from services.ingest.settings import IngestSettings
from services.ingest.taking import Taking

PATH = "/ingest/v1/mime/demo"
MAIL = b"From: ann@mail.example.org\nMessage-ID: <1@mail.example.org>\n\nhello\n"
OLD = Account(
    provider="mime",
    account="demo",
    channel="email",
    address="support@parley.example",
    inbox="support",
    secrets={"token": "old"},
)
BOTH = OLD.model_copy(update={"secrets": {"token": "new"}, "former": {"token": ("old",)}})
NEW = OLD.model_copy(update={"secrets": {"token": "new"}})


class Gate:
    """A Kafka that acknowledges once the gate is open, and knows how many wait."""

    def __init__(self) -> None:
        self.open, self.waiting = asyncio.Event(), 0

    async def publish(self, _: Sequence[Outgoing]) -> None:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1


class Bytes:
    async def put(self, data: bytes, content_type: str | None = None) -> BlobRef:
        return BlobRef(ref="1", sha256="0" * 64, size=len(data), content_type=content_type)


async def nobody(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Service:
    """The front alone, and clients that post."""

    def __init__(self, *accounts: Account) -> None:
        self.gate = Gate()
        self.intake = Intake(
            Accounts(accounts), self.gate, Bytes(), lambda: datetime(2026, 1, 1, tzinfo=UTC), uuid4
        )
        self.front = Front(nobody, Taking(self.intake, IngestSettings()))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.front), base_url="http://127.0.0.1"
        )

    def learn(self, *accounts: Account) -> None:
        self.intake.learn(Accounts(accounts))
        self.front.learn(self.intake.accounts)

    async def post(self, token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return (await self.client.post(PATH, content=MAIL, headers=headers)).status_code


async def test_a_request_that_is_being_taken_ends_as_it_began_when_its_account_goes() -> None:
    service = Service(OLD)
    posting = asyncio.create_task(service.post("old"))
    async with asyncio.timeout(5):
        while not service.gate.waiting:
            await asyncio.sleep(0.001)
    service.learn()
    service.gate.open.set()
    assert await posting == 200
    assert await service.post("old") == 404
    service.learn(NEW)
    assert [await service.post(token) for token in ("old", "new")] == [401, 200]
    await service.client.aclose()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["old", "new"]), st.integers(0, 3)), min_size=1, max_size=30))
def test_no_request_is_refused_by_a_rotation_that_goes_through_both(requests: list[tuple[str, int]]) -> None:
    """Whoever signs with the old secret until both are taken, and with the new one from then on, is heard."""

    async def play() -> list[int]:
        service = Service(OLD)
        service.gate.open.set()
        tasks, phases = [], [OLD, BOTH, NEW]
        for number, (token, pauses) in enumerate(requests):
            phase = min(2, 3 * number // len(requests))
            service.learn(phases[phase])
            allowed = {0: "old", 1: token, 2: "new"}[phase]
            tasks.append(asyncio.create_task(service.post(allowed)))
            if phase != min(2, 3 * (number + 1) // len(requests)):
                await asyncio.gather(*tasks)  # verified before the next change
            for _ in range(pauses):
                await asyncio.sleep(0)
        answers = await asyncio.gather(*tasks)
        await service.client.aclose()
        return list(answers)

    assert set(asyncio.run(play())) == {200}


def test_a_widgets_site_may_sign_with_either_secret_during_a_rotation() -> None:
    secrets = {name: f"identity-secret-{name}-of-32-bytes-or-more" for name in ("old", "new", "other")}
    widget = Account(
        provider="webchat",
        account="demo",
        channel="chat",
        address="w",
        inbox="support",
        secrets={"identity_secret": secrets["new"]},
        former={"identity_secret": (secrets["old"],)},
    )
    claims = {"user_id": "1", "exp": int((datetime.now(UTC) + timedelta(hours=1)).timestamp())}

    def signed(name: str) -> str:
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secrets[name].encode()))

    for name in ("old", "new"):
        assert [each.value for each in verified_identity(signed(name), widget)] == ["demo:1"]
    with pytest.raises(BadIdentityToken, match="not signed with"):
        verified_identity(signed("other"), widget)
