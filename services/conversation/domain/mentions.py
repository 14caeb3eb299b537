"""Agents named in a note: `@ana`."""

import re

MOST_MENTIONS = 20
_MENTION = re.compile(r"(?<![\w@.+/-])@(\w[\w.-]{0,99})", re.UNICODE)
"""Not within a mail address, a path or another mention."""


def named(text: str) -> tuple[str, ...]:
    """Return the ids that a note names, as written, each once whatever its case; of too many the first.

    A full stop or hyphen at the end belongs to the sentence. Whether there is such an Agent is for others.
    """
    found: dict[str, str] = {}
    for match in _MENTION.finditer(text):
        name = match[1].rstrip(".-")
        if text[match.end() : match.end() + 1] != "@":
            found.setdefault(name.casefold(), name)
    return tuple(found.values())[:MOST_MENTIONS]
