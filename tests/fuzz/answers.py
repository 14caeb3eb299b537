"""What providers answer to our sends and checks: any answer is one of the known outcomes.

An input is the HTTP status on the first line, then the body.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import httpx

from schemas.common import Channel, Identifier
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.accounts import Account, Accounts
from services.chassis.settings import LOCAL
from services.notifier.channels import Means, Refused, Retry, Unknown
from services.notifier.channels.checks import Asking, Trouble
from services.notifier.channels.registry import SENDERS
from tests import recorded

_OURS = UUID("0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11")
_ACCOUNTS = Accounts.load(LOCAL / "accounts.yaml", "https://api.example.com")
_TO = {
    Channel.SMS: ("phone", "+15551230001"),
    Channel.EMAIL: ("email", "ann@mail.example.org"),
    Channel.CHAT: ("visitor", "v1"),
    Channel.TELEGRAM: ("telegram", "6200000001"),
}
_loop = asyncio.new_event_loop()


def providers() -> list[str]:
    """Return the providers that answer over HTTP and of which the local stack has an account."""
    return sorted(name for name in SENDERS if name != "webchat" and _account(name))


def check(provider: str, data: bytes) -> None:
    """Let the provider answer a send, and a check of the account, with `data`."""
    line, _, body = data.partition(b"\n")
    status = min(max(int(line), 200), 599) if line.isdigit() and len(line) < 10 else 200
    _loop.run_until_complete(_told(provider, status, body))


async def _told(provider: str, status: int, body: bytes) -> None:
    account, row = _account(provider), SENDERS[provider]
    assert account is not None
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    async with httpx.AsyncClient(transport=transport) as client:
        try:
            sent = await row.send(Means(client, "https://hooks.example.com/x"), account, _message(account))
        except (Refused, Retry, Unknown) as outcome:
            str(outcome).encode()
        else:
            assert sent.provider_message_id
            sent.provider_message_id.encode()
        if row.check:
            try:
                (await row.check(Asking(client, "https://hooks.example.com/x"), account)).encode()
            except Trouble as trouble:
                f"{trouble.wrong}{trouble.remedy}".encode()


def _account(provider: str) -> Account | None:
    return next((each for each in _ACCOUNTS if each.provider == provider), None)


def _message(account: Account) -> MessageSend:
    kind, value = _TO.get(account.channel, (str(account.channel), "15551230001"))
    return MessageSend(
        id=_OURS,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        correlation=_OURS,
        customer_id="c1",
        home="c1",
        seq=1,
        data=OutboundData(
            message_id=_OURS,
            conversation_id="k1",
            provider=account.provider,
            account=account.account,
            channel=account.channel,
        ),
        personal=OutboundPersonal(to=Identifier(kind=kind, value=value), text="hello"),
    )


def seeds(provider: str) -> Iterator[bytes]:
    """Give what is recorded of the provider's answers, and answers of the usual shapes."""
    for answer in recorded.sends().get(provider, {}).get("answers", ()):
        yield f"{answer['status']}\n{json.dumps(answer.get('body'))}".encode()
    for status, body in _USUAL:
        yield f"{status}\n{json.dumps(body)}".encode()


_USUAL = (
    (200, {"messages": [{"id": "wamid.1"}], "message_id": "m1", "recipient_id": "1"}),
    (201, {"sid": "SM1", "status": "queued", "id": "<1@x>", "MessageID": "1", "ErrorCode": 0}),
    (
        400,
        {"error": {"code": 131047, "error_subcode": 2018278, "message": "x", "error_data": {"details": "x"}}},
    ),
    (400, {"code": 21610, "message": "x", "ErrorCode": 406, "Message": "x", "errors": [{"message": "x"}]}),
    (429, {"parameters": {"retry_after": 5}, "error_code": 429, "ok": False, "description": "x"}),
)
