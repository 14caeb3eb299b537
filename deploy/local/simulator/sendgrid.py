"""SendGrid's mail/send: JSON in, `X-Message-Id` out, signed events later."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from deploy.local.signing import sendgrid_signature
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.outgoing import Mailer, Outgoing, told
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Writing
from deploy.local.webhooks import Webhook, path
from services.chassis.accounts import Account, Accounts

PROVIDER = "sendgrid"
_BOUNDARY = "xYzZY"


def _errors(status: int, message: str, field: str | None = None, **headers: str) -> Response:
    return told(status, {"errors": [{"message": message, "field": field, "help": None}]}, **headers)


_REFUSALS = {
    Mode.FAIL: _errors(500, "internal error"),
    Mode.RATE_LIMITED: _errors(429, "too many requests", Retry_After="1"),
    Mode.REJECT: _errors(400, "Does not contain a valid address.", "personalizations.0.to.0.email"),
}


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated SendGrid."""
    routes, mailer = APIRouter(), Mailer(behaviours, sent, callbacks)

    @routes.post(f"/{PROVIDER}/v3/mail/send")
    async def send_mail(request: Request) -> Response:
        account = _account(accounts, request)
        if account is None:
            return _errors(401, "The provided authorization grant is invalid, expired, or revoked")
        try:
            mail = _read(await request.json())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return _errors(400, "Bad Request")
        message_id = uuid4().hex[:22]
        return await mailer.take(
            account,
            mail,
            message_id,
            refusals=_REFUSALS,
            accepted=Response(status_code=202, headers={"X-Message-Id": message_id}),
            events=lambda mode: _events(account, mailer.url(account), mail, message_id, mode),
        )

    return routes


def _account(accounts: Accounts, request: Request) -> Account | None:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == PROVIDER)
    return next((each for each in own if given == f"Bearer {each.secrets.get('api_key')}"), None)


def _read(document: dict[str, Any]) -> Outgoing:
    person = document["personalizations"][0]
    headers = {"Subject": str(document["subject"]), **document.get("headers", {})}
    if reply_to := document.get("reply_to"):
        headers["Reply-To"] = str(reply_to["email"])
    return Outgoing(
        str(person["to"][0]["email"]),
        str(document["content"][0]["value"]),
        str(person.get("custom_args", {}).get("parley_id", "")),
        headers,
        [str(each["filename"]) for each in document.get("attachments", ())],
    )


def _events(account: Account, url: str, mail: Outgoing, message_id: str, mode: Mode) -> Iterator[Callback]:
    bounced = {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such mailbox"}
    told_later = [bounced] if mode is Mode.UNDELIVERED else [{"event": "delivered"}, {"event": "open"}]
    for event in ({"event": "processed"}, *told_later):
        content = {
            "email": mail.to,
            "timestamp": int(time.time()),
            "sg_event_id": uuid4().hex,
            "sg_message_id": f"{message_id}.filter0001.1.2.0",
            "parley_id": mail.ours,
            **event,
        }
        yield callback(account, url, json.dumps([content]).encode(), "application/json")


def callback(account: Account, url: str, body: bytes, content_type: str) -> Callback:
    """Return a webhook signed with the demo key of the account's name."""
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": content_type,
        "X-Twilio-Email-Event-Webhook-Signature": sendgrid_signature(account.account, timestamp, body),
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }
    return Callback(PROVIDER, url, headers, body, retries=3)


def hands_over(account: Account, raw: bytes, writing: Writing) -> Webhook:
    """Return the form with which a whole mail that was received is posted."""
    envelope = json.dumps({"to": [account.address], "from": writing.sender}).encode()
    parts = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in (("email", raw), ("envelope", envelope))
    )
    body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    posted = callback(account, path(account), body, f"multipart/form-data; boundary={_BOUNDARY}")
    return Webhook(posted.url, posted.headers, posted.body)
