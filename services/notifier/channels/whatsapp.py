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
from services.notifier.channels.graph import ACCOUNT_BROKEN, BASE, VERSION, Codes, meaning
from services.notifier.channels.parts import one_by_one, pieces
from services.notifier.channels.sending import Means, Sent, base_url, document, post, refused, secret

PROVIDER = "whatsapp"
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
_CAPTION_CHARACTERS = 1024
_KINDS = {
    "image/jpeg": "image",
    "image/png": "image",
    "video/mp4": "video",
    "video/3gpp": "video",
    "audio/aac": "audio",
    "audio/amr": "audio",
    "audio/mp4": "audio",
    "audio/mpeg": "audio",
    "audio/ogg": "audio",
}
"""What each content type is sent as; any other file is a document."""
_CAPTIONED = frozenset({"image", "video", "document"})
Part = dict[str, Any]


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by the messages endpoint; statuses come to the app's own webhook. See Send."""
    recipient = _recipient(message.personal.to)
    *earlier, last = _parts(means, message) or [{}]
    if not last:
        raise refused("empty", "rejected")
    # statuses of the last part are the message's
    last["biz_opaque_callback_data"] = str(message.data.message_id)
    requests = [partial(_post, means, account, recipient | part) for part in (*earlier, last)]
    return await one_by_one(means, requests)


async def _post(means: Means, account: Account, part: Part) -> Sent:
    answer = await post(
        means.client,
        f"{base_url(account, BASE)}/{VERSION}/{quote(account.address, safe='')}/messages",
        json={"messaging_product": "whatsapp", "recipient_type": "individual", **part},
        headers={"Authorization": f"Bearer {secret(account, 'access_token')}"},
    )
    provider_message_id = _accepted_id(document(answer))
    if answer.is_success and provider_message_id:
        return Sent(provider_message_id)
    raise meaning(answer, CODES)


def _parts(means: Means, message: MessageSend) -> list[Part]:
    """Return the text and the files; a text that a file can carry goes as the caption of the first."""
    personal = message.personal
    if personal.template is not None:
        return [_template(personal.template)]
    text = personal.text.strip()
    files = [_file(each, means.files.link(each)) for each in personal.attachments]
    if files and len(text) <= _CAPTION_CHARACTERS and files[0]["type"] in _CAPTIONED:
        if text:
            files[0][files[0]["type"]]["caption"] = text
        return files
    return [*_texts(text), *files]


def _template(use: TemplateUse) -> Part:
    parameters = [{"type": "text", "text": value} for value in use.parameters]
    body = [{"type": "body", "parameters": parameters}] if parameters else []
    template = {"name": use.name, "language": {"code": use.language}, "components": body}
    return {"type": "template", "template": template}


def _texts(text: str) -> Sequence[Part]:
    return [
        {"type": "text", "text": {"body": piece, "preview_url": False}} for piece in pieces(text, _TEXT_BYTES)
    ]


def _file(attachment: Attachment, url: str) -> Part:
    kind = _KINDS.get((attachment.content_type or "").partition(";")[0].strip().lower(), "document")
    media = {"link": url}
    if kind == "document" and attachment.filename:
        media["filename"] = attachment.filename
    return {"type": kind, kind: media}


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
