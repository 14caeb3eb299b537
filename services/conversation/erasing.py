"""Erasure of what conversation holds of a person: threads emptied, words gone, numbers kept."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas import ids
from services.chassis.attachments import Attachments
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasure
from services.chassis.idempotency import Commands as Once
from services.chassis.mongo import Database, Document
from services.conversation.domain.draft import Draft
from services.conversation.domain.erasure import erase
from services.conversation.domain.model import Thread
from services.conversation.handlers import MOST_TRIES, Loaded, ThreadStore

KEPT_OF_ITEMS = (
    *("home", "at", "received_at", "seq", "kind", "conversation_id", "contact_id"),
    *("channel", "account", "direction", "type", "agent", "automatic", "late", "noise"),
    *("status", "status_seq", "error_code", "error_kind", "started_at", "ended_at", "duration_seconds"),
    *("before", "after", "inbox"),
)
"""What stays of a timeline's item: what happened and when, with whom of ours. All else goes."""


@dataclass
class Erasing:
    """Erases people from this service's database, and their files from the store."""

    database: Database
    store: ThreadStore
    attachments: Attachments
    once: Once
    next_due: Callable[[Thread], datetime | None] = lambda _: None
    clock: Clock = utc_now

    def __post_init__(self) -> None:
        self._timeline = self.database["timeline"]
        self._conversations = self.database["conversations"]

    async def erase(self, erasure: Erasure) -> None:
        """Forget the person; may be done again at any time.

        First the thread, which then takes nothing more; its outbox is drained before the rows are cleared,
        so that nothing of it comes after. Files are found by the rows, and so go before them.
        """
        homes = sorted(erasure.homes)
        await self._empty(homes)
        await self.attachments.erase(*await self._files(homes))
        await self._clear(homes)
        await self.once.forget([*homes, *await self._conversation_ids(homes)])

    async def _empty(self, homes: Sequence[str]) -> None:
        todo = list(homes)
        for _ in range(MOST_TRIES):
            loaded = await self.store.own(todo)
            changed = [item for item in loaded.values() if self._decided(item)]
            lost = await self.store.save(changed, self.next_due)
            saved = [item for who, item in loaded.items() if who not in lost]
            await self.store.drain(saved)
            todo = [who for who, item in loaded.items() if who in lost or item.pending]
            if not todo:
                return
        raise TimeoutError

    def _decided(self, item: Loaded) -> bool:
        """Return whether there is something to save; what waits in the outbox goes out before."""
        if item.pending or item.thread.erased:
            return False
        cause = ids.derive("erasure", item.thread.customer_id)
        draft = Draft(item.thread, cause, cause, self.clock(), item.thread.customer_id)
        erase(draft)
        item.take(draft)
        return True

    async def _files(self, homes: Sequence[str]) -> tuple[set[str], set[str]]:
        """Return ids of attachments, and references of what else was kept of messages."""
        files, blobs = set[str](), set[str]()
        shown = {"attachments.id": 1, "blobs": 1}
        async for row in self._timeline.find({"home": {"$in": list(homes)}}, shown):
            files |= {each["id"] for each in row.get("attachments") or () if "id" in each}
            blobs |= set(row.get("blobs") or ())
        return files, blobs

    async def _clear(self, homes: Sequence[str]) -> None:
        theirs = {"$in": list(homes)}
        kept: Document = dict.fromkeys(KEPT_OF_ITEMS, 1)
        await self._timeline.update_many({"home": theirs}, [{"$project": kept}, {"$set": {"erased": True}}])
        nameless: dict[str, Any] = {
            "$map": {"input": "$state.contacts", "in": {"$mergeObjects": ["$$this", {"address": ""}]}}
        }
        await self._conversations.update_many(
            {"$or": [{"home": theirs}, {"customer_id": theirs}]},
            [{"$set": {"erased": True, "state.contacts": nameless}}],
        )
        await self.database["tickets"].update_many(
            {"home": theirs}, {"$set": {"erased": True, "state.links": []}}
        )
        await self.database["tasks"].delete_many({"home": theirs})
        await self.database["addresses"].delete_many({"_id": theirs})
        await self.database["threads_stuck"].delete_many({"key": theirs})
        for home in homes:
            await self.database["customers"].update_one(
                {"_id": home}, {"$set": {"known": False, "erased": True}}, upsert=True
            )

    async def _conversation_ids(self, homes: Collection[str]) -> list[str]:
        found = self._conversations.find({"home": {"$in": list(homes)}}, {"_id": 1})
        return [row["_id"] async for row in found]
