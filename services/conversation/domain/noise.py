"""Which messages need nobody: recorded on the timeline, never waking or routing anything.

In doubt a message is not noise: an "ok" may answer a question, thanks alone do not.
"""

import re
from enum import StrEnum


class Weight(StrEnum):
    """What a message asks of us."""

    MESSAGE = "message"
    GREETING = "greeting"
    NOISE = "noise"


_NOISE_KINDS = frozenset({"reaction", "delivery_report", "system", "read", "complaint", "unsubscribe"})
_THANKS = frozenset(
    {"thanks", "thank", "thx", "ty", "cheers", "danke", "dankeschön", "merci", "gracias", "grazie"}
    | {"obrigado", "obrigada", "bedankt", "tack"}
)
_WITH_THANKS = frozenset(
    {"you", "u", "so", "very", "much", "a", "lot", "again", "for", "your", "the", "all", "help", "that", "it"}
    | {"this", "worked", "works", "did", "fixed", "solved", "perfect", "great", "awesome", "problem"}
    | {"vielen", "schön", "sehr", "bien", "mucho", "muchas", "mille", "beaucoup", "und"}
)
_GREETINGS = frozenset(
    {"hi", "hello", "hey", "hallo", "moin", "servus", "bonjour", "salut", "hola", "ciao", "olá", "good"}
    | {
        "morning",
        "afternoon",
        "evening",
        "day",
        "guten",
        "tag",
        "morgen",
        "abend",
        "there",
        "team",
        "everyone",
    }
)
_LONGEST = 60
_WORD = re.compile(r"\w+", re.UNICODE)


def weigh(kind: str, text: str, *, automatic: bool) -> Weight:
    """Return what a message of this provider type and text asks of us."""
    if automatic or kind in _NOISE_KINDS:
        return Weight.NOISE
    if kind != "text" or len(text) > _LONGEST or "?" in text or any(char.isdigit() for char in text):
        return Weight.MESSAGE
    words = set(_WORD.findall(text.lower()))
    if words & _THANKS and words <= _THANKS | _WITH_THANKS:
        return Weight.NOISE
    if words and words <= _GREETINGS:
        return Weight.GREETING
    return Weight.MESSAGE
