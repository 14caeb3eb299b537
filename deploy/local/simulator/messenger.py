"""Messenger's and Instagram's Send API: JSON in and out; echo and receipts later.

Shapes and error codes are those of Meta's Messenger Platform. Receipts of Messenger are watermarks,
Instagram's name the message; its echoes do not say by which app it was sent.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Router, Writing
from deploy.local.webhooks import Webhook, direct_message, messaging
from services.chassis.accounts import Account, Accounts

MESSENGER, INSTAGRAM = "messenger", "instagram"
_RETRIES = 4
_TEXT_BYTES = {MESSENGER: 8000, INSTAGRAM: 1000}
_TYPES = frozenset({"RESPONSE", "UPDATE", "MESSAGE_TAG"})

Json = dict[str, Any]


@dataclass(slots=True)
class SendError(Exception):
    """An error as the Send API answers it."""

    status: int
    code: int
    message: str
    subcode: int | None = None

    def response(self) -> Response:
        """Return the error document."""
        error: Json = {
            "message": f"(#{self.code}) {self.message}",
            "type": "OAuthException",
            "code": self.code,
            "fbtrace_id": uuid4().hex[:11],
        }
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return JSONResponse({"error": error}, self.status)


_REFUSALS: dict[Mode, tuple[int, int, str, int | None]] = {
    Mode.FAIL: (500, 2, "Service temporarily unavailable", None),
    Mode.RATE_LIMITED: (429, 613, "Calls to this API have exceeded the rate limit", None),
    Mode.REJECT: (400, 551, "This person isn't available right now", 1545041),
}


@dataclass(frozen=True, slots=True)
class ToSend:
    """A message to send, read from the request's JSON."""

    to: str
    tag: str
    content: Json
    """`text` or `attachments`, as the echo shows it."""
    metadata: str


def writes(account: Account, _public_url: str, writing: Writing) -> Webhook:
    """Return what a person writes to the page or the Instagram account."""
    return direct_message(account, writing.sender, writing.text, f"m_{writing.unique}", writing.at)


def router_of(provider: str) -> Router:
    """Return what makes the routes of one of the two."""

    def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
        routes = APIRouter()

        @routes.post(f"/{provider}/{{version}}/{{page}}/messages")
        async def send_message(version: str, page: str, request: Request) -> Response:  # noqa: ARG001 - any version
            try:
                account = _account(accounts, provider, page, request)
                message = _message(provider, await request.body())
                mode = await behaviours.take(account)
                if mode in _REFUSALS:
                    raise SendError(*_REFUSALS[mode])
            except SendError as error:
                return error.response()
            if mode is Mode.HANG:
                return NoAnswer()
            mid = f"m_{uuid4().hex}"
            _remember(sent, account, message, mid)
            callbacks.schedule(list(_events(account, callbacks.public_url, message, mid, mode)))
            return spoilt(mode) or JSONResponse({"recipient_id": message.to, "message_id": mid})

        return routes

    return router


def _account(accounts: Accounts, provider: str, page: str, request: Request) -> Account:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == provider)
    account = next((each for each in own if given == f"Bearer {each.secrets.get('access_token')}"), None)
    if account is None:
        raise SendError(401, 190, "Invalid OAuth access token")
    if page not in {"me", account.address}:
        raise SendError(400, 100, "Unsupported post request: no such page")
    return account


def _message(provider: str, body: bytes) -> ToSend:
    try:
        document = json.loads(body)
        to, kind, message = document["recipient"]["id"], document["messaging_type"], document["message"]
        text, file = message.get("text"), message.get("attachment")
        if file is not None:
            content: Json = {
                "attachments": [{"type": file["type"], "payload": {"url": file["payload"]["url"]}}]
            }
        else:
            content = {"text": str(text or "")}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SendError(400, 100, "Invalid parameter") from None
    tag = str(document.get("tag", ""))
    if not to or kind not in _TYPES or (kind == "MESSAGE_TAG") is not bool(tag) or bool(text) is bool(file):
        raise SendError(400, 100, "Invalid parameter")
    if len(str(text or "").encode()) > _TEXT_BYTES[provider]:
        raise SendError(400, 100, "Length of param message[text] is too long")
    return ToSend(str(to), tag, content, str(message.get("metadata", "")))


def _remember(sent: Sent, account: Account, message: ToSend, mid: str) -> None:
    files = message.content.get("attachments", [])
    sent.add(
        account,
        to=message.to,
        text=message.content.get("text", ""),
        provider_message_id=mid,
        callback_data=message.metadata,
        tag=message.tag,
        attachment=files[0]["payload"]["url"] if files else "",
    )


def _events(account: Account, public_url: str, message: ToSend, mid: str, mode: Mode) -> Iterator[Callback]:
    now, by_mid = int(time.time() * 1000), account.provider == INSTAGRAM
    ours, theirs = {"id": account.address}, {"id": message.to}
    echo: Json = {"mid": mid, "is_echo": True, **message.content}
    if not by_mid:
        echo["app_id"] = int(account.secrets.get("app_id", "0"))
        if message.metadata:
            echo["metadata"] = message.metadata
    events: list[Json] = [{"sender": ours, "recipient": theirs, "timestamp": now, "message": echo}]
    if mode is not Mode.UNDELIVERED:
        receipt: Json = {"sender": theirs, "recipient": ours}
        if not by_mid:
            events.append({**receipt, "delivery": {"mids": [mid], "watermark": now}})
        events.append({**receipt, "timestamp": now, "read": {"mid": mid} if by_mid else {"watermark": now}})
    for event in events:
        webhook = messaging(account, [event])
        yield Callback(account.provider, public_url + webhook.path, webhook.headers, webhook.body, _RETRIES)
