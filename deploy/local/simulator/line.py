"""LINE's push messages: JSON in and out, a repeated retry key answered 409; and the events it posts.

LINE reports no statuses. `undelivered` is shown by what would come of it there: the message is taken, and
then the user blocks us, which an event says.
"""

import json
import time
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from deploy.local.signing import line_signature
from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Writing
from deploy.local.webhooks import Webhook, path
from services.chassis.accounts import Account, Accounts

PROVIDER = "line"
_MOST_MESSAGES = 5
_REFUSALS = {
    Mode.FAIL: (500, "Internal server error"),
    Mode.RATE_LIMITED: (429, "The API rate limit has been exceeded. Try again later."),
    Mode.REJECT: (400, "Failed to send messages"),
}
_RETRIES = 2

Json = dict[str, Any]


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated Messaging API."""
    routes = APIRouter()
    taken: dict[tuple[str, str], Json] = {}

    @routes.post(f"/{PROVIDER}/v2/bot/message/push")
    async def push(request: Request) -> Response:
        account = _account(accounts, request)
        if account is None:
            return _error(401, "Authentication failed")
        asked = _asked(await request.body())
        if asked is None:
            return _error(400, "The request body has 1 error(s)")
        mode = await behaviours.take(account)
        if mode in _REFUSALS:
            return _error(*_REFUSALS[mode])
        if mode is Mode.HANG:
            return NoAnswer()
        key = request.headers.get("x-line-retry-key", "")
        if (first := taken.get((account.account, key))) is not None:
            headers = {"x-line-accepted-request-id": key}
            return JSONResponse({"message": "The retry key is already accepted", **first}, 409, headers)
        ids = [str(uuid4().int % 10**18) for _ in asked["messages"]]
        answer = {"sentMessages": [{"id": each, "quoteToken": uuid4().hex} for each in ids]}
        if key:
            taken[account.account, key] = answer
        _remember(sent, account, asked, ids[0], key)
        if mode is Mode.UNDELIVERED:
            callbacks.schedule([_blocked(account, callbacks.public_url, str(asked["to"]))])
        return spoilt(mode) or JSONResponse(answer)

    return routes


def writes(account: Account, _public_url: str, writing: Writing) -> Webhook:
    """Return the event that tells of a message."""
    message = {"type": "text", "id": str(int(writing.unique[:14], 16)), "text": writing.text}
    at = int(writing.at.timestamp() * 1000)
    return event(account, writing.sender, "message", at, writing.unique, message=message)


def event(account: Account, user: str, kind: str, at: int, unique: str, **content: Json) -> Webhook:
    """Return the signed webhook that carries one event; `at` in milliseconds since 1970."""
    told = {
        "type": kind,
        "mode": "active",
        "timestamp": at,
        "source": {"type": "user", "userId": user},
        "webhookEventId": unique[:26].upper(),
        "deliveryContext": {"isRedelivery": False},
        **content,
    }
    body = json.dumps({"destination": account.address, "events": [told]}).encode()
    signature = line_signature(account.secrets["channel_secret"], body)
    return Webhook(path(account), {"Content-Type": "application/json", "X-Line-Signature": signature}, body)


def _account(accounts: Accounts, request: Request) -> Account | None:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == PROVIDER)
    return next((each for each in own if given == f"Bearer {each.secrets.get('channel_access_token')}"), None)


def _asked(body: bytes) -> Json | None:
    """Return the request, if it names a user and one to five messages."""
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    messages = asked.get("messages") if isinstance(asked, dict) else None
    fits = isinstance(messages, list) and 0 < len(messages) <= _MOST_MESSAGES
    return asked if fits and str(asked.get("to", "")).startswith("U") else None


def _remember(sent: Sent, account: Account, asked: Json, number: str, key: str) -> None:
    sent.add(
        account,
        to=str(asked["to"]),
        text="".join(str(each.get("text", "")) for each in asked["messages"]),
        provider_message_id=number,
        retry_key=key,
        files=", ".join(
            str(each.get("originalContentUrl")) for each in asked["messages"] if "text" not in each
        ),
    )


def _blocked(account: Account, public_url: str, user: str) -> Callback:
    webhook = event(account, user, "unfollow", int(time.time() * 1000), uuid4().hex)
    return Callback(PROVIDER, public_url + webhook.path, webhook.headers, webhook.body, _RETRIES)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)
