"""LINE's Messaging API: https://developers.line.biz/en/reference/messaging-api/#send-push-message.

Always a push, since a reply token lives only a minute. Our message id is the X-Line-Retry-Key: LINE sends
a repeated request only once, for 24 hours, and answers 409 with the ids of the first. It tells neither
delivery nor reading, and drops what goes to somebody who blocked us. One push takes five messages, so a
long text goes as several in one request. Of files it takes only images, by their URL.
"""

from collections.abc import Mapping
from typing import Any

import httpx

from schemas.common import Attachment, IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.parts import pieces
from services.notifier.channels.sending import (
    Means,
    Refused,
    Sent,
    base_url,
    document,
    post,
    refused,
    secret,
    unexplained,
)

PROVIDER = "line"
_BASE = "https://api.line.me"
_TEXT_BYTES = 2 * 5000
"""Longest text, in UTF-16."""
_MOST_MESSAGES = 5
_IMAGES = frozenset({"image/jpeg", "image/png"})
_ACCEPTED = "x-line-accepted-request-id"


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by a push; see Send."""
    to = message.personal.to
    if to.kind is not IdentifierKind.LINE:
        raise refused("no LINE user", "invalid_recipient")
    answer = await post(
        means.client,
        f"{base_url(account, _BASE)}/v2/bot/message/push",
        json={"to": to.value, "messages": _messages(means, message)},
        headers={
            "Authorization": f"Bearer {secret(account, 'channel_access_token')}",
            "X-Line-Retry-Key": str(message.data.message_id),
        },
    )
    sent = answer.is_success or answer.status_code == httpx.codes.CONFLICT
    provider_message_id = _accepted_id(document(answer)) or answer.headers.get(_ACCEPTED, "")
    if sent and provider_message_id:
        return Sent(provider_message_id)
    raise _meaning(answer)


def _messages(means: Means, message: MessageSend) -> list[dict[str, str]]:
    texts = [{"type": "text", "text": piece} for piece in pieces(message.personal.text, _TEXT_BYTES)]
    messages = [*texts, *(_image(means, each) for each in message.personal.attachments)]
    if not messages:
        raise refused("empty", "rejected")
    if len(messages) > _MOST_MESSAGES:
        detail = "LINE takes five texts of 5,000 characters, or images, at once; send it in parts"
        raise Refused("too_long", detail, "rejected")
    return messages


def _image(means: Means, attachment: Attachment) -> dict[str, str]:
    if attachment.content_type not in _IMAGES:
        raise Refused("not_an_image", "LINE takes no files from us but images (JPEG, PNG)", "rejected")
    url = means.files.link(attachment)
    return {"type": "image", "originalContentUrl": url, "previewImageUrl": url}


def _accepted_id(answer: Mapping[str, Any]) -> str:
    messages = answer.get("sentMessages")
    first = messages[0] if isinstance(messages, list) and messages else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else ""


def _meaning(answer: httpx.Response) -> Exception:
    """Return what an answer means; LINE gives no codes, so what matters is told by its words."""
    status, words = answer.status_code, str(document(answer)).lower()
    if status == httpx.codes.TOO_MANY_REQUESTS and "monthly limit" in words:
        return refused("monthly_limit", "account_broken")
    if status == httpx.codes.BAD_REQUEST and ("'to'" in words or "failed to send messages" in words):
        return refused(status, "invalid_recipient")
    return unexplained(answer)
