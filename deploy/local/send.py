"""`make send CHANNEL=sms FROM=+15551230001 TEXT="…"`: posts one signed webhook to the running stack.

Prints the same request as a curl command, and the answer.
"""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from rich.console import Console

from deploy.local import mails
from deploy.local.stack import Stack, StackError
from deploy.local.visitors import Visitors
from deploy.local.webhooks import (
    Mail,
    Webhook,
    WhatsAppSender,
    chat_message,
    chat_session,
    email,
    sms,
    whatsapp,
)
from services.chassis.accounts import Account, Accounts, AccountsError

ACCOUNT = "demo"


class Channel(StrEnum):
    """Channels a message can be sent on."""

    SMS = "sms"
    WHATSAPP = "whatsapp"
    EMAIL = "email"
    CHAT = "chat"


_PROVIDERS = {
    Channel.SMS: "twilio-sms",
    Channel.WHATSAPP: "whatsapp",
    Channel.EMAIL: "mime",
    Channel.CHAT: "webchat",
}
_SENDERS = {
    Channel.SMS: "+15551230001",
    Channel.WHATSAPP: "+15551230001",
    Channel.EMAIL: "ann@mail.example.org",
    Channel.CHAT: "ann",
}


def main(
    channel: Annotated[Channel, typer.Option(envvar="CHANNEL")] = Channel.SMS,
    sender: Annotated[str, typer.Option("--from", envvar="FROM", help="a number, address or name")] = "",
    text: Annotated[str, typer.Option(envvar="TEXT")] = "Where is my parcel?",
    provider: Annotated[
        str, typer.Option(envvar="PROVIDER", help="of mail: mime, sendgrid, mailgun, postmark")
    ] = "",
) -> None:
    """Send one message as a Customer would."""
    try:
        stack = Stack.from_environment()
        answer = send(stack, channel, sender or _SENDERS[channel], text, provider)
    except (StackError, AccountsError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not answer.is_success:
        raise typer.Exit(1)


def send(stack: Stack, channel: Channel, sender: str, text: str, provider: str = "") -> httpx.Response:
    """Post the webhook, print request and answer, and return the answer; raises StackError."""
    account = account_of(Accounts.load(stack.accounts_file), channel, provider)
    webhook = _webhook(stack, account, channel, sender, text)
    print(webhook.curl(stack.url), end="\n\n")
    answer = post(stack, webhook)
    Console().print(
        f"{answer.status_code} {answer.reason_phrase}", style="green" if answer.is_success else "red"
    )
    if answer.text:
        print(answer.text)
    return answer


def account_of(accounts: Accounts, channel: Channel, provider: str = "") -> Account:
    """Return the demo account of the channel's provider, of mail any of several; raises StackError."""
    name = provider or _PROVIDERS[channel]
    if name != _PROVIDERS[channel] and not (channel is Channel.EMAIL and name in mails.PROVIDERS):
        known = ", ".join([_PROVIDERS[channel], *(mails.PROVIDERS if channel is Channel.EMAIL else ())])
        raise StackError(f"PROVIDER of {channel} is one of {known}, not {name!r}")
    account = accounts.find(name, ACCOUNT)
    if account is None:
        message = f"no account {ACCOUNT!r} of the provider {name} in the accounts file"
        raise StackError(message)
    return account


def post(stack: Stack, webhook: Webhook) -> httpx.Response:
    """Make the request; raises StackError when nobody answers."""
    try:
        return httpx.post(
            stack.url + webhook.path,
            content=webhook.body,
            headers=dict(webhook.headers),
            trust_env=False,
            timeout=20,
        )
    except httpx.HTTPError as error:
        message = f"no stack answers at {stack.url} ({type(error).__name__}); start one with: make up"
        raise StackError(message) from None


def _webhook(stack: Stack, account: Account, channel: Channel, sender: str, text: str) -> Webhook:
    now, unique = datetime.now(UTC), uuid4().hex
    match channel:
        case Channel.SMS:
            return sms(account, stack.public_url, sender, text, "SM" + unique)
        case Channel.WHATSAPP:
            content = {"type": "text", "text": {"body": text}}
            return whatsapp(account, WhatsAppSender(sender), content, f"wamid.{unique}", now)
        case Channel.EMAIL:
            mail = email(account, Mail(sender, text[:60], text, f"<{unique}@mail.example.org>"), now)
            if account.provider not in mails.PROVIDERS:
                return mail
            return mails.handed_over(account, mail.body, sender, unique)
        case Channel.CHAT:
            token = Visitors(stack.data_dir).token(sender, lambda name: _open(stack, account, name))
            return chat_message(account, token, text, unique)


def _open(stack: Stack, account: Account, name: str) -> dict[str, Any]:
    answer = post(stack, chat_session(account, {"name": name}))
    if not answer.is_success:
        message = f"the widget refuses a session: {answer.status_code} {answer.text}"
        raise StackError(message)
    session: dict[str, Any] = answer.json()
    return session


if __name__ == "__main__":
    typer.run(main)
