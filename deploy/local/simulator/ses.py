"""Amazon SES's SendEmail: JSON with the whole mail in, its MessageId out, signed notifications of SNS later.

The certificate that the notifications name is served too, below `/sns/`, and subscriptions are confirmed
there; the stack's SNS_BASE_URL leads to it.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from deploy.local.signing import SNS
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.outgoing import Mailer, Outgoing, told
from deploy.local.simulator.sent import Sent
from deploy.local.simulator.standin import Writing
from deploy.local.webhooks import Webhook, path
from schemas.envelope import rfc3339
from services.chassis.accounts import Account, Accounts

PROVIDER = "ses"


def _error(status: int, name: str, message: str) -> Response:
    return told(status, {"message": message}, x_amzn_ErrorType=name)


_REFUSALS = {
    Mode.FAIL: _error(500, "InternalFailure", "internal error"),
    Mode.RATE_LIMITED: _error(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
    Mode.REJECT: _error(400, "MessageRejected", "Message content is not allowed."),
}


def router(accounts: Accounts, behaviours: Behaviours, sent: Sent, callbacks: Callbacks) -> APIRouter:
    """Return the routes of the simulated SES and SNS."""
    routes, mailer = APIRouter(), Mailer(behaviours, sent, callbacks)

    @routes.post(f"/{PROVIDER}/v2/email/outbound-emails")
    async def send_mail(request: Request) -> Response:
        account = _account(accounts, request)
        if account is None:
            return _error(403, "UnrecognizedClientException", "The security token is invalid.")
        try:
            mail = _read(await request.json())
        except (ValueError, KeyError, IndexError, TypeError):
            return _error(400, "BadRequestException", "cannot be read")
        message_id = f"0102{uuid4()}-000000"
        return await mailer.take(
            account,
            mail,
            message_id,
            refusals=_REFUSALS,
            accepted=told(200, {"MessageId": message_id}),
            events=lambda mode: _events(account, mailer.url(account), mail, message_id, mode),
        )

    @routes.get("/sns/{name}.pem")
    async def certificate(name: str) -> Response:
        return Response(SNS.certificate if name == SNS.name else b"", 200 if name == SNS.name else 404)

    @routes.get("/sns/")
    async def confirm_subscription(request: Request) -> Response:
        confirms = request.query_params.get("Action") == "ConfirmSubscription"
        return Response("<ConfirmSubscriptionResponse/>", 200 if confirms else 400, media_type="text/xml")

    return routes


def _account(accounts: Accounts, request: Request) -> Account | None:
    given = request.headers.get("authorization", "")
    own = (account for account in accounts if account.provider == PROVIDER)
    return next((each for each in own if given.startswith(_credential(each))), None)


def _credential(account: Account) -> str:
    return f"AWS4-HMAC-SHA256 Credential={account.secrets.get('access_key_id')}/"


def _read(document: dict[str, Any]) -> Outgoing:
    tags = {each["Name"]: each["Value"] for each in document.get("EmailTags", ())}
    raw = base64.b64decode(document["Content"]["Raw"]["Data"])
    return Outgoing.of_mime(
        raw, str(document["Destination"]["ToAddresses"][0]), str(tags.get("parley_id", ""))
    )


def hands_over(account: Account, raw: bytes, writing: Writing) -> Webhook:
    """Return the signed notification of a mail that was received."""
    at = rfc3339(datetime.now(UTC))
    passed = {"status": "PASS"}
    message = {
        "notificationType": "Received",
        "mail": {
            "timestamp": at,
            "source": writing.sender,
            "messageId": writing.unique,
            "destination": [account.address],
        },
        "receipt": {
            "recipients": [account.address],
            "dkimVerdict": passed,
            "dmarcVerdict": passed,
            "action": {"type": "SNS", "encoding": "BASE64"},
        },
        "content": base64.b64encode(raw).decode(),
    }
    document = SNS.notification(account.secrets["topic_arn"], json.dumps(message), at)
    headers = {"Content-Type": "text/plain; charset=UTF-8"}
    forged = json.dumps({**document, "Message": "{}"}).encode()
    return Webhook(path(account), headers, json.dumps(document).encode(), counterfeit=forged)


def _events(account: Account, url: str, mail: Outgoing, message_id: str, mode: Mode) -> Iterator[Callback]:
    at = rfc3339(datetime.now(UTC))
    about = {
        "timestamp": at,
        "source": account.address,
        "messageId": message_id,
        "destination": [mail.to],
        "tags": {"parley_id": [mail.ours]},
    }
    recipient = {"emailAddress": mail.to, "action": "failed", "status": "5.1.1"}
    bounce = {"bounceType": "Permanent", "timestamp": at, "bouncedRecipients": [recipient]}
    bounced: list[dict[str, Any]] = [{"eventType": "Bounce", "bounce": bounce}]
    arrived: list[dict[str, Any]] = [
        {"eventType": "Delivery", "delivery": {"timestamp": at, "recipients": [mail.to]}},
        {"eventType": "Open", "open": {"timestamp": at}},
    ]
    later = bounced if mode is Mode.UNDELIVERED else arrived
    for event in [{"eventType": "Send", "send": {}}, *later]:
        message = json.dumps({**event, "mail": about})
        document = SNS.notification(account.secrets["topic_arn"], message, at)
        headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
        yield Callback(PROVIDER, url, headers, json.dumps(document).encode(), retries=3)
