"""A mail's parts: its headers, the text to show, its attachments.

Never fails; the raw bytes are kept elsewhere.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32, Policy
from typing import Any, TypeAlias

from schemas.common import Attachment
from services.chassis.text import line
from services.ingest.mail.charsets import to_text
from services.ingest.mail.headers import Headers, decoded
from services.ingest.mail.html import html_to_text

_HEAD_BYTES = 262_144
_HEADER_CHARACTERS = 16_384
_PARAMETER_CHARACTERS = 2_048
_MOST_BOUNDARIES = 5_000
_MOST_PARTS = 500
_MOST_ATTACHMENTS = 100
_TEXT_CHARACTERS = 2_000_000
_FILENAME_CHARACTERS = 255
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_FAILURES = (
    MessageError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
)
"""What the email package raises on hostile mail (measured on 3.11, and read in its source)."""

Part: TypeAlias = "Message[str, str]"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as far as it can be read."""

    headers: Headers
    text: str
    """The whole text, quotes included; from HTML where there is no plain text."""
    html: str
    """The first HTML part as it came, or an empty string."""
    attachments: tuple[Attachment, ...]
    content_type: str
    report: Sequence[Part]
    """The parts of a multipart/report that a program reads."""
    body: bytes


class _Bounded(Compat32):
    """Cuts header values: the email package takes quadratic time over long ones."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        limit = _PARAMETER_CHARACTERS if name.lower().startswith("content-") else _HEADER_CHARACTERS
        return name, value[:limit]


_POLICY: "Policy[Any]" = _Bounded()


def read(raw: bytes) -> Mail:
    """Read `raw`, an RFC 5322 message of any quality."""
    head, body = _split(raw)
    message = _parsed(head, body)
    headers = Headers(_header_items(message))
    parts = list(_leaves(message))
    return Mail(
        headers=headers,
        text=_text(parts)[:_TEXT_CHARACTERS],
        html=_html(parts)[:_TEXT_CHARACTERS],
        attachments=tuple(_attachment(part) for part in parts if not _is_shown(part))[:_MOST_ATTACHMENTS],
        content_type=message.get_content_type(),
        report=[part for part in parts if part.get_content_type() in _REPORTS],
        body=body,
    )


_REPORTS = frozenset({"message/delivery-status", "message/rfc822", "text/rfc822-headers"})


def _split(raw: bytes) -> tuple[bytes, bytes]:
    end = _HEAD_END.search(raw)
    head, body = (raw[: end.end()], raw[end.end() :]) if end else (raw, b"")
    return head[:_HEAD_BYTES], body


def _parsed(head: bytes, body: bytes) -> Part:
    """Return the tree of parts, or, of a mail with absurdly many or deep ones, the headers alone."""
    boundaries = body.count(b"\n--") + body.count(b"\r--")
    if boundaries <= _MOST_BOUNDARIES:
        try:
            return _parser().parsebytes(head + body)
        except _FAILURES:
            pass
    return _parser().parsebytes(head + body, headersonly=True)


def _parser() -> "BytesParser[Part]":
    return BytesParser(Message, policy=_POLICY)


def _header_items(message: Part) -> Iterator[tuple[str, str]]:
    for name, value in message.raw_items():
        yield name, str(value)


def _leaves(message: Part) -> Iterator[Part]:
    """Walk without recursion; an attached mail is one part."""
    waiting, count = [message], 0
    while waiting and count < _MOST_PARTS:
        part = waiting.pop()
        if part.get_content_maintype() != "message" and (held := held_by(part)):
            waiting.extend(reversed(held))
        else:
            count += 1
            yield part


def held_by(part: Part) -> list[Part]:
    """Return the parts, or the mails, directly inside `part`."""
    payload: object = part.get_payload() if part.is_multipart() else None
    return [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []


def _is_shown(part: Part) -> bool:
    shown = part.get_content_type() in ("text/plain", "text/html")
    return shown and _disposition(part) != "attachment" and not _filename(part)


def _disposition(part: Part) -> str:
    try:
        return part.get_content_disposition() or ""
    except _FAILURES:
        return "attachment"


def _filename(part: Part) -> str:
    """Return the file's name without a path, whatever system's."""
    try:
        name = decoded(part.get_filename() or "")
    except _FAILURES:
        return ""
    last = re.split(r"[/\\]", line(name, _TEXT_CHARACTERS))[-1]
    return "" if last in (".", "..") else last[-_FILENAME_CHARACTERS:]


def _attachment(part: Part) -> Attachment:
    return Attachment(
        content_type=line(part.get_content_type(), 100),
        filename=_filename(part) or None,
        size=len(content(part)),
    )


def content(part: Part) -> bytes:
    """Return the bytes of a leaf, its transfer encoding undone as far as possible."""
    try:
        payload: object = part.get_payload(decode=True)
    except _FAILURES:
        return b""
    return payload if isinstance(payload, bytes) else b""


def attached(raw: bytes, index: int) -> bytes:
    """Return the bytes of the attachment at `index` of what `read` lists; none if there is none."""
    files = [part for part in _leaves(_parsed(*_split(raw))) if not _is_shown(part)][:_MOST_ATTACHMENTS]
    if index >= len(files):
        return b""
    inner = held_by(files[index])
    try:
        return inner[0].as_bytes() if inner else content(files[index])
    except _FAILURES:
        return b""


def _text(parts: Sequence[Part]) -> str:
    """Return the first plain text that is not blank, else the first HTML as text."""
    shown = [part for part in parts if _is_shown(part)]
    for kind, convert in (("text/plain", _lines), ("text/html", html_to_text)):
        for part in shown:
            if part.get_content_type() == kind and (text := convert(_decoded(part))).strip():
                return text.strip("\n")
    return ""


def _html(parts: Sequence[Part]) -> str:
    found = (part for part in parts if part.get_content_type() == "text/html" and _is_shown(part))
    return next((text for part in found if (text := _decoded(part)).strip()), "")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(part: Part) -> str:
    try:
        charset = part.get_param("charset")
    except _FAILURES:
        charset = None
    name = charset[2] if isinstance(charset, tuple) else charset
    return to_text(content(part)[: 4 * _TEXT_CHARACTERS], name if isinstance(name, str) else None)
