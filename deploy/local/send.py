"""`make send CHANNEL=sms FROM=+15551230001 TEXT="…"`: posts one signed webhook to the running stack.

CHANNEL is a channel, or a provider's name where a channel has several.

Prints the same request as a curl command, and the answer.
"""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import httpx
import typer
from rich.console import Console

from deploy.local.simulator.registry import STAND_INS, stand_in
from deploy.local.simulator.standin import Writing
from deploy.local.simulator.twilio import PROVIDER as TWILIO
from deploy.local.stack import Stack, StackError
from deploy.local.visitors import Visitors
from deploy.local.webhooks import Webhook, chat_message, chat_session, heard
from schemas.common import Channel
from services.chassis.accounts import Account, Accounts, AccountsError

ACCOUNT = "demo"


CHAT_PROVIDER, VISITOR = "webchat", "ann"
CHANNELS = (*dict.fromkeys(row.channel for row in STAND_INS), Channel.CHAT)
"""Channels on which somebody can write to the stack."""


def main(
    channel: Annotated[str, typer.Option(envvar="CHANNEL", help=", ".join(CHANNELS))] = Channel.SMS,
    sender: Annotated[str, typer.Option("--from", envvar="FROM", help="a number, address or name")] = "",
    text: Annotated[str, typer.Option(envvar="TEXT")] = "Where is my parcel?",
) -> None:
    """Send one message as a Customer would."""
    try:
        stack = Stack.from_environment()
        answer = send(stack, channel, sender, text)
    except (StackError, AccountsError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not answer.is_success:
        raise typer.Exit(1)


def send(stack: Stack, channel: str, sender: str, text: str) -> httpx.Response:
    """Post the webhook, print request and answer, and return the answer; raises StackError."""
    account = account_of(Accounts.load(stack.accounts_file), channel)
    webhook = _webhook(stack, account, channel, sender, text)
    print(webhook.curl(stack.url), end="\n\n")
    if account.provider == TWILIO:
        post(stack, heard(account, sender or stand_in(channel).sender, text))
    answer = post(stack, webhook)
    Console().print(
        f"{answer.status_code} {answer.reason_phrase}", style="green" if answer.is_success else "red"
    )
    if answer.text:
        print(answer.text)
    return answer


def account_of(accounts: Accounts, channel: str) -> Account:
    """Return the demo account of the provider, or of the channel's first; raises StackError."""
    try:
        provider = CHAT_PROVIDER if channel == Channel.CHAT else stand_in(channel).provider
    except LookupError as error:
        raise StackError(str(error)) from None
    account = accounts.find(provider, ACCOUNT)
    if account is None:
        message = f"no account {ACCOUNT!r} of the provider {provider} in the accounts file"
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


def _webhook(stack: Stack, account: Account, channel: str, sender: str, text: str) -> Webhook:
    unique = uuid4().hex
    if channel == Channel.CHAT:
        token = Visitors(stack.data_dir).token(sender or VISITOR, lambda name: _open(stack, account, name))
        return chat_message(account, token, text, unique)
    row = stand_in(channel)
    writing = Writing(sender or row.sender, text, unique, datetime.now(UTC))
    try:
        return row.writes(account, stack.public_url, writing)
    except ValueError:
        message = f"{sender!r} is no address on {row.channel}; one is: {row.sender}"
        raise StackError(message) from None


def _open(stack: Stack, account: Account, name: str) -> dict[str, Any]:
    answer = post(stack, chat_session(account, {"name": name}))
    if not answer.is_success:
        message = f"the widget refuses a session: {answer.status_code} {answer.text}"
        raise StackError(message)
    session: dict[str, Any] = answer.json()
    return session


if __name__ == "__main__":
    typer.run(main)
