"""Changes inputs in their structure: bytes that are changed blindly are hardly ever JSON any more."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Blind = Callable[[bytes, int], bytes]
_LEAVES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**63), 10**30, [], {}, [[]], [None], {"": None}),
    *("", " ", "0", "-1", "1e9", "9" * 30, "9" * 5_000, "x" * 70_000, "\x00", "\ud800", "\udfff\ud800"),
    *("²", "١٢٣", "a\r\nb: c", "\u202e", "{}", "[", "<x@y>", "a@b.example", "+15551230001", "nan"),
    *("2026-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "https://[::1"),
)
_MOST_NODES = 2_000
_DEPTHS = (50, 900, 1_500)


def changed(data: bytes, most: int, seed: int, blind: Blind, head_lines: int) -> bytes:
    """Return `data` changed, its JSON by structure where it has some after `head_lines` lines."""
    random = Random(seed)  # noqa: S311  (inputs, no secrets)
    *head, body = data.split(b"\n", head_lines)
    if random.random() < 0.25:
        return blind(data, most)
    try:
        root = [json.loads(body)]
        for _ in range(random.randint(1, 3)):
            _change(root, random, blind)
        made = b"\n".join([*head, json.dumps(root[0]).encode()])
    except (ValueError, RecursionError):
        return blind(data, most)
    return made if len(made) <= most else blind(data, most)


def _change(root: list[Any], random: Random, blind: Blind) -> None:
    places = list(_places(root))
    holder, key = random.choice(places)
    value, choice = holder[key], random.randrange(8)
    if choice == 0 and holder is not root:
        del holder[key]
    elif choice == 1:
        other, place = random.choice(places)
        holder[key] = json.loads(json.dumps(other[place]))
    elif choice == 2:
        holder[key] = random.choice(([value], {"id": value}, [value, value], [value] * 20))
    elif choice == 3:
        for _ in range(random.choice(_DEPTHS)):
            value = [value]
        holder[key] = value
    elif choice == 4 and isinstance(holder, list) and holder is not root:
        holder.insert(key, value)
    elif choice in (5, 6) and isinstance(value, str):
        holder[key] = _text(value, random, blind)
    else:
        holder[key] = random.choice(_LEAVES)


def _text(value: str, random: Random, blind: Blind) -> str:
    """Return the text changed; JSON inside of it by structure too."""
    if value[:1] in ("{", "["):
        data = value.encode("utf-8", "surrogatepass")
        return changed(data, 100_000, random.getrandbits(30), blind, 0).decode("utf-8", "replace")
    data = value.encode("utf-8", "surrogatepass")
    return blind(data, len(data) + 64).decode("utf-8", "surrogateescape")


def _places(root: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Give (container, key) of every value."""
    waiting, given = [root], 0
    while waiting:
        holder: Any = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            given += 1
            if given > _MOST_NODES:
                return
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
