"""Turns an event of the day into the request its provider would make."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from deploy.local.demo.day import Breaks, Day, Forges, Reacts, Reports, Sends, WebhookEvent, Writes
from deploy.local.demo.desk import Desk, Json, eventually
from deploy.local.send import CHANNELS, account_of
from deploy.local.simulator.registry import stand_in
from deploy.local.simulator.standin import Writing
from deploy.local.stack import Stack
from deploy.local.webhooks import (
    Mail,
    Webhook,
    WhatsAppSender,
    chat_message,
    email,
    sms_status,
    whatsapp,
    whatsapp_body,
    whatsapp_value,
)
from schemas.common import Channel
from services.chassis.accounts import Account, Accounts

_ANSWER_SECONDS = 20.0


@dataclass(slots=True)
class Composer:
    """Makes requests of our accounts' providers. Ids are new in every run, people stay the same."""

    day: Day
    stack: Stack
    desk: Desk
    tokens: dict[str, str] = field(default_factory=dict)
    """Chat visitors' tokens, by person."""
    _accounts: dict[Channel, Account] = field(init=False)

    def __post_init__(self) -> None:
        accounts = Accounts.load(self.stack.accounts_file)
        self._accounts = {channel: account_of(accounts, channel) for channel in CHANNELS}

    def account(self, channel: Channel) -> Account:
        """Return our account on `channel`."""
        return self._accounts[channel]

    async def webhook(self, event: WebhookEvent) -> Webhook:
        """Return the request. A mail that answers ours waits until ours was sent."""
        match event:
            case Writes():
                return await self._message(event)
            case Forges():
                text = event.text
                pretended = Writes(
                    at=event.at, does="writes", id="forged", who=event.who, by=event.by, text=text
                )
                return (await self._message(pretended)).forged()
            case Sends():
                return self._cloud(event.who, event.content)
            case Reacts():
                reaction = {"message_id": f"wamid.{uuid4().hex}", "emoji": event.emoji}
                return self._cloud(event.who, {"type": "reaction", "reaction": reaction})
            case Breaks():
                return whatsapp_body(self.account(Channel.WHATSAPP), event.body.encode())
            case Reports():
                return self._report(event)
        message = f"{event.does} makes no request of its own"
        raise ValueError(message)

    async def _message(self, event: Writes) -> Webhook:
        person = self.day.people[event.who]
        account, address, unique = self.account(event.by), person.address(event.by), uuid4().hex
        now = datetime.now(UTC)
        if event.by is Channel.CHAT:
            return chat_message(account, self.tokens[event.who], event.text, unique)
        if event.by is Channel.EMAIL:
            return email(account, await self._mail(event, person.name, address), now)
        writing = Writing(address, event.text, unique, now, person.name)
        return stand_in(event.by).writes(account, self.stack.public_url, writing)

    async def _mail(self, event: Writes, name: str, address: str) -> Mail:
        answered: Json = {}
        if event.answers:
            sent = await eventually(lambda: self.desk.sent_to(address), bool, _ANSWER_SECONDS)
            answered = sent[-1] if sent else {}
        return Mail(
            sender=f"{name} <{address}>",
            subject=str(answered.get("subject") or event.subject),
            text=event.text,
            message_id=f"<{uuid4().hex}@{address.partition('@')[2]}>",
            in_reply_to=str(answered.get("provider_message_id", "")),
            references=str(answered.get("provider_message_id", "")),
            more={"Auto-Submitted": "auto-replied"} if event.automatic else None,
        )

    def _cloud(self, who: str, content: Json) -> Webhook:
        person = self.day.people[who]
        sender = WhatsAppSender(person.address(Channel.WHATSAPP), person.name)
        account = self.account(Channel.WHATSAPP)
        return whatsapp(account, sender, content, f"wamid.{uuid4().hex}", datetime.now(UTC))

    def _report(self, event: Reports) -> Webhook:
        account, unknown = self.account(event.by), uuid4().hex
        if event.by is Channel.SMS:
            to = self.day.people[event.who].address(Channel.SMS)
            return sms_status(account, self.stack.public_url, to, f"SM{unknown}", event.status)
        now = str(int(datetime.now(UTC).timestamp()))
        return whatsapp_value(
            account, {"statuses": [{"id": f"wamid.{unknown}", "status": event.status, "timestamp": now}]}
        )
