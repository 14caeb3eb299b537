"""SendGrid: POST /v3/mail/send, https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send.

SendGrid does not deduplicate. It keeps our Message-ID; its own id is the answer's `X-Message-Id`, with
which every event's `sg_message_id` begins. Our id travels as the custom argument `parley_id`. A recipient on
a suppression list is accepted too, and reported later as `dropped`.
"""

import base64
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.mail import (
    files_of,
    message_id_of,
    more_headers,
    plain_subject,
    recipient,
    reply_to,
)
from services.notifier.channels.sending import (
    Means,
    Retry,
    Sent,
    base_url,
    document,
    post,
    refused,
    retry_after,
    secret,
    unexplained,
)

PROVIDER = "sendgrid"
_BASE = "https://api.sendgrid.com"
_RECIPIENT = "personalizations.0.to"


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by the mail/send endpoint; see Send."""
    answer = await post(
        means.client,
        f"{base_url(account, _BASE)}/v3/mail/send",
        json=await _body(means, account, message),
        headers={"Authorization": f"Bearer {secret(account, 'api_key')}"},
    )
    provider_message_id = answer.headers.get("x-message-id", "")
    if answer.is_success and provider_message_id:
        return Sent(provider_message_id)
    raise _meaning(answer)


async def _body(means: Means, account: Account, message: MessageSend) -> dict[str, Any]:
    reply = reply_to(account, message)
    files = await files_of(means, message)
    body: dict[str, Any] = {
        "personalizations": [
            {
                "to": [{"email": recipient(message)}],
                "custom_args": {"parley_id": str(message.data.message_id)},
            }
        ],
        "from": {"email": account.address},
        "subject": plain_subject(message),
        "content": [{"type": "text/plain", "value": message.personal.text or " "}],
        "headers": {"Message-ID": message_id_of(account.address, message), **dict(more_headers(message))},
    }
    if reply:
        body["reply_to"] = {"email": reply}
    if files:
        body["attachments"] = [
            {
                "content": base64.b64encode(file.data).decode(),
                "filename": file.filename,
                "type": file.content_type,
                "disposition": "attachment",
            }
            for file in files
        ]
    return body


def _meaning(answer: httpx.Response) -> Exception:
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Retry(retry_after(answer) or _reset_after(answer), "429", whole_account=True)
    errors = document(answer).get("errors")
    fields = (
        [each.get("field") for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    )
    if answer.status_code == httpx.codes.BAD_REQUEST and any(str(f).startswith(_RECIPIENT) for f in fields):
        return refused(answer.status_code, "invalid_recipient")
    return unexplained(answer)


def _reset_after(answer: httpx.Response) -> float | None:
    """Return the seconds until the limit is lifted: `X-RateLimit-Reset` less the answer's own Date."""
    reset = answer.headers.get("x-ratelimit-reset", "")
    try:
        now: datetime = parsedate_to_datetime(answer.headers.get("date", ""))
        seconds = int(reset) - now.timestamp() if reset.isascii() and reset.isdigit() else 0.0
    except (ValueError, TypeError):
        return None
    return seconds if 0 < seconds < 86_400 else None  # noqa: PLR2004  (a day: more is no pause)
