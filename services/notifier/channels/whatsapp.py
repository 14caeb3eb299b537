"""Meta's WhatsApp Cloud API: POST /{version}/{phone_number_id}/messages.

Meta does not deduplicate. Our message id travels as `biz_opaque_callback_data` and comes back
in every status. Codes: developers.facebook.com, WhatsApp Cloud API error codes.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from schemas.common import Identifier, IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.sending import (
    Means,
    RateLimit,
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

PROVIDER = "whatsapp"
LIMIT = RateLimit(80, 80)
"""Meta's own of a number, unless it granted more: error 130429."""
_BASE = "https://graph.facebook.com"
_VERSION = "v23.0"
_PAIR_LIMIT = 131056
_PAIR_SECONDS = 6.0
_SLOW_DOWN = frozenset({4, 80007, 130429, 131048, 131064})
_TRANSIENT = frozenset({1, 2, 131000, 131016, 131057})
_KINDS: dict[RefusalKind, frozenset[int]] = {
    "outside_window": frozenset({131047}),
    "opted_out": frozenset({131050}),
    "invalid_recipient": frozenset({131021, 131026, 131030, 131062}),
    "account_broken": frozenset({0, 3, 10, 190, 368, 131031, 131042, 131044, 131045, *range(200, 300)}),
}


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by the messages endpoint; statuses come to the app's own webhook. See Send."""
    answer = await post(
        means.client,
        f"{base_url(account, _BASE)}/{_VERSION}/{quote(account.address, safe='')}/messages",
        json=_body(message),
        headers={"Authorization": f"Bearer {secret(account, 'access_token')}"},
    )
    provider_message_id = _accepted_id(document(answer))
    if answer.is_success and provider_message_id:
        return Sent(provider_message_id)
    raise _meaning(answer)


def _body(message: MessageSend) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_recipient(message.personal.to),
        "type": "text",
        "text": {"body": message.personal.text, "preview_url": False},
        "biz_opaque_callback_data": str(message.data.message_id),
    }
    return body


def _recipient(to: Identifier) -> dict[str, str]:
    """Return the number's digits as `to`, or the business-scoped user id as `recipient`."""
    digits = to.value.removeprefix("+")
    if digits.isascii() and digits.isdigit():
        return {"to": digits}
    if to.kind is not IdentifierKind.WHATSAPP:
        raise refused("no WhatsApp address", "invalid_recipient")
    return {"recipient": to.value}


def _accepted_id(answer: Mapping[str, Any]) -> str:
    messages = answer.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) else ""


def _meaning(answer: httpx.Response) -> Exception:
    error = document(answer).get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if (
        answer.is_success
        or not isinstance(error, dict)
        or not isinstance(code, int)
        or isinstance(code, bool)
    ):
        return unexplained(answer)
    if code == _PAIR_LIMIT:
        return Retry(retry_after(answer) or _PAIR_SECONDS, str(code))
    throttled = code in _SLOW_DOWN or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    if throttled or code in _TRANSIENT or error.get("is_transient") is True:
        return Retry(retry_after(answer), str(code), whole_account=throttled)
    kind = next((kind for kind, codes in _KINDS.items() if code in codes), None)
    if kind is None and answer.is_server_error:
        return unexplained(answer)
    return refused(code, kind or "rejected")
