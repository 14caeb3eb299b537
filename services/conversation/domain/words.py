"""The words by which text is found: folded in case, accents and compatibility forms."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

MOST_WORDS = 200
"""Distinct words of an item that it is found by, the first ones."""
LONGEST_WORD = 40
"""Characters; what is longer is found by its beginning."""
_MOST_READ = 100_000
"""Characters of a text that are looked at."""
_FIELDS = ("text", "subject", "title", "description", "number")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Runs of scripts that put no space between words: Thai, Lao, Kana, Han."""


def fold(text: str) -> str:
    """Return `text` without case, accents and compatibility forms: `Café` as `cafe`."""
    if text.isascii():
        return text.lower()
    bare = "".join(each for each in unicodedata.normalize("NFKD", text) if unicodedata.category(each) != "Mn")
    return unicodedata.normalize("NFC", bare.casefold())


def words_of(fields: Mapping[str, Any]) -> list[str]:
    """Return the words that a timeline item with these fields is found by, none twice."""
    found = (word for text in _texts(fields) for word in _words(text, ends=True))
    return list(islice(dict.fromkeys(found), MOST_WORDS))


def asked(query: str) -> tuple[str, ...]:
    """Return the words of a query in their order, none twice; the last may be the beginning of one."""
    return tuple(dict.fromkeys(reversed(list(_words(query, ends=False)))))[::-1]


def matches(words: Iterable[str], wanted: tuple[str, ...]) -> bool:
    """Tell whether an item with `words` has all that is wanted, the last one as a beginning."""
    *whole, last = wanted
    held = set(words)
    return held.issuperset(whole) and any(word.startswith(last) for word in held)


def _texts(fields: Mapping[str, Any]) -> Iterator[str]:
    for name in _FIELDS:
        if isinstance(text := fields.get(name), str):
            yield text
    for file in fields.get("attachments") or ():
        if isinstance(name := file.get("filename"), str):
            yield name


def _words(text: str, *, ends: bool) -> Iterator[str]:
    """`ends`: of unspaced script the last character too, so that every character begins some word."""
    folded = fold(text[:_MOST_READ])
    if folded.isascii():
        yield from (word[:LONGEST_WORD] for word in _WORD.findall(folded))
        return
    for word in _WORD.findall(folded):
        position = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > position:
                yield word[position : run.start()][:LONGEST_WORD]
            yield from _pairs(run.group(), ends=ends)
            position = run.end()
        if position < len(word):
            yield word[position:][:LONGEST_WORD]


def _pairs(run: str, *, ends: bool) -> Iterator[str]:
    for index in range(len(run) - 1):
        yield run[index : index + 2]
    if ends or len(run) == 1:
        yield run[-1]
