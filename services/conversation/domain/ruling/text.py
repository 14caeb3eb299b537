"""What a Customer said, made comparable."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

_PATTERN_BYTES = 1 << 20
_PATTERNS = 1000
_LONGEST = 20_000
"""Of a text, as far as rules look at it, in characters."""
_WORD = re.compile(r"\w+", re.UNICODE)


def phrase(text: str) -> str:
    """Return the words of `text` in one form, each with a space before and after it."""
    return f" {' '.join(_WORD.findall(folded(text)))} "


def folded(text: str) -> str:
    """Return `text` without differences of case and width."""
    return unicodedata.normalize("NFKC", text).casefold()


@lru_cache(_PATTERNS)
def compiled(pattern: str) -> Any:  # noqa: ANN401  (the library has no types)
    """Return the RE2 expression. Raises re2.error."""
    options = re2.Options()
    options.max_mem = _PATTERN_BYTES
    options.log_errors = False
    return re2.compile(pattern, options)


@dataclass(frozen=True, slots=True)
class Said:
    """A text in the forms that conditions look at."""

    raw: str = ""
    folded: str = ""
    words: str = ""

    @classmethod
    def of(cls, text: str) -> "Said":
        """Prepare the text once for all rules."""
        cut = text[:_LONGEST]
        return cls(cut, folded(cut), phrase(cut)) if cut else cls()
