"""Postmark: POST /email, https://postmarkapp.com/developer/api/email-api, error codes of its API overview.

Postmark does not deduplicate. With `X-PM-KeepID` it keeps our Message-ID; its own is the answer's
`MessageID`. Our id travels as metadata `parley_id`. One code stands for all inactive recipients: bounced,
complained, unsubscribed.
"""

import base64
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
    RefusalKind,
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

PROVIDER = "postmark"
_BASE = "https://api.postmarkapp.com"
_INVALID = 300
_SLOW_DOWN = frozenset({429})
_KINDS: dict[RefusalKind, frozenset[int]] = {
    "opted_out": frozenset({406}),
    "account_broken": frozenset({10, 400, 401, 405, 411, 412, 413}),
}


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send one mail; see Send."""
    answer = await post(
        means.client,
        f"{base_url(account, _BASE)}/email",
        json=await _body(means, account, message),
        headers={"X-Postmark-Server-Token": secret(account, "server_token"), "Accept": "application/json"},
    )
    content = document(answer)
    provider_message_id = content.get("MessageID")
    if answer.is_success and content.get("ErrorCode") == 0 and isinstance(provider_message_id, str):
        return Sent(provider_message_id)
    raise _meaning(answer)


async def _body(means: Means, account: Account, message: MessageSend) -> dict[str, Any]:
    headers = [
        ("Message-ID", message_id_of(account.address, message)),
        ("X-PM-KeepID", "true"),
        *more_headers(message),
    ]
    body: dict[str, Any] = {
        "From": account.address,
        "To": recipient(message),
        "Subject": plain_subject(message),
        "TextBody": message.personal.text or " ",
        "Headers": [{"Name": name, "Value": value} for name, value in headers],
        "Metadata": {"parley_id": str(message.data.message_id)},
        "MessageStream": "outbound",
    }
    if reply := reply_to(account, message):
        body["ReplyTo"] = reply
    if files := await files_of(means, message):
        body["Attachments"] = [
            {
                "Name": file.filename,
                "Content": base64.b64encode(file.data).decode(),
                "ContentType": file.content_type,
            }
            for file in files
        ]
    return body


def _meaning(answer: httpx.Response) -> Exception:
    content = document(answer)
    code = content.get("ErrorCode")
    if not isinstance(code, int) or isinstance(code, bool) or code == 0 or answer.is_server_error:
        return unexplained(answer)
    if code in _SLOW_DOWN or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Retry(retry_after(answer), str(code), whole_account=True)
    if code == _INVALID and "'To'" in str(content.get("Message", "")):
        return refused(code, "invalid_recipient")
    kind = next((kind for kind, codes in _KINDS.items() if code in codes), None)
    if kind is None:
        kind = "account_broken" if answer.status_code in (401, 403) else "rejected"
    return refused(code, kind)
