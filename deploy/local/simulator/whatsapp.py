"""The Cloud API's messages resource: JSON in and out, status webhooks later.

Shapes and error codes are those of Meta's WhatsApp Business Platform (Cloud API).
"""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from deploy.local.signing import meta_signature
from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.sent import Sent
from services.chassis.accounts import Account, Accounts
from services.chassis.templates import UnfitTemplate

PROVIDER = "whatsapp"
_RETRIES = 4

Json = dict[str, Any]


@dataclass(slots=True)
class GraphError(Exception):
    """An error as the Graph API answers it."""

    status: int
    code: int
    message: str

    def response(self) -> Response:
        """Return the error document."""
        error = {
            "message": f"(#{self.code}) {self.message}",
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.message},
            "fbtrace_id": uuid4().hex[:23],
        }
        return JSONResponse({"error": error}, self.status)


_REFUSALS = {
    Mode.FAIL: (500, 131000, "Something went wrong"),
    Mode.RATE_LIMITED: (429, 130429, "Rate limit hit"),
    Mode.REJECT: (400, 131026, "Message undeliverable"),
}


@dataclass(frozen=True, slots=True)
class ToSend:
    """A message to send, read from the request's JSON."""

    to: str
    text: str
    reply_to: str
    callback_data: str
    by_user_id: bool
    media_id: str = ""


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated Cloud API."""
    routes = APIRouter()

    @routes.post(f"/{PROVIDER}/{{version}}/{{phone_number_id}}/messages")
    async def send_message(version: str, phone_number_id: str, request: Request) -> Response:
        try:
            account = account_of(accounts, version, phone_number_id, request)
            message = _message(account, await request.body())
            mode = _accepted(await behaviours.take(account))
        except GraphError as error:
            return error.response()
        if mode is Mode.HANG:
            return NoAnswer()
        wamid = "wamid." + base64.b64encode(uuid4().bytes).decode()
        sent.add(
            account,
            to=message.to,
            text=message.text,
            provider_message_id=wamid,
            in_reply_to=message.reply_to,
            callback_data=message.callback_data,
            media_id=message.media_id,
        )
        callbacks.schedule(list(_statuses(account, callbacks.public_url, wamid, message, mode)))
        contact = {"input": message.to, "user_id" if message.by_user_id else "wa_id": message.to.lstrip("+")}
        return spoilt(mode) or JSONResponse(
            {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": wamid}]}
        )

    return routes


def _accepted(mode: Mode) -> Mode:
    if mode in _REFUSALS:
        raise GraphError(*_REFUSALS[mode])
    return mode


def account_of(accounts: Accounts, version: str, phone_number_id: str, request: Request) -> Account:
    """Return the account of the number. Raises GraphError."""
    account = accounts.by_address(PROVIDER, phone_number_id)
    if account is None or not version.startswith("v"):
        raise GraphError(400, 100, "Unsupported post request: no such phone number id")
    tokens = account.valid("access_token")
    if request.headers.get("authorization") not in [f"Bearer {token}" for token in tokens]:
        raise GraphError(401, 190, "Invalid OAuth access token")
    return account


def _message(account: Account, body: bytes) -> ToSend:
    try:
        document = json.loads(body)
        by_user_id = "to" not in document
        to = str(document["recipient"] if by_user_id else document["to"])
        text, media_id = _said(account, document)
    except (ValueError, KeyError, TypeError):
        raise GraphError(400, 100, "Invalid parameter") from None
    if document.get("messaging_product") != "whatsapp" or not to or not (text or media_id):
        raise GraphError(400, 100, "Invalid parameter")
    reply_to = str(document.get("context", {}).get("message_id", ""))
    callback_data = str(document.get("biz_opaque_callback_data", ""))
    return ToSend(to, text, reply_to, callback_data, by_user_id, media_id)


def _said(account: Account, document: Json) -> tuple[str, str]:
    """Return what the Customer reads, and the id of the file they see."""
    kind = str(document["type"])
    if kind == "template":
        return _template(account, document), ""
    content = document[kind]
    if kind == "text":
        return str(content["body"]), ""
    return str(content.get("caption", "")), str(content["id"])


def _template(account: Account, document: Json) -> str:
    asked = document["template"]
    template = account.template(asked["name"], asked["language"]["code"])
    if template is None:
        raise GraphError(404, 132001, "Template name does not exist in the translation")
    values = [
        str(each["text"]) for part in asked.get("components", ()) for each in part.get("parameters", ())
    ]
    try:
        return template.fill(values)
    except UnfitTemplate:
        message = "Number of parameters does not match the expected number of params"
        raise GraphError(400, 132000, message) from None


def _statuses(
    account: Account, public_url: str, wamid: str, message: ToSend, mode: Mode
) -> Iterator[Callback]:
    names = ("sent", "failed") if mode is Mode.UNDELIVERED else ("sent", "delivered", "read")
    for name in names:
        status: Json = {"id": wamid, "status": name, "timestamp": str(int(time.time()))}
        status["recipient_user_id" if message.by_user_id else "recipient_id"] = message.to.lstrip("+")
        if message.callback_data:
            status["biz_opaque_callback_data"] = message.callback_data
        if name == "failed":
            title = "Message undeliverable"
            status["errors"] = [
                {"code": 131026, "title": title, "message": title, "error_data": {"details": title}}
            ]
        url = f"{public_url}/ingest/v1/{PROVIDER}/{account.account}"
        yield callback(account, url, {"statuses": [status]})


def callback(account: Account, url: str, content: Json) -> Callback:
    """Return a signed webhook that carries `content` (`messages` or `statuses`) for `account`."""
    metadata = {"display_phone_number": "15550001111", "phone_number_id": account.address}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **content}
    change = {"field": "messages", "value": value}
    body = json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "WABA-1", "changes": [change]}]}
    ).encode()
    signature = meta_signature(account.secrets["app_secret"], body)
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    return Callback(PROVIDER, url, headers, body, _RETRIES)
