"""A mail that a provider took apart, put together again, so that every mail is read and kept alike."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

_NAME = re.compile(rb"[!-9;-~]{1,200}")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_ABOUT_THE_BODY = (b"content-", b"mime-version")
_MOST_HEADERS = 1_000
_FILENAME_CHARACTERS = 120
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]+")

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class File:
    """One attachment."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""


def header_block(block: bytes) -> list[Header]:
    """Return the headers of a block as it stood in the mail, unfolded."""
    found: list[Header] = []
    for line in _LINE_END.split(block):
        if line[:1] in (b" ", b"\t") and found:
            name, value = found[-1]
            found[-1] = (name, value + line) if len(value) < 100_000 else found[-1]  # noqa: PLR2004  (bytes: no header is so long)
            continue
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.strip(), value.strip()))
    return found[:_MOST_HEADERS]


def header(name: str, value: str) -> Header:
    """Return a header of text."""
    return name.encode("utf-8", "replace"), value.encode("utf-8", "replace")


def compose(headers: Iterable[Header], text: str, html: str, files: Sequence[File]) -> bytes:
    """Return the mail as RFC 5322 bytes, the same for the same parts.

    What the headers said of the old body is left out. No value can add a header or a part.
    """
    head = b"".join(
        name + b": " + _CONTROLS.sub(b" ", value) + b"\r\n"
        for name, value in headers
        if _NAME.fullmatch(name) and not name.lower().startswith(_ABOUT_THE_BODY)
    )
    parts = [_text_part("plain", text)] if text or not html else []
    parts += [_text_part("html", html)] if html else []
    if len(parts) > 1 and files:
        parts = [_wrapped("alternative", parts)]
    parts += [_file_part(file) for file in files]
    kind = "mixed" if files else "alternative"
    body = parts[0] if len(parts) == 1 else _wrapped(kind, parts)
    return head + b"MIME-Version: 1.0\r\n" + body


def _text_part(kind: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head.encode() + data


def _file_part(file: File) -> bytes:
    kind = file.content_type.partition(";")[0].strip()
    lines = [f"Content-Type: {kind if _TYPE.fullmatch(kind) else 'application/octet-stream'}"]
    name = quote(file.name[-_FILENAME_CHARACTERS:], safe="", errors="replace")
    lines.append(f"Content-Disposition: attachment; filename*=utf-8''{name}")
    if file.content_id:
        lines.append(f"Content-ID: <{re.sub(r'[^!-~]|[<>]', '', file.content_id)[:200]}>")
    lines.append("Content-Transfer-Encoding: base64\r\n\r\n")
    return "\r\n".join(lines).encode() + base64.encodebytes(file.content)


def _wrapped(kind: str, parts: Sequence[bytes]) -> bytes:
    boundary = hashlib.sha256(b"\0".join(parts)).hexdigest()[:40].encode()
    head = b"Content-Type: multipart/" + kind.encode() + b'; boundary="' + boundary + b'"\r\n\r\n'
    inner = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return head + inner + b"--" + boundary + b"--\r\n"
