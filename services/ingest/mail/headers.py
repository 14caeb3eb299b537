"""Headers of a mail, decoded without Python's own header parser.

That one raises IndexError on `Message-ID: <[x]@y>`, ValueError on an encoded CR LF, LookupError
on an unknown charset (measured on 3.11). Encoded words: RFC 2047.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from email.utils import parseaddr

from services.chassis.text import clean
from services.ingest.mail.charsets import to_text

_ENCODED = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\r\n]*)\?=")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_MSG_ID = re.compile(r"<[^<>\s]+>")
_ANGLE = re.compile(r"<([^<>\s@]+@[^<>\s@]+)>")
_BETWEEN = re.compile(r"[\s<>,;:\"()]+")
_LONGEST_ID = 900


class Headers:
    """The headers of one mail; names without regard to case."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        """Take (name, value) as the parser gives them: folded, 8-bit bytes as surrogate escapes."""
        self._values: dict[str, list[str]] = {}
        for name, value in items:
            self._values.setdefault(name.lower(), []).append(_unfolded(value))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def raw(self, name: str) -> str:
        """Return the first value as it stands, unfolded, or an empty string."""
        return self._values.get(name, [""])[0]

    def text(self, name: str) -> str:
        """Return the first value with its encoded words decoded, on one line."""
        return " ".join(clean(decoded(self.raw(name))).split())

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the message ids of all headers of that name, each once, in their order."""
        found = (match for value in self._values.get(name, ()) for match in _MSG_ID.findall(value))
        return tuple(dict.fromkeys(clean(each) for each in found if len(each) <= _LONGEST_ID))

    def address(self, name: str) -> tuple[str, str]:
        """Return (display name, address) of the header's first mailbox; empty where there is none."""
        value = self.raw(name)
        try:
            shown, address = parseaddr(value)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            shown, address = "", ""
        if address.count("@") != 1:
            found = _ANGLE.search(value)
            address = found[1] if found else next(_bare(value), "")
        return " ".join(clean(decoded(shown)).split()), clean(address)

    def addresses(self, name: str) -> tuple[str, ...]:
        """Return whatever looks like an address in all headers of that name, in their order."""
        values = self._values.get(name, ())
        return tuple(clean(found) for value in values for found in _bare(value))


def _bare(value: str) -> Iterator[str]:
    """Give the words of `value` that look like an address."""
    for word in _BETWEEN.split(value):
        local, at, domain = word.partition("@")
        if local and at and domain and "@" not in domain:
            yield word


def decoded(value: str) -> str:
    """Return `value` with its encoded words decoded; white space between two of them goes.

    Neighbours of one charset are joined before decoding: a character may be split over two words.
    """
    text = _repaired(value)
    pieces: list[str] = []
    pending: list[bytes] = []
    charset, end = "", 0
    for word in _ENCODED.finditer(text):
        between, data = text[end : word.start()], _word_bytes(word[2], word[3])
        name = word[1].partition("*")[0].lower()
        adjacent = bool(pending) and not between.strip()
        if pending and not (adjacent and name == charset):
            pieces.append(to_text(b"".join(pending), charset))
            pending = []
        if not adjacent:
            pieces.append(between)
        pending.append(data)
        charset, end = name, word.end()
    if pending:
        pieces.append(to_text(b"".join(pending), charset))
    return "".join([*pieces, text[end:]])


def _word_bytes(encoding: str, payload: str) -> bytes:
    raw = payload.encode("ascii", "replace")
    if encoding in "qQ":
        return _HEX.sub(lambda found: bytes([int(found[1], 16)]), raw.replace(b"_", b" "))
    try:
        return base64.b64decode(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return raw


def _repaired(value: str) -> str:
    """Return `value` with its 8-bit bytes, which have no charset, read as text."""
    if value.isascii():
        return value
    return to_text(value.encode("utf-8", "surrogateescape"), None)


def _unfolded(value: str) -> str:
    return value.replace("\r", "").replace("\n", "")
