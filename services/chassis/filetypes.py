"""What a file is, by its bytes; under which type it is served; what it is called."""

import mimetypes
import re
from urllib.parse import quote

import filetype

from services.chassis.text import clean

UNKNOWN = "application/octet-stream"
_SHOWN = frozenset(
    {
        *(f"image/{kind}" for kind in ("jpeg", "png", "apng", "gif", "webp", "bmp", "tiff", "heic", "avif")),
        *(f"audio/{kind}" for kind in ("aac", "mpeg", "mp4", "ogg", "x-flac", "x-wav", "amr")),
        *(f"video/{kind}" for kind in ("mp4", "3gpp", "x-m4v", "quicktime", "mpeg", "webm")),
        "application/pdf",
        "text/plain",
    }
)
"""Shown by a browser where it is; nothing in them can act for our origin."""
_ZIPPED_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_SAVED = frozenset(
    {
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        *(f"{_ZIPPED_OFFICE}.{kind}" for kind in ("wordprocessingml.document", "spreadsheetml.sheet")),
        f"{_ZIPPED_OFFICE}.presentationml.presentation",
        *(f"{_OPEN}.{kind}" for kind in ("text", "spreadsheet", "presentation")),
        "application/rtf",
        "application/zip",
        "application/gzip",
        "application/x-7z-compressed",
        "application/x-rar-compressed",
        "application/x-tar",
        "application/epub+zip",
        "text/csv",
        "text/vcard",
        "text/calendar",
    }
)
"""Saved under its own type, but not shown."""
SERVED = _SHOWN | _SAVED
EXECUTABLE = "application/x-executable"
"""What every program of a machine is called here, whatever machine's."""
_PROGRAMS = frozenset({"application/x-msdownload", EXECUTABLE, "application/wasm"})
_PROGRAM_HEADS = (
    b"\x7fELF",
    *(bytes.fromhex(head) for head in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe")),
    b"dex\n",
    b"\x00asm",
)
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_OLE_TYPES = frozenset({"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"})
_TEXTS = frozenset({"text/csv", "text/vcard", "text/calendar"})
_MEDIA = ("image/", "audio/", "video/")
_SNIFFED_BYTES = 8192
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_NAME_CHARACTERS, _EXTENSION_CHARACTERS = 150, 16
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]")
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
"""What RFC 8187 lets stand besides letters and digits."""


def sniffed(data: bytes, declared: str | None = None) -> str:
    """Return the type that the bytes show; `declared` chooses only among what text may be.

    A program is `EXECUTABLE`; what is not known, and text with markup in it, `UNKNOWN`.
    """
    wanted = (declared or "").partition(";")[0].strip().lower()
    found = str(filetype.guess_mime(data[:_SNIFFED_BYTES]) or "")
    if data.startswith(_PROGRAM_HEADS) or (found in _PROGRAMS and b"\0" in data[:_SNIFFED_BYTES]):
        return EXECUTABLE
    if data.startswith(_OLE):  # its first bytes do not tell whose it is
        return next((kind for kind in (wanted, found) if kind in _OLE_TYPES), UNKNOWN)
    if not found or found in _PROGRAMS or found.startswith(_MEDIA):
        text = _text(data, wanted)  # a few letters are enough to be taken for a picture
        if text != UNKNOWN:
            return text
    return found if found in SERVED else UNKNOWN


def _text(data: bytes, declared: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return UNKNOWN
    if not text.strip() or _CONTROLS.search(text) or text.lstrip().startswith(("<", "#!")):
        return UNKNOWN
    return declared if declared in _TEXTS else "text/plain"


def is_shown(content_type: str) -> bool:
    """Tell whether a browser may show it in place; everything else is for saving."""
    return content_type in _SHOWN


def safe_name(name: str | None, content_type: str, fallback: str) -> str:
    """Return a file name without a path, whatever system's, and without characters that deceive.

    Without a name it is `fallback` with the type's usual extension. Of a long name the start and the
    extension stay.
    """
    last = re.split(r"[/\\]", _UNPRINTABLE.sub("", clean(name or "")))[-1].strip().strip(".")
    last = " ".join(last.split()).replace('"', "'")
    if not last:
        return fallback + (mimetypes.guess_extension(content_type) or "")
    stem, dot, extension = last.rpartition(".")
    if len(last) <= _NAME_CHARACTERS or not dot or len(extension) > _EXTENSION_CHARACTERS:
        return last[:_NAME_CHARACTERS]
    return f"{stem[: _NAME_CHARACTERS - len(extension) - 1]}.{extension}"


def content_disposition(name: str, *, shown: bool) -> str:
    """Return the header's value: an ASCII name for all, and the whole one for who reads RFC 8187."""
    plain = "".join(each if each.isascii() and each.isprintable() else "_" for each in name)
    plain = plain.replace("\\", "_").replace('"', "_").replace("%", "_")
    whole = f"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS)}" if plain != name else ""
    return f'{"inline" if shown else "attachment"}; filename="{plain}"{whole}'
