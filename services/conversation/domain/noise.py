"""Which messages need nobody: recorded on the timeline, never waking or routing anything.

The rules, in this order; the first that fits decides. In doubt a message is not noise: an "ok" may answer a
question, thanks alone do not.

| | is |
|---|---|
| automatic mail, a reaction, a delivery report, anything else that a program wrote | noise |
| anything but plain text, or text with files | a message |
| a reaction that came as text: `Liked “…”`, or nothing but signs of approval: 👍 | noise |
| a text that is long, asks, or holds a digit or another sign | a message |
| nothing but thanks, and what goes with them, in one language | noise |
| nothing but a greeting, in one language | a greeting |
| anything else | a message |
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.conversation.domain.noise_words import APPROVING, LANGUAGES, Language


class Weight(StrEnum):
    """What a message asks of us."""

    MESSAGE = "message"
    GREETING = "greeting"
    NOISE = "noise"


Words = tuple[str, ...]

_NOISE_KINDS = frozenset({"reaction", "delivery_report", "system", "read", "complaint", "unsubscribe"})
_LONGEST = 120
_MOST_SIGNS = 20
_WORD = re.compile(r"\w+", re.UNICODE)
_REACTION = re.compile(
    r"(Liked|Loved|Laughed at|Emphasized) (an? \w+|[“\"].+[”\"])"
    rf"|Reacted [{APPROVING}]\ufe0f? to [“\"].+[”\"]",
    re.DOTALL,
)
"""How phones tell of a reaction. `Questioned` and `Disliked` ask for somebody."""
_QUESTIONS = frozenset("?？¿؟⁇⁈⁉՞;")  # noqa: RUF001  (they look alike, and are different)
_WEAVE = frozenset("\ufe0e\ufe0f\u200d\u200b\u2640\u2642") | {chr(code) for code in range(0x1F3FB, 0x1F400)}
"""Parts of composed signs: variants, joiners, tones of skin."""
_PLAIN_SIGNS = frozenset(".,!…'’\"“”„«»()-–—:~*_&+/\\|。、！，،·¡👋")  # noqa: RUF001  (so people write)
_SMILES = re.compile(r"(?<!\w)[:;=]-?[)D]+|<3|\^\^|\bxx?\b")


@dataclass(frozen=True, slots=True)
class _Known:
    thanks: frozenset[Words]
    with_thanks: frozenset[Words]
    greetings: frozenset[Words]


def weigh(kind: str, text: str, *, automatic: bool, files: bool = False) -> Weight:
    """Return what a message of this provider type and text, with or without files, asks of us."""
    if automatic or kind in _NOISE_KINDS:
        return Weight.NOISE
    if kind != "text" or files:
        return Weight.MESSAGE
    bare = text.strip()
    if _REACTION.fullmatch(bare) or _approves(bare):
        return Weight.NOISE
    return _by_words(bare)


def _by_words(text: str) -> Weight:
    said = _SMILES.sub(" ", text)
    if len(text) > _LONGEST or not _plain(said):
        return Weight.MESSAGE
    words = _words(said)
    for known in _KNOWN:
        if _made_of(words, known.with_thanks) and _holds(words, known.thanks):
            return Weight.NOISE
        if _made_of(words, known.greetings):
            return Weight.GREETING
    return Weight.MESSAGE


def _approves(text: str) -> bool:
    signs = [char for char in text if not char.isspace() and char not in _WEAVE]
    return 0 < len(signs) <= _MOST_SIGNS and all(sign in APPROVING for sign in signs)


def _plain(text: str) -> bool:
    """Tell whether it asks nothing, holds no digit, and no sign that could say more than its words."""
    return all(_is_plain(char) for char in text)


def _is_plain(char: str) -> bool:
    if char in _QUESTIONS or char.isdigit():
        return False
    if char.isspace() or char in _PLAIN_SIGNS or char in APPROVING or char in _WEAVE:
        return True
    return unicodedata.category(char)[0] in "LM"


def _words(text: str) -> Words:
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _made_of(words: Words, phrases: Collection[Words]) -> bool:
    """Tell whether the words are nothing but phrases, one after the other."""
    longest = max(map(len, phrases), default=0)
    ends = {0}
    for start in range(len(words)):
        if start in ends:
            ends |= {
                end
                for end in range(start + 1, min(start + longest, len(words)) + 1)
                if words[start:end] in phrases
            }
    return bool(words) and len(words) in ends


def _holds(words: Words, phrases: Collection[Words]) -> bool:
    return any(
        words[start:end] in phrases for start in range(len(words)) for end in range(start + 1, len(words) + 1)
    )


def _phrases(*texts: str) -> frozenset[Words]:
    return frozenset(words for text in texts for phrase in text.split(",") if (words := _words(phrase)))


def _known(language: Language) -> _Known:
    return _Known(
        _phrases(language.thanks),
        _phrases(language.thanks, language.beside),
        _phrases(language.greetings),
    )


_KNOWN: Sequence[_Known] = tuple(map(_known, LANGUAGES.values()))
