"""Where a Customer's attributes and name come from, and whose word counts when two differ.

Agents' words count most, then those of the operator's own system, then what a channel shows. An automatic
source changes what came from a source of its own rank or a lower one; what an Agent took away it does not
bring back. A command of the API is somebody's decision and always counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

_RANKS = {"channel": 1, "system": 2, "agent": 3}


@dataclass(frozen=True, slots=True)
class Source:
    """Who said it, as `agent:ana`, `system:shop` or `channel:chat`, and when."""

    by: str
    at: datetime

    @property
    def rank(self) -> int:
        """How much the word counts."""
        return _RANKS.get(self.by.partition(":")[0], 0)


Sources = Mapping[str, Source]
"""By name of the attribute; also of one that was taken away."""


def sourced(
    before: Mapping[str, str], sources: Sources, change: Mapping[str, str | None], source: Source
) -> dict[str, Source]:
    """Return the sources after a change. Who merely repeats what is known already changes nothing."""

    def is_news(name: str, value: str | None) -> bool:
        known = sources.get(name)
        return known is None or before.get(name) != value or known.by != source.by

    return {**sources, **{name: source for name, value in change.items() if is_news(name, value)}}


def heeded(
    before: Mapping[str, str], sources: Sources, offered: Mapping[str, str | None], source: Source
) -> dict[str, str | None]:
    """Return what of the attributes that an automatic source offers is to be taken.

    An attribute whose source nobody knows is taken for an Agent's. Of the same value nothing is taken, so
    that the source that said it first stays named.
    """

    def may(name: str, value: str | None) -> bool:
        known = sources.get(name)
        if before.get(name) == value:
            return False
        return source.rank >= known.rank if known else name not in before

    return {name: value for name, value in offered.items() if may(name, value)}
