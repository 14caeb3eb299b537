"""Postmark's email endpoint: JSON in, its MessageID out, hooks with basic auth later."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.outgoing import Mailer, Outgoing, told
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Writing
from deploy.local.webhooks import Webhook, path
from schemas.envelope import rfc3339
from services.chassis.accounts import Account, Accounts

PROVIDER = "postmark"


def _error(status: int, code: int, message: str, **headers: str) -> Response:
    return told(status, {"ErrorCode": code, "Message": message}, **headers)


_REFUSALS = {
    Mode.FAIL: _error(500, 0, "internal error"),
    Mode.RATE_LIMITED: _error(429, 429, "rate limit exceeded", Retry_After="1"),
    Mode.REJECT: _error(422, 406, "You tried to send to recipient(s) that have been marked as inactive."),
}


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated Postmark."""
    routes, mailer = APIRouter(), Mailer(behaviours, sent, callbacks)

    @routes.post(f"/{PROVIDER}/email")
    async def send_mail(request: Request) -> Response:
        account = _account(accounts, request)
        if account is None:
            return _error(401, 10, "The Server Token you provided in the request was invalid.")
        try:
            mail = _read(await request.json())
        except (ValueError, KeyError, TypeError):
            return _error(422, 300, "Error parsing 'To'")
        message_id = str(uuid4())
        at = rfc3339(datetime.now(UTC))
        content = {"To": mail.to, "SubmittedAt": at, "MessageID": message_id, "ErrorCode": 0, "Message": "OK"}
        return await mailer.take(
            account,
            mail,
            message_id,
            refusals=_REFUSALS,
            accepted=told(200, content),
            events=lambda mode: _hooks(account, mailer.url(account), mail, message_id, mode),
        )

    return routes


def _account(accounts: Accounts, request: Request) -> Account | None:
    given = request.headers.get("x-postmark-server-token", "")
    own = (account for account in accounts if account.provider == PROVIDER)
    return next((account for account in own if given == account.secrets.get("server_token")), None)


def _read(document: dict[str, Any]) -> Outgoing:
    headers = {"Subject": str(document["Subject"]), "Reply-To": str(document.get("ReplyTo", ""))}
    headers |= {str(each["Name"]): str(each["Value"]) for each in document.get("Headers", ())}
    return Outgoing(
        str(document["To"]),
        str(document["TextBody"]),
        str(document.get("Metadata", {}).get("parley_id", "")),
        headers,
        [str(each["Name"]) for each in document.get("Attachments", ())],
    )


def _hooks(account: Account, url: str, mail: Outgoing, message_id: str, mode: Mode) -> Iterator[Callback]:
    at = rfc3339(datetime.now(UTC))
    bounce: dict[str, Any] = {
        "RecordType": "Bounce",
        "ID": 1,
        "Type": "HardBounce",
        "Email": mail.to,
        "Details": "smtp;550 5.1.1 no such mailbox",
        "BouncedAt": at,
    }
    arrived: list[dict[str, Any]] = [
        {"RecordType": "Delivery", "Recipient": mail.to, "DeliveredAt": at},
        {"RecordType": "Open", "Recipient": mail.to, "ReceivedAt": at, "FirstOpen": True},
    ]
    for hook in [bounce] if mode is Mode.UNDELIVERED else arrived:
        content = {"MessageID": message_id, "Metadata": {"parley_id": mail.ours}, **hook}
        yield Callback(PROVIDER, url, headers(account), json.dumps(content).encode(), retries=3)


def headers(account: Account) -> dict[str, str]:
    """Return the headers of a hook: the basic auth of its address."""
    pair = f"{account.secrets['username']}:{account.secrets['password']}"
    return {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
    }


def hands_over(account: Account, raw: bytes, writing: Writing) -> Webhook:
    """Return the hook that holds a mail that was received, whole."""
    document = {
        "MessageID": writing.unique,
        "From": writing.sender,
        "OriginalRecipient": account.address,
        "RawEmail": raw.decode("utf-8", "replace"),
    }
    return Webhook(path(account), headers(account), json.dumps(document).encode())
