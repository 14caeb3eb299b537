"""Text as it came from outside, made fit to store and show."""

import json
import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+|\+?\d(?:[ ().-]{0,2}\d){7,}")
"""A mail address, or eight digits and more as numbers are written."""
REPLACEMENT = "\ufffd"
PROVIDER_ID_CHARACTERS = 998
"""Of a provider's id of a message, as far as it is kept: a line of a mail (RFC 5322, 2.1.1)."""


def clean(text: str) -> str:
    """Return `text` with U+0000 and lone surrogates replaced by U+FFFD.

    Neither has a UTF-8 or BSON form. Everything else stays, markup and bidi controls included:
    showing text as text is the business of whoever shows it.
    """
    return _UNSTORABLE.sub(REPLACEMENT, text)


def raw_form(text: str) -> str | None:
    """Return `text` as an ASCII JSON string literal where `clean` would change it, else None."""
    return json.dumps(text) if _UNSTORABLE.search(text) else None


def without_addresses(text: str | None) -> str | None:
    """Return a provider's words on an error without the mail addresses and numbers they quote."""
    return _ADDRESS.sub("…", text) if text else text


def line(text: str, limit: int) -> str:
    """Return `text` cleaned, on one line, of at most `limit` characters."""
    return " ".join(clean(text).split())[:limit]
