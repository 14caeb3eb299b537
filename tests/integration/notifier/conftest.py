"""Sending on a database of its own, with a provider that does as it is told."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.common import Channel
from schemas.outbound import MessageSend, MessageStatus
from services.chassis.accounts import Account
from services.chassis.mongo import Database, connect
from services.notifier.channels import Means, Sent
from services.notifier.domain import Send
from services.notifier.handlers import Sends
from services.notifier.sending import Sending
from services.notifier.settings import NotifierSettings
from services.notifier.store import Store
from tests import crash
from tests.unit.notifier.builders import START, batch, message_id

Answer = Callable[[MessageSend], Sent | BaseException]
ACCOUNTS = [
    Account(provider=provider, account="demo", channel=channel, address=f"ours-{provider}", inbox="support")
    for provider, channel in (
        ("twilio-sms", Channel.SMS),
        ("whatsapp", Channel.WHATSAPP),
        ("messenger", Channel.MESSENGER),
        ("instagram", Channel.INSTAGRAM),
    )
]


def accepts(message: MessageSend) -> Sent:
    return Sent(f"P-{message.personal.text}")


@dataclass
class Provider:
    """Remembers every request, and answers as `answer` says."""

    answer: Answer = accepts
    fuse: crash.Fuse = field(default_factory=lambda: crash.Fuse(None))
    asked: list[str] = field(default_factory=list)

    async def __call__(self, _means: Means, _account: Account, message: MessageSend, /) -> Sent:
        self.fuse.step()
        self.asked.append(message.personal.text)
        self.fuse.step()
        outcome = self.answer(message)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@dataclass
class Notifier:
    """The sending part of one replica, without its edges."""

    database: Any
    settings: NotifierSettings
    log: crash.Log = field(default_factory=crash.Log)
    provider: Provider = field(default_factory=Provider)
    now: datetime = START

    def __post_init__(self) -> None:
        self.store = Store(self.database, self.log, lambda: self.now)
        self.sends = Sends(
            self.store,
            deduplicates=lambda provider: provider == "webchat",
            known_account=lambda provider, account: (
                account == "demo"
                and provider in {"twilio-sms", "whatsapp", "webchat", "messenger", "instagram"}
            ),
            watermarks=lambda provider: provider in {"messenger", "webchat"},
            clock=lambda: self.now,
        )
        self.sending = Sending(
            self.sends,
            self.store,
            httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))),
            ACCOUNTS,
            lambda _: self.provider,
            self.settings,
            lambda: self.now,
            lambda: 0.0,
        )
        self.sends.on_work, self.sends.broken = self.sending.wake, self.sending.standings.broken

    async def accept(self, *replies: MessageSend) -> list[Any]:
        return await self.sends.accept(batch("messages.outbound", *replies))

    async def receive(self, *receipts: Any) -> None:
        await self.sends.receive(batch("messages.delivery", *receipts))

    async def claim(self, source: str = "twilio-sms/demo", name: str = "claim") -> Send | None:
        return await self.store.claim(source, name, timedelta(seconds=60))

    async def send_all(self, source: str = "twilio-sms/demo") -> None:
        """Send what is due now, one after another."""
        for number in range(50):
            claimed = await self.claim(source, f"{self.now}-{number}")
            if claimed is None:
                return
            await self.sending.send(claimed)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def heal(self) -> None:
        """Do what the loops of a replica that lives do, long after the crash."""
        self.later(120)
        await self.sends.recover()
        await self.sends.sweep(self.now)
        await self.sends.show_echoes()
        await self.send_all()

    def published(self, name: str) -> list[tuple[int, str]]:
        """Return (seq, status) of a message's records, once each, as they came first."""
        values = (record.value for record in self.log.records if record.topic == "messages.status")
        records = [MessageStatus.model_validate(json.loads(value)) for value in values]
        own = {record.id: record for record in records if record.data.message_id == message_id(name)}
        return [(record.seq, record.data.status.value) for record in own.values()]

    async def stored(self, name: str) -> dict[str, Any]:
        found = await self.database["sends"].find_one({"_id": str(message_id(name))})
        assert found is not None
        return dict(found)


@pytest.fixture
def settings(embedded_mongo: str, database_name: str, tmp_path: Path) -> NotifierSettings:
    return NotifierSettings(
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        jwks_url=f"file://{tmp_path / 'jwks.json'}",
        send_poll_seconds=0.02,
        retry_first_seconds=1,
    )


@pytest.fixture
async def database(settings: NotifierSettings) -> AsyncIterator[Database]:
    found = connect(settings, "notifier")
    await Store(found, crash.Log()).prepare()
    yield found
    await found.client.close()


@pytest.fixture
async def notifier(database: Database, settings: NotifierSettings) -> AsyncIterator[Notifier]:
    made = Notifier(database, settings)
    yield made
    await made.sending.client.aclose()
