"""By what Customers are known, as identity tells: how an Agent can write to one who never wrote."""

import asyncio
from collections.abc import Sequence

from pymongo import ReplaceOne

from schemas.common import Identifier
from schemas.customers import CustomerEvent
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, bulk
from services.conversation.domain.reach import Address

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2


class Addresses:
    """A copy of the identifiers in `customers.events`, the newest state of each Customer."""

    def __init__(self, database: Database) -> None:
        self._collection = database["addresses"]

    async def learn(self, batch: Sequence[Delivery]) -> None:
        """Take in events; older ones do nothing."""
        newest: dict[str, CustomerEvent] = {}
        for delivery in batch:
            event = delivery.message
            if not isinstance(event, CustomerEvent):
                continue  # a merge moves no identifier
            known = newest.get(event.customer_id)
            if known is None or (event.seq or 0) > (known.seq or 0):
                newest[event.customer_id] = event
        await bulk(
            self._collection,
            [
                ReplaceOne(
                    {"_id": customer, "seq": {"$lt": event.seq or 0}},
                    {
                        "_id": customer,
                        "seq": event.seq or 0,
                        "identifiers": [each.model_dump(mode="json") for each in event.personal.identifiers],
                    },
                    upsert=True,
                )
                for customer, event in newest.items()
            ],
        )

    async def of(self, homes: Sequence[str]) -> tuple[Address, ...]:
        """Return the identifiers of these Customers together."""
        found = self._collection.find({"_id": {"$in": list(homes)}})
        return tuple(
            [
                Address(Identifier.model_validate(each), row["_id"])
                async for row in found
                for each in row["identifiers"]
            ]
        )

    async def wait_for(self, customer_id: str, seconds: float) -> None:
        """Wait until the Customer is known, at most so long: who was just made may be written to at once."""
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(seconds):
                while await self._collection.find_one({"_id": customer_id}, {"_id": 1}) is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        except TimeoutError:
            return
