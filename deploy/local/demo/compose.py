"""Turns an event of the day into the request its provider would make."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from deploy.local.calls import Call, Caller, call
from deploy.local.demo.day import (
    Breaks,
    Calls,
    Day,
    Forges,
    Reacts,
    Reads,
    Reports,
    Sends,
    Types,
    WebhookEvent,
    Writes,
)
from deploy.local.demo.desk import Desk, Json, eventually
from deploy.local.send import account_of
from deploy.local.simulator.registry import stand_in
from deploy.local.simulator.standin import Writing
from deploy.local.stack import Stack
from deploy.local.webhooks import (
    Webhook,
    WhatsAppSender,
    chat_message,
    chat_sign,
    chat_upload,
    sms_status,
    whatsapp,
    whatsapp_body,
    whatsapp_value,
)
from schemas.common import Channel
from services.chassis.accounts import Account, Accounts

_ANSWER_SECONDS = 20.0
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one pixel."""


@dataclass(slots=True)
class Composer:
    """Makes requests of our accounts' providers. Ids are new in every run, people stay the same."""

    day: Day
    stack: Stack
    desk: Desk
    tokens: dict[str, str] = field(default_factory=dict)
    """Chat visitors' tokens, by person."""
    _accounts: Accounts = field(init=False)

    def __post_init__(self) -> None:
        self._accounts = Accounts.load(self.stack.accounts_file)

    def account(self, name: str) -> Account:
        """Return our account of a provider, or on a channel."""
        return account_of(self._accounts, name)

    async def webhook(self, event: WebhookEvent) -> Webhook:
        """Return the request. A mail that answers ours waits until ours was sent."""
        match event:
            case Writes():
                return await self._message(event)
            case Forges():
                text = event.text
                pretended = Writes(
                    at=event.at,
                    does="writes",
                    id="forged",
                    who=event.who,
                    by=event.by,
                    through=event.through,
                    text=text,
                )
                return (await self._message(pretended)).forged()
            case Types() | Reads():
                what, content = ("typing", {"typing": True}) if isinstance(event, Types) else ("read", {})
                return chat_sign(self.account(event.by), self.tokens[event.who], what, content)
            case Sends() | Reacts():
                return self._cloud(event)
            case Breaks():
                return whatsapp_body(self.account(Channel.WHATSAPP), event.body.encode())
            case Reports():
                return self._report(event)
        message = f"{event.does} makes no request of its own"
        raise ValueError(message)

    def call(self, event: Calls) -> Call:
        """Return the webhooks of a call, each of which hangs on the answer to the one before."""
        person = self.day.people[event.who]
        caller = Caller(person.address(event.by), event.presses, event.says, person.name.upper())
        return call(self.account(event.by), self.stack.public_url, caller)

    async def _message(self, event: Writes) -> Webhook:
        person, row_name = self.day.people[event.who], event.through or event.by
        account, address, unique = self.account(row_name), person.address(event.by), uuid4().hex
        if event.by is Channel.CHAT:
            return await self._chat(event, account, unique)
        answered = await self._answered(address) if event.answers else {}
        writing = Writing(
            address,
            event.text,
            unique,
            datetime.now(UTC) - timedelta(hours=event.hours_late),
            person.name,
            subject=str(answered.get("subject") or event.subject),
            answers=str(answered.get("message_id") or answered.get("provider_message_id", "")),
            automatic=event.automatic,
            pictures=[await self._picture(account, unique)] if event.picture else (),
        )
        return stand_in(row_name).writes(account, self.stack.public_url, writing)

    async def _answered(self, address: str) -> Json:
        sent = await eventually(lambda: self.desk.sent_to(address), bool, _ANSWER_SECONDS)
        return sent[-1] if sent else {}

    async def _chat(self, event: Writes, account: Account, unique: str) -> Webhook:
        token, files = self.tokens[event.who], []
        if event.picture:
            upload = chat_upload(account, token, _PNG, "image/png")
            files.append(str((await self.desk.told(upload))["id"]))
        return chat_message(account, token, event.text, unique, files)

    async def _picture(self, account: Account, unique: str) -> str:
        """Let the provider have a picture and return its URL there."""
        await self.desk.lay_down(f"ME{unique}", _PNG, "image/png")
        messages = f"2010-04-01/Accounts/{account.secrets['account_sid']}/Messages"
        return f"{self.stack.providers}/{account.provider}/{messages}/MM{unique}/Media/ME{unique}"

    def _cloud(self, event: Sends | Reacts) -> Webhook:
        if isinstance(event, Sends):
            content = event.content
        else:
            reaction = {"message_id": f"wamid.{uuid4().hex}", "emoji": event.emoji}
            content = {"type": "reaction", "reaction": reaction}
        person = self.day.people[event.who]
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
