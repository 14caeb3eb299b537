"""Composing a reply as a mail that every mail program files under its conversation (RFC 5322)."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from email.charset import QP, Charset
from email.header import Header
from email.message import EmailMessage, Message
from email.utils import format_datetime

from schemas.common import IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.chassis.reply_address import reply_address
from services.chassis.text import clean, line
from services.notifier.channels.files import LoadedFile, load
from services.notifier.channels.sending import Means, refused

_ID = re.compile(r"<[^<>\s\x00-\x1f\x7f-\uffff]{1,250}>")
_REPLY = re.compile(
    r"(?:(?:re|aw|antw|sv|vs|ref|rif|res|odp)(?:\[\d{1,3}\])?\s*[:\uff1a]\s*)+", re.IGNORECASE
)
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}")
_ANY_TYPE = "application/octet-stream"
_SUBJECT_CHARACTERS = 200
_REFERENCES_CHARACTERS = 900
_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP
_NO_SUBJECT = "Your message"


def message_id_of(address: str, message: MessageSend) -> str:
    """Return the mail's Message-ID: our message id at the domain of `address`, ours."""
    return f"<{message.data.message_id}@{address.rpartition('@')[2]}>"


def recipient(message: MessageSend) -> str:
    """Return the address the mail goes to. Raises Refused for an identifier that is none."""
    to = message.personal.to
    if to.kind is not IdentifierKind.EMAIL:
        raise refused("no email address", "invalid_recipient")
    return _one_line(to.value)


def reply_to(account: Account, message: MessageSend) -> str | None:
    """Return the signed address that names the Customer; None for an account that signs none."""
    secret = next(iter(account.valid("reply_secret")), "")
    return reply_address(account.address, message.home, secret) if secret else None


async def files_of(means: Means, message: MessageSend) -> list[LoadedFile]:
    """Return the attachments with their bytes. Raises Refused when one is not to be had."""
    files = await load(means, message.personal.attachments)
    return [replace(file, content_type=_type(file.content_type)) for file in files]


async def composed(means: Means, account: Account, message: MessageSend) -> bytes:
    """Return the whole mail, attachments included, as RFC 5322 bytes."""
    reply = reply_to(account, message)
    if not message.personal.attachments:
        return compose(account.address, message, reply)
    with means.preparing():
        files = await files_of(means, message)
        return await asyncio.to_thread(compose, account.address, message, reply, files)


def compose(
    address: str, message: MessageSend, reply: str | None = None, files: Sequence[LoadedFile] = ()
) -> bytes:
    """Return `message` as RFC 5322 bytes, from `address`, to be answered at `reply`.

    No value can add a header: control characters and line ends become spaces, ids that are none
    are left out.
    """
    headers = [
        ("Message-ID", message_id_of(address, message)),
        ("Date", format_datetime(message.occurred_at)),
        ("From", _one_line(address)),
        ("To", _one_line(message.personal.to.value)),
        *([("Reply-To", _one_line(reply))] if reply else ()),
        ("Subject", subject_header(message)),
        *((name, value.replace(" ", "\r\n ")) for name, value in more_headers(message)),
        ("MIME-Version", "1.0"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return head.encode() + (_with_files(message, files) if files else _text(message))


def _text(message: MessageSend) -> bytes:
    body = Message()
    body.set_payload(_crlf(clean(message.personal.text)), _UTF8)
    del body["MIME-Version"]
    rest = "".join(f"{name}: {value}\r\n" for name, value in body.items())
    return f"{rest}\r\n{_crlf(str(body.get_payload()))}".encode()


def _with_files(message: MessageSend, files: Sequence[LoadedFile]) -> bytes:
    mail = EmailMessage()
    mail.set_content(clean(message.personal.text), cte="quoted-printable")
    for file in files:
        kind, _, subtype = _type(file.content_type).partition("/")
        mail.add_attachment(file.data, kind, subtype, filename=file.filename, cte="base64")
    del mail["MIME-Version"]
    return mail.as_bytes(policy=mail.policy.clone(linesep="\r\n", max_line_length=78))


def more_headers(message: MessageSend) -> list[tuple[str, str]]:
    """Return the headers that file the mail under its conversation, and say that nobody wrote it."""
    return [*_threading(message), *(_AUTOMATIC if message.data.automatic else ())]


_AUTOMATIC = (("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All"))


def plain_subject(message: MessageSend) -> str:
    """Return the subject as text: of an answer `Re: …` with exactly one prefix, else as it was given."""
    given = line(message.personal.subject or "", _SUBJECT_CHARACTERS)
    if message.personal.in_reply_to is None and given.strip():
        return _one_line(given).strip() or _NO_SUBJECT
    return f"Re: {_one_line(_REPLY.sub('', given, count=1)).strip() or _NO_SUBJECT}"


def subject_header(message: MessageSend) -> str:
    """Return the same as a header's value, encoded (RFC 2047) where it is not ASCII."""
    text = plain_subject(message)
    if text.isascii() and "=?" not in text:
        return text
    return Header(text, "utf-8", maxlinelen=70, header_name="Subject").encode(linesep="\r\n")


def _threading(message: MessageSend) -> list[tuple[str, str]]:
    """Return In-Reply-To and References: the parent's references and the parent (RFC 5322, 3.6.4)."""
    parent = message.personal.in_reply_to or ""
    if not _ID.fullmatch(parent):
        return []
    known = [each for each in message.personal.references if _ID.fullmatch(each) and each != parent]
    return [("In-Reply-To", parent), ("References", " ".join(_fitting([*dict.fromkeys(known), parent])))]


def _fitting(ids: list[str]) -> list[str]:
    """Return the first id and as many of the last as fit."""
    kept, room = [], _REFERENCES_CHARACTERS - len(ids[0])
    for each in reversed(ids[1:]):
        room -= len(each) + 1
        if room < 0:
            break
        kept.append(each)
    return [ids[0], *reversed(kept)]


def _type(declared: str) -> str:
    kind = declared.partition(";")[0].strip()
    composite = kind.startswith(("multipart/", "message/"))
    return kind if _TYPE.fullmatch(kind) and not composite else _ANY_TYPE


def _one_line(value: str) -> str:
    return "".join(each if each.isprintable() else " " for each in clean(value))


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
