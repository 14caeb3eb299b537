"""Topics: nested by slash, several to a Conversation. `returns` covers `returns/damaged`."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StringConstraints

MOST_TOPICS = 20
LONGEST_TOPIC = 100


def normalised(topic: str) -> str:
    """Return the Topic in small letters, without spaces or slashes around it."""
    return topic.lower().strip().strip("/")


def _normalised(given: object) -> object:
    return normalised(given) if isinstance(given, str) else given


Topic = Annotated[
    str,
    BeforeValidator(_normalised),
    StringConstraints(pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$", max_length=LONGEST_TOPIC),
]


def distinct(topics: Iterable[str]) -> tuple[str, ...]:
    """Return each Topic once, in the order in which they come first."""
    return tuple(dict.fromkeys(topics))


Topics = Annotated[tuple[Topic, ...], AfterValidator(distinct)]


def added(topics: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Return `topics` with `more`; of too many the oldest go."""
    return distinct((*topics, *more))[-MOST_TOPICS:]


def covers(wanted: str, topics: Iterable[str]) -> bool:
    """Tell whether one of `topics` is `wanted` or below it."""
    return any(topic == wanted or topic.startswith(f"{wanted}/") for topic in topics)


def found_by(topics: Iterable[str]) -> list[str]:
    """Return every Topic by which a Conversation with `topics` is to be found: these and those above."""
    return list(
        dict.fromkeys(
            "/".join(parts[: depth + 1]) for parts in map(_parts, topics) for depth in range(len(parts))
        )
    )


def _parts(topic: str) -> list[str]:
    return topic.split("/")
