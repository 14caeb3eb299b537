"""A service's store made again from the topics it writes, and proven equal to the live one.

`python -m services.<name>.rebuild [--into DATABASE] [--no-check]`. Exit codes: 0 done and equal, 1 something
differs, 2 wrong usage, 3 Kafka or MongoDB is away, or Kafka lacks a topic.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import ConnectionFailure

from schemas.envelope import Envelope
from schemas.topics import Topic
from services.chassis import likeness
from services.chassis.blobs import shared_database
from services.chassis.keys import CustomerKeys
from services.chassis.likeness import Likeness
from services.chassis.mongo import Database, connect
from services.chassis.outbox import Row, to_document, write
from services.chassis.replay import LogUnreachable, Replay
from services.chassis.sealing import Seals
from services.chassis.settings import Settings

EQUAL, DIFFERENT, USAGE, UNREACHABLE = range(4)
_ROUNDS = 5
_MOST_SHOWN = 20
_MOST_WAITING = 1_000
_WAITING = "patches"
InFlight = Callable[[Database, Likeness], Awaitable[frozenset[str]]]
"""`(live, likeness)` → which differing documents the log has yet to tell of, or may tell no more of."""


@dataclass(frozen=True)
class Plan:
    """How one service's store follows from its topics."""

    service: str
    topics: Sequence[Topic]
    rows_of: Callable[[Envelope], Sequence[Row]]
    """What a record says is in the store. Applying it again changes nothing."""
    collections: Sequence[str]
    in_flight: InFlight
    ignored: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Fields of a collection that the topics do not tell."""
    scratch: Sequence[str] = ()
    """Collections that only `finish` needs."""
    finish: Callable[[Database], Awaitable[None]] | None = None
    """Makes the store of what the records said, where that takes several of them."""


@dataclass(slots=True)
class Outcome:
    """What came of a rebuild."""

    records: int = 0
    erased: int = 0
    """Of these, records of erased Customers."""
    unreadable: list[str] = field(default_factory=list)
    found: list[Likeness] = field(default_factory=list)
    in_flight: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Nothing differs but what is on its way."""
        return not self.unreadable and not any(self.wrong(each) for each in self.found)

    def wrong(self, of: Likeness) -> dict[str, str]:
        """Return the differences that nothing on its way explains."""
        passing = self.in_flight.get(of.collection, frozenset())
        return {one: what for one, what in of.differing.items() if one not in passing}


async def rebuild(plan: Plan, settings: Settings, live: Database, into: Database, *, check: bool) -> Outcome:
    """Read the topics into the empty database `into`, and compare it with `live`.

    The live one may be in use: what differs is looked at again, up to the log's new end, until it is equal
    or stays different. Raises LogUnreachable.
    """
    outcome = Outcome()
    shared = shared_database(settings)
    seals = Seals(CustomerKeys(shared, settings.customer_keys_secret.get_secret_value()))
    async with _closing(shared), Replay.of(settings, plan.topics, seals) as replay:
        written = await _apply(plan, replay, into)
        if check:
            for name in sorted({*plan.collections, *written}):
                outcome.found.append(
                    await likeness.compare(live, into, name, plan.ignored.get(name, frozenset()))
                )
            await _settle(plan, replay, live, into, outcome)
        outcome.records, outcome.erased = replay.read, replay.erased
        outcome.unreadable = replay.unreadable
    return outcome


@asynccontextmanager
async def _closing(database: Database) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await database.client.close()


async def _settle(plan: Plan, replay: Replay, live: Database, into: Database, outcome: Outcome) -> None:
    for turn in range(_ROUNDS):
        doubtful = [each for each in outcome.found if each.differing]
        outcome.in_flight = {each.collection: await plan.in_flight(live, each) for each in doubtful}
        if not doubtful or not any(outcome.wrong(each) for each in doubtful) or turn == _ROUNDS - 1:
            return
        await asyncio.sleep(0.5 * turn)
        await _apply(plan, replay, into)
        for each in doubtful:
            await likeness.again(live, into, each, plan.ignored.get(each.collection, frozenset()))


async def _apply(plan: Plan, replay: Replay, into: Database) -> set[str]:
    """Write what the log has more to tell; return the collections it tells of as they are.

    Patches wait to the end: the row that one changes may be in a partition that is read later, and those
    of one row must come in their order.
    """
    collections, patches = set[str](), list[Row]()
    async for batch in replay.batches():
        rows = [row for record in batch for row in plan.rows_of(record)]
        collections.update(row.collection for row in rows)
        patches += [row for row in rows if row.how == "patch"]
        await write(into, [row for row in rows if row.how != "patch"])
        if len(patches) >= _MOST_WAITING:
            await _put_by(into, patches)
            patches.clear()
    await _put_by(into, patches)
    await _patch(into)
    if plan.finish is not None:
        await plan.finish(into)
        return set()
    return collections


async def _put_by(into: Database, patches: Sequence[Row]) -> None:
    rows = {
        f"{row.collection}:{row.document['_id']}:{row.document[row.guard]:020}:{row.guard}": row
        for row in patches
    }
    await write(
        into,
        [
            Row(id=place, at=row.at, collection=_WAITING, document={"_id": place, "row": to_document(row)})
            for place, row in rows.items()
        ],
    )


async def _patch(into: Database) -> None:
    patches: list[Row] = []
    async for waiting in into[_WAITING].find(sort=[("_id", 1)]):
        patches.append(Row(**waiting["row"]))
        if len(patches) == _MOST_WAITING:
            await write(into, patches)
            patches.clear()
    await write(into, patches)
    await into.drop_collection(_WAITING)


def report(outcome: Outcome, *, check: bool) -> list[str]:
    """Return the outcome for people."""
    erased = f", {outcome.erased} of them of erased Customers" if outcome.erased else ""
    lines = [f"{outcome.records} records read{erased}"]
    lines += [f"unreadable: {place}" for place in outcome.unreadable[:_MOST_SHOWN]]
    for each in outcome.found:
        wrong = outcome.wrong(each)
        passing = len(each.differing) - len(wrong)
        moving = f", {passing} in flight or erased" if passing else ""
        lines.append(f"{each.collection}: {each.equal} equal, {len(wrong)} different{moving}")
        lines += [f"  {one}: {what}" for one, what in sorted(wrong.items())[:_MOST_SHOWN]]
        if len(wrong) > _MOST_SHOWN:
            lines.append(f"  and {len(wrong) - _MOST_SHOWN} more")
    if check:
        lines.append("the rebuilt store equals the live one" if outcome.equal else "the stores differ")
    return lines


def main(plan: Plan, arguments: Sequence[str], settings: Settings | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{plan.service}.rebuild", description=__doc__)
    parser.add_argument("--into", metavar="DATABASE", help="keep the rebuilt store there; it must be empty")
    parser.add_argument(
        "--check", action=argparse.BooleanOptionalAction, default=True, help="compare with the live store"
    )
    given = parser.parse_args(arguments)
    try:
        return asyncio.run(_run(plan, settings or Settings(), given))
    except LogUnreachable as error:
        sys.stderr.write(f"{error}\n")
    except ConnectionFailure as error:
        sys.stderr.write(f"MongoDB does not answer: {type(error).__name__}\n")
    return UNREACHABLE


async def _run(plan: Plan, settings: Settings, given: argparse.Namespace) -> int:
    live = connect(settings, plan.service)
    try:
        into: Any = live.client.get_database(
            given.into or f"{live.name}_rebuild",
            codec_options=live.codec_options,
            write_concern=live.write_concern,
        )
        if not given.into:
            await live.client.drop_database(into.name)
        elif into.name == live.name or await into.list_collection_names():
            sys.stderr.write(f"the database {into.name} is in use; name one that is not there\n")
            return USAGE
        outcome = await rebuild(plan, settings, live, into, check=given.check)
        sys.stdout.write("".join(f"{line}\n" for line in report(outcome, check=given.check)))
        for name in plan.scratch:
            await into.drop_collection(name)
        if not given.into:
            await live.client.drop_database(into.name)
        return EQUAL if outcome.equal else DIFFERENT
    finally:
        await live.client.close()
