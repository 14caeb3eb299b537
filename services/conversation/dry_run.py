"""A dry run: what rules would have done with past Conversations. Nothing is changed, and nobody is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

from schemas.envelope import rfc3339
from services.conversation.domain.draft import TimelineRow
from services.conversation.domain.model import Conversation
from services.conversation.domain.ruling.definition import Rules
from services.conversation.domain.ruling.replay import Firing, replay

SHOWN = 50
"""Firings of one rule that are shown; all are counted."""
MOST_ITEMS = 5_000
"""Of a Conversation's timeline, the earliest."""
_TURN_SECONDS = 0.02


class History(Protocol):
    """Where past Conversations are read."""

    def opened(self, since: datetime, until: datetime, limit: int) -> AsyncIterator[Conversation]:
        """Give the Conversations opened in between, the newest first."""

    async def told_of(self, conversation: Conversation, until: datetime, limit: int) -> Sequence[TimelineRow]:
        """Return the earliest items of a Conversation's timeline, in the order in which they happened."""


@dataclass
class _Count:
    fired: int = 0
    conversations: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)


async def dry_run(
    history: History, rules: Rules, since: datetime, until: datetime, limit: int, seconds: float
) -> dict[str, Any]:
    """Play the rules over Conversations opened from `since` to `until`, and answer what each would have done.

    `cut` says why not everything was looked at: `limit` Conversations, `time` (`seconds`), or `items` of
    a Conversation with too many.
    """
    counts = {rule.name: _Count() for rule in rules.rules}
    end = monotonic() + seconds
    cut: set[str] = set()
    looked_at = 0
    async for conversation in history.opened(since, until, limit + 1):
        if looked_at == limit:
            cut.add("limit")
            break
        rows = await history.told_of(conversation, until, MOST_ITEMS + 1)
        if len(rows) > MOST_ITEMS:
            cut.add("items")
        fired = await _played(conversation, rows[:MOST_ITEMS], rules, until, end)
        if fired is None:
            cut.add("time")
            break
        looked_at += 1
        _add(counts, conversation, fired)
    return {
        "from": rfc3339(since),
        "to": rfc3339(until),
        "conversations": looked_at,
        "cut": sorted(cut),
        "rules": [
            {
                "name": name,
                "fired": count.fired,
                "conversations": count.conversations,
                "items": count.items,
                "more": count.fired > len(count.items),
            }
            for name, count in counts.items()
        ],
    }


async def _played(
    conversation: Conversation, rows: Sequence[TimelineRow], rules: Rules, until: datetime, end: float
) -> list[Firing] | None:
    """Return what would have fired; None when there was no time for all of it. Others get their turn."""
    fired: list[Firing] = []
    turn = monotonic()
    for step in replay(conversation, rows, rules, until):
        fired += step
        now = monotonic()
        if now > end:
            return None
        if now - turn > _TURN_SECONDS:
            await asyncio.sleep(0)
            turn = monotonic()
    return fired


def _add(counts: dict[str, _Count], conversation: Conversation, fired: Sequence[Firing]) -> None:
    for name in {firing.rule.name for firing in fired}:
        counts[name].conversations += 1
    for firing in fired:
        count = counts[firing.rule.name]
        count.fired += 1
        if len(count.items) < SHOWN:
            count.items.append(
                {
                    "conversation_id": conversation.id,
                    "customer_id": conversation.customer_id,
                    "at": rfc3339(firing.at),
                    "event": firing.event,
                    "actions": firing.actions,
                }
            )
