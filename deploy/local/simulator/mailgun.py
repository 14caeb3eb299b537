"""Mailgun's messages.mime: a form with the whole mail in, its Message-ID out, signed events later."""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from deploy.local.signing import mailgun_signature
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.outgoing import Mailer, Outgoing, told
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Writing
from deploy.local.webhooks import Webhook, path
from services.chassis.accounts import Account, Accounts

PROVIDER = "mailgun"
_REFUSALS = {
    Mode.FAIL: told(500, {"message": "Internal Server Error"}),
    Mode.RATE_LIMITED: told(429, {"message": "too many requests"}, Retry_After="1"),
    Mode.REJECT: told(400, {"message": "to parameter is not a valid address. please check documentation"}),
}


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated Mailgun."""
    routes, mailer = APIRouter(), Mailer(behaviours, sent, callbacks)

    @routes.post(f"/{PROVIDER}/v3/{{domain}}/messages.mime")
    async def send_mail(domain: str, request: Request) -> Response:
        account = _account(accounts, request)
        if account is None or account.address.rpartition("@")[2] != domain:
            return told(401, {"message": "Invalid private key"})
        async with request.form() as form:
            upload = form.get("message")
            if not isinstance(upload, UploadFile) or not form.get("to"):
                return told(400, {"message": "to and message are required"})
            mail = Outgoing.of_mime(await upload.read(), str(form["to"]), str(form.get("v:parley_id", "")))
        message_id = mail.headers.get("Message-ID", f"<{uuid4()}@{domain}>")
        return await mailer.take(
            account,
            mail,
            message_id,
            refusals=_REFUSALS,
            accepted=told(200, {"id": message_id, "message": "Queued. Thank you."}),
            events=lambda mode: _events(account, mailer.url(account), mail, message_id, mode),
        )

    return routes


def _account(accounts: Accounts, request: Request) -> Account | None:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == PROVIDER)
    return next((each for each in own if given == _basic(each.secrets.get("api_key", ""))), None)


def _basic(api_key: str) -> str:
    return "Basic " + base64.b64encode(f"api:{api_key}".encode()).decode()


def _events(account: Account, url: str, mail: Outgoing, message_id: str, mode: Mode) -> Iterator[Callback]:
    failed: dict[str, Any] = {
        "event": "failed",
        "severity": "permanent",
        "reason": "bounce",
        "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": "no such mailbox"},
    }
    later = [failed] if mode is Mode.UNDELIVERED else [{"event": "delivered"}, {"event": "opened"}]
    for event in ({"event": "accepted"}, *later):
        content = {
            "id": uuid4().hex,
            "timestamp": time.time(),
            "recipient": mail.to,
            "message": {"headers": {"message-id": message_id.strip("<>")}},
            "user-variables": {"parley_id": mail.ours},
            **event,
        }
        body = json.dumps({"signature": proof(account), "event-data": content}).encode()
        yield Callback(PROVIDER, url, {"Content-Type": "application/json"}, body, retries=3)


def proof(account: Account) -> dict[str, str]:
    """Return timestamp, token and signature of one request."""
    timestamp, token = str(int(time.time())), secrets.token_hex(25)
    signature = mailgun_signature(account.secrets["signing_key"], timestamp, token)
    return {"timestamp": timestamp, "token": token, "signature": signature}


def hands_over(account: Account, raw: bytes, writing: Writing) -> Webhook:
    """Return the form with which a route forwards a whole mail."""
    mail = {"recipient": account.address, "sender": writing.sender, "body-mime": raw, **proof(account)}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    forged = urlencode({**mail, "signature": "0" * 64}).encode()
    return Webhook(path(account), headers, urlencode(mail).encode(), counterfeit=forged)
