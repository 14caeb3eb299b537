"""HTML mail as plain text: a linear scan, since hostile nesting makes tree builders quadratic.

The result is shown as text, never as markup, so nothing needs to be sanitised here.
"""

import html
import re

_LONGEST = 2_000_000
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][A-Za-z0-9]*)[^<>]*>|<[!?][^<>]*>")
_BLOCK = re.compile(
    "address|article|blockquote|br|dd|div|d[lt]|fieldset|footer|form|h[1-6]|header|hr|li|main|nav|ol|p|pre"
    "|section|table|tr|ul"
)
_UNSEEN = ("script", "style", "head", "title", "template")
_UNSEEN_OPEN = re.compile(rf"<({'|'.join(_UNSEEN)})\b|<!--", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\xa0]+")
_GAPS = re.compile(r"\n{3,}")


def html_to_text(document: str) -> str:
    """Return what a reader of `document` sees, block elements on lines of their own."""
    flat = " ".join(_without_unseen(document[:_LONGEST]).split())
    text = _unescaped(_TAG.sub(_broken, flat))
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return _GAPS.sub("\n\n", "\n".join(lines)).strip()


def _broken(tag: re.Match[str]) -> str:
    name = (tag["name"] or "").lower()
    if name in ("p", "blockquote") and not tag["close"]:
        return "\n\n"
    return "\n" if _BLOCK.fullmatch(name) else " " if name in ("td", "th") else ""


def _without_unseen(document: str) -> str:
    """Return `document` without comments, scripts and styles; one never closed ends the document."""
    lower = document.lower()
    if len(lower) != len(document):  # some capitals grow when lowered, and positions would differ
        lower = document
    kept, position = [], 0
    while opening := _UNSEEN_OPEN.search(document, position):
        kept.append(document[position : opening.start()])
        closing = f"</{opening[1].lower()}" if opening[1] else "-->"
        end = lower.find(closing, opening.end())
        if end < 0:
            return "".join(kept)
        position = end + 3 if closing == "-->" else max(lower.find(">", end), end) + 1
    kept.append(document[position:])
    return "".join(kept)


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character reference of more digits than int() takes
        return text
