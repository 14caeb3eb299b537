"""Bytes to text, whatever charset they claim."""

import codecs

from charset_normalizer import from_bytes

_SAMPLE_BYTES = 32_768
_SAMPLE_NEEDED_BYTES = 64
"""Less text is guessed wrong more often than western European is the right guess."""
_NO_CHARSETS = frozenset(
    {"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
"""Codecs of Python's that are no charsets of mail; punycode takes quadratic time besides."""


def to_text(data: bytes, charset: str | None) -> str:
    """Decode `data` as `charset`, else as UTF-8, else as the charset it looks like. Never raises."""
    for name in (charset, "utf-8"):
        text = _strictly(data, name) if name else None
        if text is not None:
            return text
    return data.decode(_guess(data), "replace")


def _strictly(data: bytes, charset: str) -> str | None:
    try:
        codec = codecs.lookup(charset.strip(" \"'"))
        if codec.name.replace("_", "-") in _NO_CHARSETS:
            return None
        return data.decode(codec.name)
    except (LookupError, ValueError):
        return None


def _guess(data: bytes) -> str:
    if len(data) < _SAMPLE_NEEDED_BYTES:
        return "cp1252"
    best = from_bytes(data[:_SAMPLE_BYTES]).best()
    return best.encoding if best else "cp1252"
