"""A mail API: the whole message as RFC 5322 in, its Message-ID out. Mail has no status webhooks."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.sent import Sent
from services.chassis.accounts import Account, Accounts

PROVIDER = "mime"
_TOLD = ("Subject", "In-Reply-To", "References", "Auto-Submitted", "Reply-To")

_REFUSALS: dict[Mode, tuple[int, str]] = {
    Mode.FAIL: (500, "internal error"),
    Mode.RATE_LIMITED: (429, "too many messages"),
    Mode.REJECT: (422, "550 5.1.1 no such mailbox"),
}


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent) -> APIRouter:
    """Return the routes of the simulated mail API."""
    routes = APIRouter()

    @routes.post(f"/{PROVIDER}/messages")
    async def send_mail(request: Request) -> Response:
        account = _account(accounts, request)
        if account is None:
            return JSONResponse({"error": "unknown token"}, 401, {"WWW-Authenticate": "Bearer"})
        mail = cast(EmailMessage, message_from_bytes(await request.body(), policy=cast(Any, default)))
        missing = [name for name in ("From", "To", "Message-ID", "Date") if not mail[name]]
        if missing:
            return JSONResponse({"error": f"missing header: {', '.join(missing)}"}, 422)
        mode = await behaviours.take(account)
        if mode in _REFUSALS:
            status, error = _REFUSALS[mode]
            return JSONResponse(
                {"error": error}, status, {"Retry-After": "1"} if mode is Mode.RATE_LIMITED else None
            )
        if mode is Mode.HANG:
            return NoAnswer()
        _remember(sent, account, mail)
        return spoilt(mode) or JSONResponse({"id": str(mail["Message-ID"])}, 202)

    return routes


def _account(accounts: Accounts, request: Request) -> Account | None:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == PROVIDER)
    return next((account for account in own if given == f"Bearer {account.secrets['token']}"), None)


def _remember(sent: Sent, account: Account, mail: EmailMessage) -> None:
    body = mail.get_body(("plain", "html"))
    text = str(body.get_content()) if body is not None else ""
    recipients = ", ".join(address.addr_spec for address in mail["To"].addresses)
    sent.add(
        account,
        sender=str(mail["From"]),
        to=recipients,
        text=text,
        provider_message_id=str(mail["Message-ID"]),
        attachments=", ".join(str(part.get_filename() or "") for part in mail.iter_attachments()),
        **{name.lower().replace("-", "_"): str(mail[name] or "") for name in _TOLD},
    )
