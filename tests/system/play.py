"""People for a run: Customers who write, Agents who answer. All is remembered for the checker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import httpx

from deploy.local.send import CHANNELS
from deploy.local.webhooks import Webhook, WhatsAppSender, sms, whatsapp
from schemas.routing import Capacity
from tests.system.client import LEAD, Client, Json, Posted
from tests.system.evidence import Replied, Wrote
from tests.system.waiting import until

_ON = {channel.value: True for channel in CHANNELS}


def number(of: int) -> str:
    """Return the invented phone number of Customer `of` (0 to 9999)."""
    return f"+1202555{of:04d}"


def sms_from(
    client: Client, sender: str, text: str, *, account: str = "demo", sid: str | None = None
) -> Webhook:
    """Return a signed SMS webhook."""
    site = client.site
    sid = sid or f"SM{uuid4().hex}"
    return sms(site.account("twilio-sms", account), site.public_url, sender, text, sid)


def whatsapp_from(client: Client, sender: str, text: str, at: datetime) -> Webhook:
    """Return a signed WhatsApp webhook; its time has whole seconds."""
    content = {"type": "text", "text": {"body": text}}
    name = f"wamid.{uuid4().hex}"
    return whatsapp(client.site.account("whatsapp"), WhatsAppSender(sender), content, name, at)


@dataclass
class Diary:
    """What was written and replied."""

    wrote: list[Wrote] = field(default_factory=list)
    replied: list[Replied] = field(default_factory=list)
    refused: list[tuple[str, str, int]] = field(default_factory=list)
    """Webhooks that were never answered 2xx: their sender and text, and the last status."""
    repeated: int = 0
    """Webhooks that needed more than one try."""

    @property
    def senders(self) -> list[str]:
        """Whoever wrote, refused or not: what is refused may come in all the same."""
        return sorted({each.sender for each in self.wrote} | {sender for sender, _, _ in self.refused})


async def write(
    client: Client, diary: Diary, sender: str, text: str, *, by: str = "sms", retry_seconds: float = 60.0
) -> Posted:
    """Let `sender` (a number) write; tried again as a provider does."""
    now = datetime.now(UTC)
    provider_at = now.replace(microsecond=0) if by == "whatsapp" else None
    webhook = whatsapp_from(client, sender, text, now) if by == "whatsapp" else sms_from(client, sender, text)
    posted = await client.webhook(webhook, retry_seconds=retry_seconds)
    diary.repeated += posted.tries > 1
    if 200 <= posted.status < 300:
        diary.wrote.append(Wrote(f"sms:{sender}", text, posted.tried_at, posted.answered_at, provider_at))
    else:
        diary.refused.append((f"sms:{sender}", text, posted.status))
    return posted


async def reply(client: Client, diary: Diary, by: str, conversation: str, text: str) -> httpx.Response:
    """Reply until it is accepted or refused."""
    answer = await client.insist(
        by, "POST", f"/conversation/v1/conversations/{conversation}/replies", {"text": text}
    )
    if answer.status_code == 202:
        diary.replied.append(Replied(answer.json()["message_id"], text))
    return answer


async def profile(
    client: Client, agent: str, capacity: Capacity | None = None, inboxes: Sequence[str] = ("support",)
) -> None:
    """Let a lead make the Agent known."""
    body = {
        "name": agent.title(),
        "inboxes": list(inboxes),
        "capacity": (capacity or Capacity()).model_dump(),
    }
    answer = await client.insist(LEAD, "PUT", f"/router/v1/agents/{agent}", body)
    assert answer.status_code == 200, answer.text


async def sign_on(client: Client, agent: str, **options: int) -> None:
    """Let the Agent be available on every channel there is."""
    answer = await client.act(agent, "PUT", f"/router/v1/agents/{agent}/availability", _ON, **options)
    assert answer.status_code == 200, answer.text


async def sign_off(client: Client, agent: str) -> None:
    """Let the Agent leave."""
    off = dict.fromkeys(_ON, False)
    answer = await client.insist(agent, "PUT", f"/router/v1/agents/{agent}/availability", off)
    assert answer.status_code == 200, answer.text


async def shown(client: Client, sender: str, text: str, seconds: float = 30.0) -> Json:
    """Return the message on the sender's timeline once it is there."""

    async def look() -> list[Json]:
        return [item for item in await client.messages(f"sms:{sender}") if item["text"] == text]

    return (await until(look, seconds=seconds))[0]


async def reply_sent(client: Client, message_id: str, conversation: str, seconds: float = 30.0) -> str:
    """Return a reply's status once its provider has it, or nobody can know."""
    customer = (await client.conversation(conversation))["customer_id"]

    async def look() -> str:
        items = await client.timeline(customer)
        return next((item["status"] for item in items if item["id"] == message_id), "missing")

    return await until(look, {"sent", "delivered", "read", "unknown"}.__contains__, seconds=seconds)


@dataclass
class Desk:
    """Agents who answer what they have: a reply to each new message, and a close now and then."""

    client: Client
    diary: Diary
    close_every: int = 3
    at_once: int = 1
    answered: set[str] = field(default_factory=set)
    _turn: int = 0

    async def work(self, stopping: asyncio.Event, pause: float = 0.5) -> None:
        """Answer until told to stop."""
        while not stopping.is_set():
            await self._round(await self._open(), stopping)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stopping.wait()

    async def _round(self, conversations: Sequence[Json], stopping: asyncio.Event) -> None:
        room = asyncio.Semaphore(self.at_once)

        async def answer(conversation: Json) -> None:
            async with room:
                if not stopping.is_set():
                    await self._answer(conversation)

        await asyncio.gather(*(answer(conversation) for conversation in conversations))

    async def _open(self) -> list[Json]:
        try:
            return list(
                (await self.client.get("/conversation/v1/conversations", status="open", limit=200))["items"]
            )
        except (httpx.TransportError, AssertionError):
            return []  # a replica just died; look again

    async def _answer(self, conversation: Json) -> None:
        mark = f"{conversation['id']}@{conversation['updated_at']}"
        if mark in self.answered or conversation["agent"] is None:
            return
        self._turn += 1
        agent, text = conversation["agent"], f"answer {self._turn} {uuid4().hex[:8]}"
        await reply(self.client, self.diary, agent, conversation["id"], text)
        if self._turn % self.close_every == 0:
            path = f"/conversation/v1/conversations/{conversation['id']}/close"
            await self.client.insist(agent, "POST", path, {})
        seen = await self.client.conversation(conversation["id"])
        self.answered.add(f"{seen['id']}@{seen['updated_at']}")


@asynccontextmanager
async def at_work(desk: Desk) -> AsyncIterator[None]:
    """Let the desk answer while the block runs, and finish what it began; raises what went wrong there."""
    stopping = asyncio.Event()
    working = asyncio.create_task(desk.work(stopping))
    try:
        yield
    finally:
        stopping.set()
        await working
