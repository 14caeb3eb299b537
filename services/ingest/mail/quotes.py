"""Where the new words of a mail end and the quoted mail begins.

The languages' patterns are mail-parser-reply's. On long lines they take cubic time (13,000
characters: minutes), so they are only shown short windows that can hold a header of a quote.
"""

import re
from functools import lru_cache

from mailparser_reply.parser import EmailMessage  # type: ignore[import-untyped]

_LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "sv", "pl")
_WINDOW_LINES = 4
_WINDOW_CHARACTERS = 320
_LINES = 2000
_WINDOWS = 30
_RULE = re.compile(r"_{32,}|-{5,} ?[^-]{1,60} ?-{5,}")
_FIELD = re.compile(r"[>* ]*[^\W\d]{1,20}[* ]{0,3}:")
_ADDRESS_OR_YEAR = re.compile(r"@|\b[0-9]{4}\b")


def split_quotes(text: str) -> tuple[str, str]:
    """Return the part of `text` its sender wrote above the quoted mail, and that mail.

    With words between or below quoted lines (an inline answer), or none above, all is the sender's.
    """
    lines = [line.strip() for line in text.split("\n")]
    top, rest = _split(lines)
    if not any(lines[:top]) or _answers_inline(lines[rest:]):
        return text.strip(), ""
    own = text.split("\n")
    return "\n".join(own[:top]).strip(), "\n".join(own[top:]).strip("\n")


def _split(lines: list[str]) -> tuple[int, int]:
    """Return where the quote's header begins and where the lines after that header begin."""
    windows = 0
    for index, line in enumerate(lines[:_LINES]):
        if windows == _WINDOWS:
            break
        if line and _may_begin_quote(lines, index):
            windows += 1
            if _RULE.fullmatch(line):
                return index, index + 1
            if found := _header().match("\n".join(_window(lines, index))):
                return index, index + 1 + found[0].strip().count("\n")
    start = _trailing_quote(lines)
    return start, start


def _may_begin_quote(lines: list[str], index: int) -> bool:
    following = lines[index : index + 4]
    fields = sum(bool(_FIELD.match(each)) for each in following)
    told = any(_ADDRESS_OR_YEAR.search(each[:_WINDOW_CHARACTERS]) for each in following)
    if _RULE.fullmatch(lines[index]) or _FIELD.match(lines[index]):
        return fields > 2 or (fields > 1 and any("@" in each for each in following))  # noqa: PLR2004  (three say it)
    return told and any(each.endswith(":") for each in following[:3])


def _trailing_quote(lines: list[str]) -> int:
    """Return where the last lines, all quoted, begin, with the line that introduces them."""
    start = len(lines)
    while start and (not lines[start - 1] or lines[start - 1][0] == ">"):
        start -= 1
    if not any(lines[start:]):
        return len(lines)
    introduced = (
        start
        and lines[start - 1].endswith(":")
        and _ADDRESS_OR_YEAR.search(lines[start - 1][:_WINDOW_CHARACTERS])
    )
    return start - 1 if introduced else start


def _answers_inline(rest: list[str]) -> bool:
    first = next((index for index, line in enumerate(rest) if line[:1] == ">"), None)
    return first is not None and any(line and line[0] != ">" for line in rest[first:])


def _window(lines: list[str], index: int) -> list[str]:
    window, room = [], _WINDOW_CHARACTERS
    for line in lines[index : index + _WINDOW_LINES]:
        if len(line) > room:
            break
        window.append(line)
        room -= len(line)
    return window


@lru_cache(maxsize=1)
def _header() -> re.Pattern[str]:
    pattern: re.Pattern[str] = EmailMessage(text="", languages=list(_LANGUAGES)).HEADER_REGEX
    return pattern
