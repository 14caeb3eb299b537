"""Past Conversations as the database has them, for dry runs of rules."""

from collections.abc import AsyncIterator
from datetime import datetime

from pydantic import TypeAdapter
from pymongo import ASCENDING, DESCENDING

from services.chassis.mongo import Collection, Document
from services.conversation.domain.draft import TimelineRow
from services.conversation.domain.model import Conversation

_CONVERSATIONS = TypeAdapter(Conversation)
_OWN = frozenset({"_id", "home", "at", "received_at", "seq", "kind", "conversation_id"})


class Past:
    """Implements dry_run.History."""

    def __init__(self, conversations: Collection, timeline: Collection) -> None:
        self._conversations = conversations
        self._timeline = timeline

    async def opened(self, since: datetime, until: datetime, limit: int) -> AsyncIterator[Conversation]:
        """Give the Conversations opened in between, the newest first."""
        found = self._conversations.find(
            {"opened_at": {"$gte": since, "$lt": until}},
            {"state": 1},
            sort=[("opened_at", DESCENDING), ("_id", DESCENDING)],
            limit=limit,
        )
        async for document in found:
            yield _CONVERSATIONS.validate_python(document["state"])

    async def told_of(self, conversation: Conversation, until: datetime, limit: int) -> list[TimelineRow]:
        """Return the earliest items of a Conversation's timeline, in the order in which they happened."""
        found = self._timeline.find(
            {"conversation_id": conversation.id, "at": {"$lt": until}},
            sort=[("at", ASCENDING), ("seq", ASCENDING), ("_id", ASCENDING)],
            limit=limit,
        )
        rows = [_row(document) async for document in found]
        return sorted(rows, key=lambda row: (row.received_at, row.seq))


def _row(document: Document) -> TimelineRow:
    return TimelineRow(
        id=document["_id"],
        home=document["home"],
        at=document["at"],
        received_at=document["received_at"],
        seq=document["seq"],
        kind=document["kind"],
        conversation_id=document["conversation_id"],
        fields={name: value for name, value in document.items() if name not in _OWN},
    )
