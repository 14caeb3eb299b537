"""Twilio's Messages resource: form in, JSON out, status callbacks later.

Fields, status codes and error codes are those of Twilio's API 2010-04-01.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from deploy.local.signing import twilio_signature
from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.blocklist import Blocklist
from deploy.local.simulator.blocklist import router as heard_router
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.sent import Sent
from services.chassis.accounts import Account, Accounts

PROVIDER, VOICE = "twilio-sms", "twilio-voice"

Form = dict[str, str]


@dataclass(slots=True)
class TwilioError(Exception):
    """An error as Twilio's API answers it."""

    status: int
    code: int
    message: str

    def response(self) -> Response:
        """Return the error document."""
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        headers = {"Retry-After": "1"} if self.status == 429 else None  # noqa: PLR2004 - Too Many Requests
        content = {"code": self.code, "message": self.message, "more_info": more, "status": self.status}
        return JSONResponse(content, self.status, headers)


_REFUSALS = {
    Mode.FAIL: (500, 20500, "Internal Server Error"),
    Mode.RATE_LIMITED: (429, 20429, "Too Many Requests"),
    Mode.REJECT: (400, 21614, "'To' number is not a valid mobile number"),
}


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated Twilio."""
    routes, blocklist = APIRouter(), Blocklist()
    routes.include_router(heard_router(blocklist, PROVIDER))

    @routes.post(f"/{PROVIDER}/2010-04-01/Accounts/{{account_sid}}/Messages.json")
    async def create_message(account_sid: str, request: Request) -> Response:
        pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True)
        form = dict(pairs)
        files = [url for name, url in pairs if name == "MediaUrl"]
        try:
            account = _account(accounts, account_sid, request, form)
            form |= _content(account, form)
            if blocklist.blocks(account.address, form["To"]):
                raise TwilioError(400, 21610, "Attempt to send to unsubscribed recipient")
            mode = _accepted(await behaviours.take(account))
        except TwilioError as error:
            return error.response()
        if mode is Mode.HANG:
            return NoAnswer()
        sid = "SM" + uuid4().hex
        sent.add(
            account,
            to=form["To"],
            text=form.get("Body", ""),
            provider_message_id=sid,
            media_urls=" ".join(files),
        )
        if callback := form.get("StatusCallback"):
            callbacks.schedule(
                list(_statuses(account, callback, _status_params(sid, form, account_sid), mode))
            )
        return spoilt(mode) or JSONResponse(_resource(account_sid, sid, form), 201)

    @routes.get(f"/{PROVIDER}/2010-04-01/Accounts/{{account_sid}}.json")
    async def show_account(account_sid: str, request: Request) -> Response:
        if not _allowed(accounts, account_sid, request):
            return TwilioError(401, 20003, "Authenticate").response()
        return JSONResponse({"sid": account_sid, "status": "active", "type": "Full"})

    @routes.get(f"/{PROVIDER}/2010-04-01/Accounts/{{account_sid}}/IncomingPhoneNumbers.json")
    async def list_numbers(account_sid: str, request: Request) -> Response:
        allowed = _allowed(accounts, account_sid, request)
        if not allowed:
            return TwilioError(401, 20003, "Authenticate").response()
        asked = request.query_params.get("PhoneNumber", "")
        capabilities = {"sms": True, "mms": True, "voice": True}
        numbers = [
            {"phone_number": account.address, "account_sid": account_sid, "capabilities": capabilities}
            for account in allowed
            if account.address.startswith(asked)
        ]
        return JSONResponse({"incoming_phone_numbers": numbers, "page": 0, "page_size": 50})

    return routes


def _accepted(mode: Mode) -> Mode:
    if mode in _REFUSALS:
        raise TwilioError(*_REFUSALS[mode])
    return mode


def is_known(accounts: Accounts, account_sid: str, request: Request) -> bool:
    """Tell whether the request has the credentials of the account."""
    return bool(_allowed(accounts, account_sid, request))


def _account(accounts: Accounts, account_sid: str, request: Request, form: Form) -> Account:
    allowed = _allowed(accounts, account_sid, request)
    if not allowed:
        raise TwilioError(401, 20003, "Authenticate")
    if not form.get("To", "").startswith("+"):
        raise TwilioError(400, 21211, "Invalid 'To' Phone Number")
    if not any(form.get(name) for name in ("Body", "MediaUrl", "ContentSid")):
        raise TwilioError(400, 21602, "Message body is required")
    for account in allowed:
        if account.address == form.get("From"):
            return account
    raise TwilioError(400, 21606, "The 'From' phone number provided is not a valid message-capable number")


def _allowed(accounts: Accounts, account_sid: str, request: Request) -> list[Account]:
    """Return our accounts whose credentials the request bears; in a rotation older ones count too."""
    name, password = _basic(request)
    return [
        account
        for account in accounts
        if account.provider == PROVIDER
        and name == account_sid == _sid(account)
        and password in account.valid("auth_token")
    ]


def _content(account: Account, form: Form) -> Form:
    """Return the body that a ContentSid and its variables make."""
    sid = form.get("ContentSid")
    if not sid:
        return {}
    try:
        template = next(each for each in account.templates if each.content_sid == sid)
        variables = json.loads(form.get("ContentVariables") or "{}")
        return {"Body": template.fill([str(variables[number]) for number in sorted(variables, key=int)])}
    except (StopIteration, ValueError, TypeError, AttributeError):
        raise TwilioError(400, 21655, "The ContentSid is Invalid") from None


def _sid(account: Account) -> str:
    return account.secrets.get("account_sid", "")


def _basic(request: Request) -> tuple[str, str]:
    _, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _resource(account_sid: str, sid: str, form: Form) -> dict[str, Any]:
    now = formatdate(usegmt=True)
    base = f"/2010-04-01/Accounts/{account_sid}/Messages/{sid}"
    return {
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "body": form.get("Body", ""),
        "date_created": now,
        "date_sent": None,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form["From"],
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": f"{base}/Media.json"},
        "to": form["To"],
        "uri": f"{base}.json",
    }


def _status_params(sid: str, form: Form, account_sid: str) -> Form:
    addresses = {"To": form["To"], "From": form["From"]}
    return addresses | {
        "MessageSid": sid,
        "SmsSid": sid,
        "AccountSid": account_sid,
        "ApiVersion": "2010-04-01",
    }


def _statuses(account: Account, url: str, common: Form, mode: Mode) -> Iterator[Callback]:
    signed_url = url.partition("#")[0]  # the fragment configures Twilio and is not sent
    last = {"MessageStatus": "delivered"}
    if mode is Mode.UNDELIVERED:
        last = {"MessageStatus": "undelivered", "ErrorCode": "30003"}
    for status in ({"MessageStatus": "sent"}, last):
        params = common | status | {"SmsStatus": status["MessageStatus"]}
        signature = twilio_signature(account.secrets["auth_token"], signed_url, params.items())
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        yield Callback(PROVIDER, signed_url, headers, urlencode(params).encode())
