"""Mailgun: POST /v3/{domain}/messages.mime, https://documentation.mailgun.com/docs/mailgun/api-reference.

Mailgun does not deduplicate. It keeps our Message-ID, and names the message by it in every event; our id
travels as the user variable `parley_id`. The domain is the address's, or the account's secret `domain`.
In the European Union `api_base` is `https://api.eu.mailgun.net`.
"""

from urllib.parse import quote

import httpx

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.mail import composed, message_id_of, recipient
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

PROVIDER = "mailgun"
_BASE = "https://api.mailgun.net"
_NOT_AN_ADDRESS = "not a valid address"


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send the whole mail as bytes; see Send."""
    domain = account.secrets.get("domain") or account.address.rpartition("@")[2]
    answer = await post(
        means.client,
        f"{base_url(account, _BASE)}/v3/{quote(domain, safe='')}/messages.mime",
        auth=httpx.BasicAuth("api", secret(account, "api_key")),
        data={"to": recipient(message), "v:parley_id": str(message.data.message_id)},
        files={"message": ("message.mime", await composed(means, account, message), "message/rfc822")},
    )
    if answer.is_success and isinstance(document(answer).get("id"), str):
        return Sent(_bracketed(document(answer)["id"]) or message_id_of(account.address, message))
    raise _meaning(answer)


def _bracketed(message_id: str) -> str:
    bare = message_id.strip().strip("<>")
    return f"<{bare}>" if bare else ""


def _meaning(answer: httpx.Response) -> Exception:
    status = answer.status_code
    if status == httpx.codes.NOT_FOUND:  # a domain that was just added is known after a while
        return Retry(retry_after(answer), str(status))
    if status == httpx.codes.BAD_REQUEST and _NOT_AN_ADDRESS in str(document(answer).get("message", "")):
        return refused(status, "invalid_recipient")
    return unexplained(answer)
