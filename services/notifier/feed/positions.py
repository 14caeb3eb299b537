"""The place of a stream in the log: the next offset of every partition, as one opaque text.

A byte for the version, then one unsigned LEB128 number a partition, topics and partitions in order; all
of it in base64url without padding. Any replica reads what another wrote.
"""

import base64
import binascii
from collections.abc import Mapping

from schemas.topics import CONVERSATIONS_EVENTS, ROUTING_DECISIONS, Topic

FEED_TOPICS: tuple[Topic, ...] = (CONVERSATIONS_EVENTS, ROUTING_DECISIONS)
Position = tuple[str, int]
"""Topic name and partition."""
PARTITIONS: tuple[Position, ...] = tuple(
    (topic.name, number) for topic in FEED_TOPICS for number in range(topic.partitions)
)
Vector = Mapping[Position, int]
_VERSION = 1
_LONGEST = 1000
_MOST_BITS = 63


def encode(vector: Vector) -> str:
    """Return the text of a vector that has every partition of the feed."""
    out = bytearray((_VERSION,))
    for position in PARTITIONS:
        number = vector[position]
        while number > 0x7F:  # noqa: PLR2004  (LEB128: seven bits a byte)
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return base64.urlsafe_b64encode(out).decode().rstrip("=")


def decode(text: str) -> dict[Position, int] | None:
    """Return the vector, None when the text is not one of ours."""
    if len(text) > _LONGEST or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if not raw or raw[0] != _VERSION:
        return None
    numbers = _numbers(raw[1:])
    if numbers is None or len(numbers) != len(PARTITIONS):
        return None
    return dict(zip(PARTITIONS, numbers, strict=True))


def _numbers(raw: bytes) -> list[int] | None:
    numbers, number, bits = [], 0, 0
    for byte in raw:
        if bits > _MOST_BITS:
            return None
        number |= (byte & 0x7F) << bits
        bits += 7
        if byte < 0x80:  # noqa: PLR2004  (LEB128: the last byte of a number)
            numbers.append(number)
            number, bits = 0, 0
    return None if bits else numbers
