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
from services.notifier.channels import whatsapp_media as media
from services.notifier.channels.files import LoadedFile, load
from services.notifier.channels.sending import (
    Means,
    RefusalKind,
    Refused,
    Retry,
    Sent,
    Unknown,
    base_url,
    document,
    post,
    refused,
    retry_after,
    secret,
    unexplained,
)

PROVIDER = "whatsapp"
_BASE = "https://graph.facebook.com"
_VERSION = "v23.0"
_PAIR_LIMIT = 131056
_PAIR_SECONDS = 6.0
_SLOW_DOWN = frozenset({4, 80007, 130429, 131048, 131064})
_TRANSIENT = frozenset({1, 2, 131000, 131016, 131057})
KINDS: dict[RefusalKind, frozenset[int]] = {
    "outside_window": frozenset({131047}),
    "opted_out": frozenset({131050}),
    "invalid_recipient": frozenset({131021, 131026, 131030, 131062}),
    "account_broken": frozenset({0, 3, 10, 190, 368, 131031, 131042, 131044, 131045, *range(200, 300)}),
}


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by the messages endpoint; statuses come to the app's own webhook. See Send.

    Each attachment is a message of its own. All are uploaded before the first is sent; if a later one
    fails then, what became of the whole is unknown, since a part of it is with the Customer.
    """
    contents = await _contents(means, account, message)
    first = await _send(means, account, message, contents[0])
    for content in contents[1:]:
        try:
            await _send(means, account, message, content)
        except (Refused, Retry, Unknown) as error:
            raise Unknown(f"the first part was sent, then: {error}") from error
    return first


async def _send(means: Means, account: Account, message: MessageSend, content: Mapping[str, Any]) -> Sent:
    body = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_recipient(message.personal.to),
        **content,
        "biz_opaque_callback_data": str(message.data.message_id),
    }
    answer = await post(
        means.client, f"{_own_url(account)}/messages", json=body, headers=_authorization(account)
    )
    provider_message_id = _accepted_id(document(answer))
    if answer.is_success and provider_message_id:
        return Sent(provider_message_id)
    raise _meaning(answer)


async def _contents(means: Means, account: Account, message: MessageSend) -> list[Mapping[str, Any]]:
    """Return the text and the uploaded files as the messages they become."""
    text = message.personal.text
    files = await load(means, message.personal.attachments)
    if not files:
        return [_content(message)]
    uploaded = [(file, await _upload(means, account, file)) for file in files]
    captioned = media.takes_caption(files[0], text)
    contents: list[Mapping[str, Any]] = [] if captioned or not text.strip() else [media.text(text)]
    for number, (file, media_id) in enumerate(uploaded):
        contents.append(media.message(file, media_id, text if captioned and number == 0 else ""))
    return contents


async def _upload(means: Means, account: Account, file: LoadedFile) -> str:
    """Return the id under which the provider keeps the file. To upload it again does no harm."""
    try:
        answer = await post(
            means.client,
            f"{_own_url(account)}/media",
            data={"messaging_product": "whatsapp", "type": file.content_type},
            files={"file": (file.filename, file.data, file.content_type)},
            headers=_authorization(account),
        )
    except Unknown as error:
        raise Retry(None, "media_upload") from error
    found = document(answer).get("id")
    if answer.is_success and isinstance(found, str) and found:
        return found
    meaning = _meaning(answer)
    raise Retry(None, "media_upload") if isinstance(meaning, Unknown) else meaning


def _own_url(account: Account) -> str:
    return f"{base_url(account, _BASE)}/{_VERSION}/{quote(account.address, safe='')}"


def _authorization(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret(account, 'access_token')}"}


def _content(message: MessageSend) -> dict[str, Any]:
    use = message.personal.template
    if use is None:
        return media.text(message.personal.text)
    parameters = [{"type": "text", "text": value} for value in use.parameters]
    body = [{"type": "body", "parameters": parameters}] if parameters else []
    template = {"name": use.name, "language": {"code": use.language}, "components": body}
    return {"type": "template", "template": template}


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
    kind = next((kind for kind, codes in KINDS.items() if code in codes), None)
    if kind is None and answer.is_server_error:
        return unexplained(answer)
    return refused(code, kind or "rejected")
