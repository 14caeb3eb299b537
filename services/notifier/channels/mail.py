"""Composing a reply as a mail that every mail program files under its conversation (RFC 5322)."""

import re
from collections.abc import Sequence
from email.charset import QP, Charset
from email.header import Header
from email.message import Message
from email.utils import format_datetime

from schemas.outbound import MessageSend
from services.chassis.text import clean, line
from services.notifier.channels.files import LoadedFile
from services.notifier.channels.mail_files import with_files

_ID = re.compile(r"<[^<>\s\x00-\x1f\x7f-\uffff]{1,250}>")
_REPLY = re.compile(
    r"(?:(?:re|aw|antw|sv|vs|ref|rif|res|odp)(?:\[\d{1,3}\])?\s*[:\uff1a]\s*)+", re.IGNORECASE
)
_SUBJECT_CHARACTERS = 200
_REFERENCES_CHARACTERS = 900
_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP
_NO_SUBJECT = "Your message"


def message_id_of(address: str, message: MessageSend) -> str:
    """Return the mail's Message-ID: our message id at the domain of `address`, ours."""
    return f"<{message.data.message_id}@{address.rpartition('@')[2]}>"


def compose(address: str, message: MessageSend, files: Sequence[LoadedFile] = ()) -> bytes:
    """Return `message` with its `files` as RFC 5322 bytes, from `address`.

    No value can add a header: control characters and line ends become spaces, ids that are none
    are left out.
    """
    personal = message.personal
    headers = [
        ("Message-ID", message_id_of(address, message)),
        ("Date", format_datetime(message.occurred_at)),
        ("From", _one_line(address)),
        ("To", _one_line(personal.to.value)),
        ("Subject", reply_subject(personal.subject)),
        *_threading(message),
        *(_AUTOMATIC if message.data.automatic else ()),
        ("MIME-Version", "1.0"),
    ]
    body = Message()
    body.set_payload(_crlf(clean(personal.text)), _UTF8)
    del body["MIME-Version"]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    rest = "".join(f"{name}: {value}\r\n" for name, value in body.items())
    text = f"{rest}\r\n{_crlf(str(body.get_payload()))}".encode()
    if not files:
        return head.encode() + text
    kind, parts = with_files(text, files, str(message.data.message_id))
    return f"{head}Content-Type: {kind}\r\n\r\n".encode() + parts


_AUTOMATIC = (("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All"))


def reply_subject(subject: str | None) -> str:
    """Return `Re: …` with exactly one prefix, encoded (RFC 2047) where it is not ASCII."""
    bare = _REPLY.sub("", line(subject or "", _SUBJECT_CHARACTERS), count=1) if subject else ""
    text = f"Re: {_one_line(bare).strip() or _NO_SUBJECT}"
    if text.isascii() and "=?" not in text:
        return text
    return Header(text, "utf-8", maxlinelen=70, header_name="Subject").encode(linesep="\r\n")


def _threading(message: MessageSend) -> list[tuple[str, str]]:
    """Return In-Reply-To and References: the parent's references and the parent (RFC 5322, 3.6.4)."""
    parent = message.personal.in_reply_to or ""
    if not _ID.fullmatch(parent):
        return []
    known = [each for each in message.personal.references if _ID.fullmatch(each) and each != parent]
    return [("In-Reply-To", parent), ("References", "\r\n ".join(_fitting([*dict.fromkeys(known), parent])))]


def _fitting(ids: list[str]) -> list[str]:
    """Return the first id and as many of the last as fit."""
    kept, room = [], _REFERENCES_CHARACTERS - len(ids[0])
    for each in reversed(ids[1:]):
        room -= len(each) + 1
        if room < 0:
            break
        kept.append(each)
    return [ids[0], *reversed(kept)]


def _one_line(value: str) -> str:
    return "".join(each if each.isprintable() else " " for each in clean(value))


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
