"""Erasure of what notifier holds of a person: nothing more is sent, and no word or address stays.

What became of each message stays, without to whom: `sends` must know what was sent, should the log be read
again, and reports count.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.common import DeliveryStatus
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasure, Erasures
from services.chassis.mongo import Database, Document
from services.notifier.domain import State
from services.notifier.webhooks.post_store import Posts

ERASED = "erased"
"""Code of a message that was not sent, as its Customer was erased."""
_KEPT_EVENT = "customer.erased"
_PERSONAL = ("record", "visitor", "recipient", "error_detail", "outbox", "head", "claim", "claimed_until")


@dataclass
class Erasing:
    """Erases people from this service's database."""

    database: Database
    posts: Posts
    clock: Clock = utc_now

    def __post_init__(self) -> None:
        self._sends = self.database["sends"]

    async def prepare(self) -> None:
        """Create the indexes by which a Customer's documents are found."""
        await self._sends.create_index("home", name="by_home")
        await self.database["consents"].create_index("home", name="by_home", sparse=True)
        await self.posts.collection.create_index("customer_id", name="by_customer")

    async def erase(self, erasure: Erasure) -> None:
        """Forget the person; may be done again at any time.

        A request that is under way is not called back: its message is cleared when it has ended, or at
        the next round.
        """
        theirs: Document = {"home": {"$in": list(erasure.homes)}}
        await self._forget_receipts(theirs)
        await self._sends.update_many(
            {**theirs, "state": State.WAITING.value},
            {
                "$set": {
                    "state": State.FINISHED.value,
                    "status": DeliveryStatus.FAILED.value,
                    "error_code": ERASED,
                    "error_kind": ERASED,
                },
                "$inc": {"version": 1},
            },
        )
        cleared = {"$unset": dict.fromkeys(_PERSONAL, ""), "$inc": {"version": 1}}
        await self._sends.update_many({**theirs, "state": State.FINISHED.value}, cleared)
        await self.database["consents"].delete_many(theirs)
        await self.database["sends_stuck"].delete_many({"key": {"$in": list(erasure.homes)}})
        await self.posts.erase(erasure.homes, _KEPT_EVENT)

    async def _forget_receipts(self, theirs: Document) -> None:
        """Forget what waits, by the names their messages have: those are found before they are cleared."""
        names, recipients = set[str](), set[str]()
        shown = {"provider_key": 1, "recipient": 1}
        async for row in self._sends.find(theirs, shown):
            names |= {row["provider_key"]} if row.get("provider_key") else set()
            recipients |= {row["recipient"]} if row.get("recipient") else set()
        await self.database["parked"].delete_many({"key": {"$in": list(names)}})
        await self.database["parts"].delete_many({"_id": {"$in": list(names)}})
        await self.database["watermarks"].delete_many({"_id": {"$in": list(recipients)}})


class FeedMemory:
    """Lets the feed of this replica forget who is erased: each has the latest events in memory."""

    def __init__(
        self, erasures: Erasures, forget: Callable[[Collection[str]], None], clock: Clock = utc_now
    ) -> None:
        self._erasures, self._forget, self._clock = erasures, forget, clock
        self._since: datetime = clock() - timedelta(hours=1)

    async def look(self) -> None:
        """Forget whoever was erased since the last look, and the few minutes before it."""
        now = self._clock()
        for erasure in await self._erasures.since(self._since):
            self._forget(erasure.homes)
        self._since = now - timedelta(minutes=5)
