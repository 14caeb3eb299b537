"""Meta's WhatsApp Cloud API: POST /{version}/{phone_number_id}/messages.

Meta does not deduplicate. Our message id travels as `biz_opaque_callback_data` and comes back
in every status. Codes: developers.facebook.com, WhatsApp Cloud API error codes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from schemas.common import Attachment, Identifier, IdentifierKind, TemplateUse
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels import whatsapp_media as media
from services.notifier.channels.files import LoadedFile, load
from services.notifier.channels.graph import ACCOUNT_BROKEN, BASE, VERSION, Codes, meaning
from services.notifier.channels.parts import one_by_one, pieces
from services.notifier.channels.sending import (
    Means,
    RateLimit,
    Retry,
    Sent,
    Unknown,
    base_url,
    document,
    post,
    refused,
    secret,
)

PROVIDER = "whatsapp"
LIMIT = RateLimit(80, 80)
"""Meta's own of a number, unless it granted more: error 130429."""
CODES = Codes(
    slow_down=frozenset({4, 80007, 130429, 131048, 131064}),
    transient=frozenset({1, 2, 131000, 131016, 131057}),
    kinds={
        "outside_window": frozenset({131047}),
        "opted_out": frozenset({131050}),
        "invalid_recipient": frozenset({131021, 131026, 131030, 131062}),
        "account_broken": ACCOUNT_BROKEN | {131031, 131042, 131044, 131045},
    },
    pauses={131056: 6.0},
)
_TEXT_BYTES = 2 * 4096
Part = dict[str, Any]


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by the messages endpoint; statuses come to the app's own webhook. See Send.

    Each file is a message of its own. All are uploaded before the first is sent.
    """
    recipient = _recipient(message.personal.to)
    *earlier, last = await _parts(means, account, message) or [{}]
    if not last:
        raise refused("empty", "rejected")
    # statuses of the last part are the message's
    last["biz_opaque_callback_data"] = str(message.data.message_id)
    requests = [partial(_post, means, account, recipient | part) for part in (*earlier, last)]
    return await one_by_one(means, requests)


async def _post(means: Means, account: Account, part: Part) -> Sent:
    answer = await post(
        means.client,
        f"{_own_url(account)}/messages",
        json={"messaging_product": "whatsapp", "recipient_type": "individual", **part},
        headers=_authorization(account),
    )
    provider_message_id = _accepted_id(document(answer))
    if answer.is_success and provider_message_id:
        return Sent(provider_message_id)
    raise meaning(answer, CODES)


async def _parts(means: Means, account: Account, message: MessageSend) -> list[Part]:
    """Return the text and the uploaded files; a text that fits under the first file is its caption."""
    personal = message.personal
    if personal.template is not None:
        return [_template(personal.template)]
    uploaded = await _uploaded(means, account, personal.attachments) if personal.attachments else []
    files = [file for file, _ in uploaded]
    captioned = bool(files) and media.takes_caption(files[0], personal.text)
    texts = [] if captioned else [media.text(piece) for piece in pieces(personal.text, _TEXT_BYTES)]
    captions = [personal.text if captioned else "", *[""] * len(files)]
    shown = [media.message(*each, caption) for each, caption in zip(uploaded, captions, strict=False)]
    return [*texts, *shown]


async def _uploaded(
    means: Means, account: Account, attachments: Sequence[Attachment]
) -> list[tuple[LoadedFile, str]]:
    with means.preparing():
        files = await load(means, attachments)
        return [(file, await _upload(means, account, file)) for file in files]


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
    means_that = meaning(answer, CODES)
    raise Retry(None, "media_upload") if isinstance(means_that, Unknown) else means_that


def _own_url(account: Account) -> str:
    return f"{base_url(account, BASE)}/{VERSION}/{quote(account.address, safe='')}"


def _authorization(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret(account, 'access_token')}"}


def _template(use: TemplateUse) -> Part:
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
