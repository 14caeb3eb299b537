"""`python -m services.conversation.rebuild`: the store made again from `conversation.changes`."""

import sys

from schemas.changes import ThreadSaved
from schemas.envelope import Envelope
from schemas.topics import CONVERSATION_CHANGES
from services.chassis.likeness import Likeness
from services.chassis.mongo import Database
from services.chassis.outbox import Row
from services.chassis.rebuilding import Plan, main
from services.conversation import changes


def rows_of(record: Envelope) -> list[Row]:
    """Return what a record says is in the store."""
    return changes.rows_of(record) if isinstance(record, ThreadSaved) else []


async def in_flight(live: Database, found: Likeness) -> frozenset[str]:
    """Return which documents a save wrote whose records wait in an outbox, and what is left of the erased."""
    waiting = live["threads"].find({"outbox.at": {"$exists": True}}, {"outbox": 1})
    named = set[str]()
    async for thread in waiting:
        named.add(thread["_id"])
        named.update(entry["document"]["_id"] for entry in thread.get("outbox", ()) if "document" in entry)
    return frozenset(named & found.differing.keys()) | await _erased(live, found)


async def _erased(live: Database, found: Likeness) -> frozenset[str]:
    """Return which documents are of erased Customers: what the log says of them nobody can read."""
    homes = [row["_id"] async for row in live["customers"].find({"erased": True}, {"_id": 1})]
    theirs = {"$or": [{"home": {"$in": homes}}, {"_id": {"$in": homes}}]}
    rows = live[found.collection].find({"_id": {"$in": list(found.differing)}, **theirs}, {"_id": 1})
    return frozenset([row["_id"] async for row in rows])


PLAN = Plan(
    service="conversation",
    topics=(CONVERSATION_CHANGES,),
    rows_of=rows_of,
    collections=("threads", "conversations", "timeline", "history", "tickets", "tasks"),
    in_flight=in_flight,
    ignored={"threads": frozenset({"outbox"})},
)

if __name__ == "__main__":
    raise SystemExit(main(PLAN, sys.argv[1:]))
