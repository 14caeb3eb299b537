"""A mail with attachments: the text and each file as a part of their own (RFC 2046, 2183, 2231)."""

import re
from base64 import encodebytes
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote

from services.notifier.channels.files import LoadedFile

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]{1,60}")
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
_SECTION_CHARACTERS = 60
_UNKNOWN = "application/octet-stream"


def with_files(text_part: bytes, files: Sequence[LoadedFile], seed: str) -> tuple[str, bytes]:
    """Return the value of Content-Type and the body of a mail of `text_part` and `files`.

    `text_part` has headers of its own. The boundary follows from `seed` and contents, so composing again
    gives the same bytes.
    """
    parts = [text_part, *map(_part, files)]
    boundary = _boundary(parts, seed)
    mark = f"--{boundary}".encode()
    body = b"".join(mark + b"\r\n" + part.rstrip(b"\r\n") + b"\r\n" for part in parts) + mark + b"--\r\n"
    return f'multipart/mixed;\r\n boundary="{boundary}"', body


def _boundary(parts: Sequence[bytes], seed: str) -> str:
    number = 0
    while True:
        boundary = "=_" + sha256(f"{seed}:{number}".encode()).hexdigest()[:40]
        if not any(boundary.encode() in part for part in parts):
            return boundary
        number += 1


def _part(file: LoadedFile) -> bytes:
    kind = file.content_type.lower()
    kind = kind if _TYPE.fullmatch(kind) and not kind.startswith(("multipart/", "message/")) else _UNKNOWN
    head = (
        f"Content-Type: {kind}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;{_filename(file.filename)}\r\n\r\n"
    )
    return head.encode() + encodebytes(file.data).replace(b"\n", b"\r\n")


def _filename(name: str) -> str:
    """Return the parameter: quoted where it is short ASCII, else as RFC 2231 has it, in sections."""
    if _PLAIN_NAME.fullmatch(name):
        return f'\r\n filename="{name}"'
    sections, section = [], ""
    for each in name:
        encoded = quote(each, safe=_ATTRIBUTE_CHARACTERS)
        if len(section) + len(encoded) > _SECTION_CHARACTERS:
            sections.append(section)
            section = ""
        section += encoded
    sections.append(section)
    if len(sections) == 1:
        return f"\r\n filename*=utf-8''{sections[0]}"
    sections[0] = f"utf-8''{sections[0]}"
    return ";".join(f"\r\n filename*{number}*={each}" for number, each in enumerate(sections))
