"""Whose data is to be asked for, and when: kept, so that no crash forgets it and replicas share it."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ASCENDING, InsertOne, ReturnDocument, UpdateOne

from services.chassis.mongo import Database, bulk

_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Job:
    """A Customer whose data is to be asked for now."""

    customer_id: str
    turn: int
    """Grows when it is wanted anew: what was asked before that settles nothing."""
    tries: int
    """With this one."""


class Jobs:
    """The collection `lookups`, one document a Customer."""

    def __init__(self, database: Database) -> None:
        self._lookups = database["lookups"]
        self._fresh: OrderedDict[str, datetime] = OrderedDict()

    async def prepare(self) -> None:
        """Create the index that what is due is found by."""
        await self._lookups.create_index([("due", ASCENDING)], name="due", sparse=True)

    async def want(self, digests: Mapping[str, str], now: datetime) -> None:
        """Have the data of these Customers asked for, unless they are known by the same as last time."""
        new = [
            InsertOne({"_id": customer, "digest": digest, "due": now, "turn": 0, "tries": 0})
            for customer, digest in digests.items()
        ]
        changed = [
            UpdateOne(
                {"_id": customer, "digest": {"$ne": digest}},
                {"$set": {"digest": digest, "due": now, "tries": 0}, "$inc": {"turn": 1}},
            )
            for customer, digest in digests.items()
        ]
        await bulk(self._lookups, [*new, *changed])

    async def refresh(self, customers: Iterable[str], now: datetime, remembered: timedelta) -> None:
        """Have data asked for anew that is older than it may be; looked at once in `remembered` a replica."""
        stale = [each for each in dict.fromkeys(customers) if self._fresh.get(each, now) <= now]
        await bulk(
            self._lookups,
            [
                UpdateOne(
                    {"_id": customer, "fresh_until": {"$lte": now}, "due": None},
                    {"$set": {"due": now, "tries": 0}, "$inc": {"turn": 1}},
                )
                for customer in stale
            ],
        )
        self._fresh.update(dict.fromkeys(stale, now + remembered))
        while len(self._fresh) > _REMEMBERED:
            self._fresh.popitem(last=False)

    async def take(self, now: datetime, lease: timedelta) -> Job | None:
        """Return what is due longest, for this replica alone during the lease."""
        found = await self._lookups.find_one_and_update(
            {"due": {"$lte": now}},
            {"$set": {"due": now + lease}, "$inc": {"tries": 1}},
            sort=[("due", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        return Job(found["_id"], found["turn"], found["tries"]) if found else None

    async def expect(self, job: Job, digest: str) -> None:
        """Take note that the answer changes by what the Customer is known: it is not to be asked again."""
        await self._lookups.update_one({"_id": job.customer_id}, {"$set": {"digest": digest}})

    async def settle(self, job: Job, outcome: str, now: datetime, fresh_until: datetime) -> None:
        """Keep what came of it, until `fresh_until`; unless it is wanted anew meanwhile."""
        kept = {"outcome": outcome, "asked_at": now, "fresh_until": fresh_until, "tries": 0}
        await self._lookups.update_one(
            {"_id": job.customer_id, "turn": job.turn}, {"$set": kept, "$unset": {"due": ""}}
        )

    async def again(self, job: Job, outcome: str, now: datetime, due: datetime) -> None:
        """Try again at `due`."""
        await self._lookups.update_one(
            {"_id": job.customer_id, "turn": job.turn},
            {"$set": {"outcome": outcome, "asked_at": now, "due": due}},
        )

    async def forget(self, customer_id: str) -> None:
        """Ask for this Customer's data no more."""
        await self._lookups.delete_one({"_id": customer_id})
