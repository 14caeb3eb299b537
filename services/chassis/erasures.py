"""Erasures of Customers that the services still have to carry out: see docs/decisions/0018.

The collection `erasures` of the shared database. identity adds one; each service takes those that are due
to it, removes what it holds, and does so again later, for what was on its way meanwhile. The list holds
what the log must not, and forgets it once all is done.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ASCENDING, ReturnDocument, UpdateOne

from services.chassis.clock import Clock, utc_now
from services.chassis.logging import log
from services.chassis.mongo import Database, Document, bulk

AGAIN: tuple[timedelta, ...] = (timedelta(seconds=15), timedelta(minutes=2), timedelta(hours=1))
"""After these times from an erasure all is deleted once more: when nobody has a key in memory any more
(`keys.CACHE_SECONDS`), when the longest drain is over, and when a fault has held something up."""
_LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person to be forgotten."""

    customer_id: str
    homes: tuple[str, ...]
    """All Customers who are this person: `customer_id`, and whoever was merged."""
    at: datetime
    visitors: tuple[str, ...] = ()
    """Ids of their chat sessions."""
    passes: int = 0
    """How often the service has done it."""


class Erasures:
    """The list."""

    def __init__(self, shared: Database, clock: Clock = utc_now, again: Sequence[timedelta] = AGAIN) -> None:
        self._erasures = shared["erasures"]
        self._clock = clock
        self._again = tuple(again)

    async def prepare(self, service: str) -> None:
        """Create the indexes that find what is due to the service, and the latest."""
        await self._erasures.create_index([("at", ASCENDING)], name="at")
        await self._erasures.create_index([(f"due.{service}", ASCENDING)], name=f"due_{service}", sparse=True)

    async def begin(self, erasure: Erasure, services: Sequence[str]) -> None:
        """Have these services forget the person; once begun it stays as it is."""
        document = {
            "homes": list(erasure.homes),
            "at": erasure.at,
            "visitors": list(erasure.visitors),
            "due": dict.fromkeys(services, erasure.at),
            "passes": dict.fromkeys(services, 0),
        }
        begin = UpdateOne({"_id": erasure.customer_id}, {"$setOnInsert": document}, upsert=True)
        await bulk(self._erasures, [begin])

    async def since(self, moment: datetime) -> list[Erasure]:
        """Return those from `moment` on, for what is in memory."""
        found = self._erasures.find({"at": {"$gte": moment}}, sort=[("at", ASCENDING)])
        return [_of(row, "") async for row in found]

    async def carry_out(self, service: str, erase: Callable[[Erasure], Awaitable[None]]) -> int:
        """Let `erase` do all that is due to `service`; returns how many there were.

        One that fails is tried again half a minute later, by whichever replica comes first.
        """
        done = 0
        while (erasure := await self._claim(service)) is not None:
            await erase(erasure)
            await self._done(service, erasure)
            done += 1
            log.info("erased", service=service, customer=erasure.customer_id, round=erasure.passes)
        return done

    async def _claim(self, service: str) -> Erasure | None:
        due, now = f"due.{service}", self._clock()
        row = await self._erasures.find_one_and_update(
            {due: {"$lte": now}},
            {"$set": {due: now + _LEASE}},
            sort=[("at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return _of(row, service) if row else None

    async def _done(self, service: str, erasure: Erasure) -> None:
        due, passes = f"due.{service}", f"passes.{service}"
        known = {"_id": erasure.customer_id, passes: erasure.passes}
        if erasure.passes < len(self._again):
            later = erasure.at + self._again[erasure.passes]
            await self._erasures.update_one(known, {"$set": {due: later}, "$inc": {passes: 1}})
            return
        await self._erasures.update_one(known, {"$unset": {due: ""}, "$inc": {passes: 1}})
        await self._erasures.update_one({"_id": erasure.customer_id, "due": {}}, {"$set": {"visitors": []}})


def _of(row: Document, service: str) -> Erasure:
    return Erasure(
        row["_id"], tuple(row["homes"]), row["at"], tuple(row["visitors"]), row["passes"].get(service, 0)
    )
