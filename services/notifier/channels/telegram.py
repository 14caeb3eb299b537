"""Telegram's Bot API: https://core.telegram.org/bots/api#sendmessage. One request a message.

Telegram does not deduplicate, and tells neither delivery nor reading. So a text too long for one request
is refused rather than split: were the second part lost, nobody could send it again without doubling the
first. Text goes as it is, without parse_mode. Ids of messages are unique only within a chat: ours read
`<chat>:<message_id>`. Several files are one album (sendMediaGroup), which is sent whole or not at all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from schemas.common import Attachment, IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.files import LoadedFile, load
from services.notifier.channels.sending import (
    Means,
    RateLimit,
    RefusalKind,
    Refused,
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

PROVIDER = "telegram"
LIMIT = RateLimit(30, 30)
"""Telegram's of a bot, all chats together: https://core.telegram.org/bots/faq."""
_BASE = "https://api.telegram.org"
_TEXT, _CAPTION = 4096, 1024
"""Most UTF-16 code units."""
_MOST_FILES = 10
_MOST_BYTES = 50_000_000
_PHOTO_BYTES = 10_000_000
_LONGEST_WAIT = 7 * 24 * 3600
_KINDS = {
    "image/jpeg": "photo",
    "image/png": "photo",
    "image/webp": "photo",
    "image/gif": "animation",
    "video/mp4": "video",
    "audio/mpeg": "audio",
    "audio/mp4": "audio",
}
_PICTURES = frozenset({"photo", "video"})
_METHODS = {
    "photo": "sendPhoto",
    "animation": "sendAnimation",
    "video": "sendVideo",
    "audio": "sendAudio",
    "document": "sendDocument",
}
_OPTED_OUT = ("bot was blocked by the user", "bot was kicked")
_NO_CHAT = ("chat not found", "user not found", "peer_id_invalid", "deactivated", "chat_id is empty")
_BROKEN = frozenset({401, 404, 409})
"""A wrong or withdrawn token; a bot that somebody else runs."""


@dataclass(frozen=True, slots=True)
class _File:
    kind: str
    loaded: LoadedFile


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by sendMessage, or by the method for its files; see Send."""
    to = message.personal.to
    if to.kind is not IdentifierKind.TELEGRAM or not (to.value.isascii() and to.value.isdigit()):
        raise refused("no Telegram user", "invalid_recipient")
    files = await _files(means, message.personal.attachments)
    method, request = _request(message, files)
    url = f"{base_url(account, _BASE)}/bot{secret(account, 'token')}/{method}"
    answer = await post(means.client, url, **request)
    number = _accepted_id(document(answer))
    if answer.is_success and number is not None:
        return Sent(f"{to.value}:{number}")
    raise _meaning(answer)


async def _files(means: Means, attachments: Sequence[Attachment]) -> list[_File]:
    if len(attachments) > _MOST_FILES:
        raise _too_much("too_many_files", f"one message takes {_MOST_FILES} files at most")
    files = await load(means, attachments)
    if any(len(file.data) > _MOST_BYTES for file in files):
        raise _too_much("too_large", "a file is larger than the 50 MB that Telegram takes")
    return [_File(_sent_as(file), file) for file in files]


def _sent_as(file: LoadedFile) -> str:
    kind = _KINDS.get(file.content_type.partition(";")[0].strip().lower(), "document")
    return "document" if kind == "photo" and len(file.data) > _PHOTO_BYTES else kind


def _request(message: MessageSend, files: Sequence[_File]) -> tuple[str, dict[str, Any]]:
    """Return the method, and what httpx is to send."""
    text, limit = message.personal.text, _CAPTION if files else _TEXT
    if len(text.encode("utf-16-le", "surrogatepass")) > 2 * limit:
        where = "under files" if files else "in one message"
        raise _too_much("too_long", f"Telegram takes {limit} characters {where}; send it in parts")
    fields: dict[str, Any] = {"chat_id": int(message.personal.to.value), **_about(message)}
    if not files:
        return "sendMessage", {"json": {**fields, "text": text}}
    form = {name: json.dumps(value) for name, value in fields.items()}
    caption = {"caption": text} if text else {}
    if len(files) == 1:
        (file,) = files
        return _METHODS[file.kind], {"data": form | caption, "files": {file.kind: _part(file)}}
    kind = _album_kind(files)
    media: list[dict[str, str]] = [
        {"type": kind or file.kind, "media": f"attach://file{n}"} for n, file in enumerate(files)
    ]
    media[0] |= caption
    parts = {f"file{n}": _part(file) for n, file in enumerate(files)}
    return "sendMediaGroup", {"data": form | {"media": json.dumps(media)}, "files": parts}


def _album_kind(files: Sequence[_File]) -> str | None:
    """Return what all files are sent as; None for pictures, each as what it is. Nothing else mixes."""
    kinds = {file.kind for file in files}
    if kinds <= _PICTURES:
        return None
    return "audio" if kinds == {"audio"} else "document"


def _part(file: _File) -> tuple[str, bytes, str]:
    return file.loaded.filename, file.loaded.data, file.loaded.content_type


def _about(message: MessageSend) -> dict[str, Any]:
    """Return the parameter that shows which message of this chat is answered, if it is still there."""
    chat, _, number = (message.personal.in_reply_to or "").partition(":")
    if message.data.automatic or chat != message.personal.to.value or not number.isdecimal():
        return {}
    return {"reply_parameters": {"message_id": int(number), "allow_sending_without_reply": True}}


def _accepted_id(answer: Mapping[str, Any]) -> int | None:
    """Return the message_id; of an album that of its first."""
    result = answer.get("result")
    first = result[0] if isinstance(result, list) and result else result
    number = first.get("message_id") if isinstance(first, dict) else None
    return number if answer.get("ok") is True and type(number) is int else None


def _meaning(answer: httpx.Response) -> Exception:
    body = document(answer)
    code, words = body.get("error_code"), str(body.get("description", "")).lower()
    if answer.is_success or type(code) is not int or code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return unexplained(answer)
    if code == httpx.codes.TOO_MANY_REQUESTS:
        return Retry(_wait(body) or retry_after(answer), str(code), whole_account=True)
    return refused(code, _kind(code, words))


def _kind(code: int, words: str) -> RefusalKind:
    """Return what a refusal is about. All that is forbidden (403) is so for the sake of the chat."""
    if code in _BROKEN:
        return "account_broken"
    if any(each in words for each in _OPTED_OUT):
        return "opted_out"
    if code == httpx.codes.FORBIDDEN or any(each in words for each in _NO_CHAT):
        return "invalid_recipient"
    return "rejected"


def _wait(body: Mapping[str, Any]) -> float | None:
    parameters = body.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return float(seconds) if type(seconds) is int and 0 <= seconds <= _LONGEST_WAIT else None


def _too_much(code: str, detail: str) -> Refused:
    return Refused(code, detail, "rejected")
