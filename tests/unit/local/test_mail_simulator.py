"""The simulated mail providers: asked as notifier asks them, and their events read as ingest reads them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from deploy.local.signing import sendgrid_public_key
from deploy.local.simulator.app import build_simulator
from deploy.local.simulator.registry import stand_in
from deploy.local.simulator.standin import Writing
from schemas.common import Attachment, Channel, DeliveryStatus, Identifier
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.accounts import Account, Accounts
from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Received, Reported, Webhook
from services.notifier.channels import Means, Refused, Retry, Unknown
from services.notifier.channels.registry import SENDERS

OURS = UUID("0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11")
LOCAL = "http://127.0.0.1:8080"
ACCOUNTS = Accounts.load(
    Path(__file__).parents[3] / "deploy" / "local" / "accounts.yaml", f"{LOCAL}/dev/providers"
)
MAILERS = ("sendgrid", "mailgun", "postmark", "ses")
S = DeliveryStatus


class Files:
    async def read(self, _attachment: Attachment, /) -> bytes:
        return b"%PDF"

    def link(self, _attachment: Attachment, /) -> str:
        raise AssertionError


class Stack:
    """The simulator, and the stack it calls back."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Mapping[str, str], bytes]] = []
        self.app: Any = build_simulator(ACCOUNTS, public_url=LOCAL, local_url=LOCAL, post=self._take, pause=0)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=LOCAL)

    async def _take(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.received.append((url, headers, body))
        return 200

    async def behave(self, provider: str, mode: str) -> None:
        order = {"provider": provider, "mode": mode}
        (await self.http.post("/dev/providers/behaviour", json=order)).raise_for_status()

    async def send(self, account: Account) -> str:
        sent = await SENDERS[account.provider].send(Means(self.http, "", Files()), account, reply(account))
        return sent.provider_message_id

    async def reports(self, account: Account) -> list[Reported]:
        async with asyncio.timeout(5):
            await self.app.state.callbacks.settled()
        found: list[Reported] = []
        for url, headers, body in self.received:
            webhook = await self.proven(url, headers, body, account)
            row = PROVIDERS[account.provider]
            assert row.verify(webhook, account)
            if row.nonce:
                assert row.nonce(webhook)
            items = row.parse(webhook, arrival(account))
            found += [item for item in items if isinstance(item, Reported)]
        return found

    async def proven(self, url: str, headers: Mapping[str, str], body: bytes, account: Account) -> Webhook:
        named = {name.lower(): value for name, value in headers.items()}
        webhook = Webhook("POST", urlsplit(url).path, "", named, body, LOCAL)
        fetch = PROVIDERS[account.provider].certificate_url
        if fetch is None:
            return webhook
        address = fetch(webhook, account)
        assert address is not None
        pem = await self.http.get(f"/dev/providers/sns{urlsplit(address).path}")
        return Webhook("POST", webhook.path, "", named, body, LOCAL, certificate=pem.content)


def arrival(account: Account) -> Arrival:
    return Arrival(account, ACCOUNTS, datetime.now(UTC), OURS)


def reply(account: Account) -> MessageSend:
    return MessageSend(
        id=OURS,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation=OURS,
        customer_id="1" * 32,
        home="1" * 32,
        seq=1,
        data=OutboundData(
            message_id=OURS,
            conversation_id="k1",
            provider=account.provider,
            account=account.account,
            channel=Channel.EMAIL,
        ),
        personal=OutboundPersonal(
            to=Identifier(kind="email", value="ann@mail.example.org"),
            text="It is on its way.",
            subject="Lamp",
            in_reply_to="<m1@mail.example.org>",
            attachments=(Attachment(filename="a.pdf", content_type="application/pdf"),),
        ),
    )


def demo(provider: str) -> Account:
    account = ACCOUNTS.find(provider, "demo")
    assert account is not None
    return account


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    made = Stack()
    async with made.app.router.lifespan_context(made.app), made.http:
        yield made


@pytest.mark.parametrize("provider", MAILERS)
async def test_a_mail_is_sent_remembered_and_reported_delivered_and_read(stack: Stack, provider: str) -> None:
    account = demo(provider)
    provider_message_id = await stack.send(account)
    (entry,) = (await stack.http.get("/dev/providers/sent")).json()
    assert entry["to"] == "ann@mail.example.org"
    assert entry["text"].strip() == "It is on its way."
    assert entry["provider_message_id"] == provider_message_id
    assert entry["in_reply_to"] == "<m1@mail.example.org>"
    assert entry["attachments"] == "a.pdf"
    assert entry["reply_to"].startswith("support+")
    reports = await stack.reports(account)
    first = [] if provider == "postmark" else [S.SENT]
    assert [each.record.data.status for each in reports] == [*first, S.DELIVERED, S.READ]
    assert {each.record.data.message_id for each in reports} == {OURS}
    assert {each.record.data.provider_message_id for each in reports} == {provider_message_id}


@pytest.mark.parametrize("provider", MAILERS)
async def test_a_mail_that_comes_back_is_reported_with_its_code(stack: Stack, provider: str) -> None:
    await stack.behave(provider, "undelivered")
    account = demo(provider)
    await stack.send(account)
    last = (await stack.reports(account))[-1].record.data
    assert (last.status, last.error_code) == (S.FAILED, "5.1.1")


@pytest.mark.parametrize("provider", MAILERS)
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("fail", Unknown),
        ("rate_limited", Retry),
        ("reject", Refused),
        ("garbage", Unknown),
    ],
)
async def test_every_behaviour_has_its_outcome(
    stack: Stack, provider: str, mode: str, expected: type[Exception]
) -> None:
    await stack.behave(provider, mode)
    with pytest.raises(expected):
        await stack.send(demo(provider))


@pytest.mark.parametrize("provider", MAILERS)
async def test_a_wrong_key_is_refused(stack: Stack, provider: str) -> None:
    wrong = {"api_key": "x", "server_token": "x", "access_key_id": "x"}
    account = demo(provider)
    with pytest.raises(Refused, match="account_broken"):
        await stack.send(account.model_copy(update={"secrets": account.secrets | wrong}))
    assert (await stack.http.get("/dev/providers/sent")).json() == []


def test_the_demo_accounts_public_key_is_the_one_that_signs() -> None:
    assert demo("sendgrid").secrets["public_key"] == sendgrid_public_key("demo")


@pytest.mark.parametrize("provider", MAILERS)
async def test_a_mail_is_handed_over_as_the_provider_does(stack: Stack, provider: str) -> None:
    account = demo(provider)
    writing = Writing("ann@mail.example.org", "Where is my parcel?", "0a1b", datetime.now(UTC))
    posted = stand_in(provider).writes(account, LOCAL, writing)
    webhook = await stack.proven(posted.path, posted.headers, posted.body, account)
    assert PROVIDERS[provider].verify(webhook, account)
    (item,) = PROVIDERS[provider].parse(webhook, arrival(account))
    assert isinstance(item, Received)
    assert item.record.personal.text == "Where is my parcel?"


async def test_subscriptions_are_confirmed_and_unknown_certificates_are_not_there(stack: Stack) -> None:
    assert (await stack.http.get("/dev/providers/sns/?Action=ConfirmSubscription")).status_code == 200
    assert (await stack.http.get("/dev/providers/sns/")).status_code == 400
    assert (await stack.http.get("/dev/providers/sns/other.pem")).status_code == 404
