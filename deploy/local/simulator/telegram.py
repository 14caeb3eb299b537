"""Telegram's Bot API: methods that send, as JSON or as a form with files, and the updates it posts.

Telegram reports no statuses. `undelivered` is shown by what would come of it there: the message is taken,
and then the user blocks the bot, which an update says.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Writing
from deploy.local.webhooks import Webhook, path
from services.chassis.accounts import Account, Accounts

PROVIDER = "telegram"
PROOF = "X-Telegram-Bot-Api-Secret-Token"
_FIELDS = {
    "sendMessage": "text",
    "sendPhoto": "photo",
    "sendDocument": "document",
    "sendAudio": "audio",
    "sendVideo": "video",
    "sendAnimation": "animation",
    "sendMediaGroup": "media",
}
"""Methods that send, and the parameter each needs."""
_MOST_CHARACTERS = 4096
_REFUSALS = {
    Mode.FAIL: (500, "Internal Server Error"),
    Mode.RATE_LIMITED: (429, "Too Many Requests: retry after 1"),
    Mode.REJECT: (403, "Forbidden: bot was blocked by the user"),
}
_RETRIES = 4

Json = dict[str, Any]


@dataclass(slots=True)
class TelegramError(Exception):
    """An error as the Bot API answers it."""

    code: int
    description: str

    def response(self) -> Response:
        """Return the error document."""
        error = {"ok": False, "error_code": self.code, "description": self.description}
        if self.code == 429:  # noqa: PLR2004 - Too Many Requests
            error["parameters"] = {"retry_after": 1}
        return JSONResponse(error, self.code)


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated Bot API."""
    routes, numbers = APIRouter(), count(int(time.time()))  # above those of the last run

    @routes.post(f"/{PROVIDER}/bot{{token}}/getMe")
    async def get_me(token: str) -> Response:
        try:
            bot = {"id": int(_account(accounts, token).address), "is_bot": True, "first_name": "Parley"}
        except TelegramError as error:
            return error.response()
        return JSONResponse({"ok": True, "result": bot})

    @routes.post(f"/{PROVIDER}/bot{{token}}/{{method}}")
    async def send(token: str, method: str, request: Request) -> Response:
        try:
            account = _account(accounts, token)
            parameters, files = await _parameters(request)
            _check(method, parameters, files)
            mode = _accepted(await behaviours.take(account))
        except TelegramError as error:
            return error.response()
        if mode is Mode.HANG:
            return NoAnswer()
        chat, number = int(parameters["chat_id"]), next(numbers)
        _remember(sent, account, number, parameters, files)
        if mode is Mode.UNDELIVERED:
            callbacks.schedule([_blocked(account, callbacks.public_url, chat)])
        message = {"message_id": number, "chat": {"id": chat, "type": "private"}, "date": int(time.time())}
        return spoilt(mode) or JSONResponse(
            {"ok": True, "result": [message] if method == "sendMediaGroup" else message}
        )

    return routes


def writes(account: Account, _public_url: str, writing: Writing) -> Webhook:
    """Return the update that tells of a message."""
    number, chat = int(writing.unique[:7], 16), int(writing.sender)
    message = {
        "message_id": number,
        "from": {"id": chat, "is_bot": False, "first_name": writing.name or "Someone"},
        "chat": {"id": chat, "type": "private"},
        "date": int(writing.at.timestamp()),
        "text": writing.text,
    }
    return update(account, {"update_id": int(writing.unique[7:14], 16), "message": message})


def update(account: Account, content: Json) -> Webhook:
    """Return the webhook that carries an update, with the token that proves it."""
    headers = {"Content-Type": "application/json", PROOF: account.secrets["secret_token"]}
    return Webhook(path(account), headers, json.dumps(content).encode(), proof=PROOF)


def _accepted(mode: Mode) -> Mode:
    if mode in _REFUSALS:
        raise TelegramError(*_REFUSALS[mode])
    return mode


def _account(accounts: Accounts, token: str) -> Account:
    for account in accounts:
        if account.provider == PROVIDER and account.secrets.get("token") == token:
            return account
    raise TelegramError(401, "Unauthorized")


async def _parameters(request: Request) -> tuple[Json, dict[str, str]]:
    """Return the parameters, and a word on each file."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            document = json.loads(await request.body())
        except ValueError:
            document = None
        return (document if isinstance(document, dict) else {}), {}
    async with request.form() as form:
        files = {
            name: f"{value.filename} ({value.size} bytes)"
            for name, value in form.items()
            if isinstance(value, UploadFile)
        }
        return {name: value for name, value in form.items() if isinstance(value, str)}, files


def _check(method: str, parameters: Json, files: Mapping[str, str]) -> None:
    """Raise what Telegram finds wrong."""
    if method not in _FIELDS:
        raise TelegramError(404, "Not Found")
    chat, needed = str(parameters.get("chat_id", "")), _FIELDS[method]
    if not (chat.isascii() and chat.isdigit()):
        raise TelegramError(400, f"Bad Request: {'chat not found' if chat else 'chat_id is empty'}")
    if len(str(parameters.get("text", ""))) > _MOST_CHARACTERS:
        raise TelegramError(400, "Bad Request: message is too long")
    if not parameters.get(needed) and needed not in files:
        raise TelegramError(400, f"Bad Request: {needed} is empty")


def _remember(sent: Sent, account: Account, number: int, parameters: Json, files: Mapping[str, str]) -> None:
    about = parameters.get("reply_parameters") or {}
    answered = (json.loads(about) if isinstance(about, str) else about).get("message_id", "")
    text = parameters.get("text") or parameters.get("caption") or _caption(parameters.get("media"))
    sent.add(
        account,
        to=str(parameters["chat_id"]),
        text=str(text),
        provider_message_id=f"{parameters['chat_id']}:{number}",
        in_reply_to=str(answered),
        files=", ".join(files.values()),
    )


def _caption(media: str | None) -> str:
    return str(json.loads(media)[0].get("caption", "")) if media else ""


def _blocked(account: Account, public_url: str, chat: int) -> Callback:
    member = {
        "chat": {"id": chat, "type": "private"},
        "from": {"id": chat, "is_bot": False, "first_name": "Someone"},
        "date": int(time.time()),
        "old_chat_member": {"status": "member"},
        "new_chat_member": {"status": "kicked", "until_date": 0},
    }
    webhook = update(account, {"update_id": uuid4().int % 10**9, "my_chat_member": member})
    return Callback(PROVIDER, public_url + webhook.path, webhook.headers, webhook.body, _RETRIES)
