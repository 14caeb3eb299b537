"""`python -m services.router.replay`: plays a recorded day again under other policies, or checks its journal.

Exit codes: 0 done, 1 entries decide otherwise than was recorded (--verify), 2 wrong usage or a wrong file,
3 MongoDB is away.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pymongo.errors import PyMongoError
from rich.console import Console

from schemas.routing import AgentProfile
from services.chassis.inboxes import BadInboxes
from services.chassis.mongo import connect
from services.router.journal import Entry
from services.router.policies import BadPolicy
from services.router.settings import RouterSettings
from services.router.simulation import journals
from services.router.simulation.command import (
    DONE,
    NOT_DONE,
    UNREACHABLE,
    USAGE,
    add_outputs,
    console_for,
    named_policies,
    played,
    report,
)
from services.router.simulation.recording import BadRecording, Recording, read, verify
from services.router.store import MongoStore

_SHOWN = 10


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = argparse.ArgumentParser(prog="python -m services.router.replay", description=__doc__)
    made.add_argument("--pool", default="main", help="the pool whose journal in MongoDB is read (main)")
    made.add_argument("--input", type=Path, metavar="FILE", help="read this file of --export, not MongoDB")
    made.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="start of the day, RFC 3339")
    made.add_argument("--to", dest="end", type=_moment, metavar="TIME", help="end of the day, RFC 3339")
    made.add_argument(
        "--export", type=Path, metavar="FILE", help="write the journal from its begin up to --to, and stop"
    )
    made.add_argument(
        "--verify", action="store_true", help="step the journal again, compare each decision, and stop"
    )
    add_outputs(made)
    return made


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-03-02T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run the command and return its exit code."""
    options, console = parser().parse_args(arguments), console or console_for(sys.stdout)
    try:
        entries = _entries(options)
        if options.export:
            kept = (each for each in entries if options.end is None or each.at <= options.end)
            console.print(
                f"{journals.write(options.export, kept):,} entries: {options.export}", highlight=False
            )
            return DONE
        if options.verify:
            return _verified(console, entries)
        return _replayed(console, options, entries)
    except (BadRecording, BadPolicy, BadInboxes, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (an answer to the operator)
        return USAGE
    except PyMongoError as error:
        print(f"MongoDB is away: {type(error).__name__}", file=sys.stderr)  # noqa: T201  (as above)
        return UNREACHABLE


def _entries(options: argparse.Namespace) -> Iterable[Entry]:
    if options.input:
        return journals.read(options.input)
    return asyncio.run(_journal(options.pool))


async def _journal(pool: str) -> list[Entry]:
    database = connect(RouterSettings(), "router")
    try:
        return [each async for each in MongoStore(database).journal(pool)]
    finally:
        await database.client.close()


def _verified(console: Console, entries: Iterable[Entry]) -> int:
    count, diverged = verify(entries)
    console.print(f"{count:,} entries, {len(diverged):,} decide otherwise than was recorded", highlight=False)
    if diverged:
        more = ", …" if len(diverged) > _SHOWN else ""
        console.print(f"entries {', '.join(map(str, diverged[:_SHOWN]))}{more}", highlight=False)
    return NOT_DONE if diverged else DONE


def _replayed(console: Console, options: argparse.Namespace, entries: Iterable[Entry]) -> int:
    recording = read(entries, options.start, options.end)
    day = recording.script
    policies = named_policies(options.policy, day.pool, _inboxes(recording))
    days = played(console, day, [("as recorded", recording.policy), *policies], dict(options.target))
    about = (
        f"Pool {day.pool}, {day.start:%Y-%m-%d %H:%M:%S} to {day.end:%Y-%m-%d %H:%M:%S} UTC: "
        f"{len(day.stays):,} requests, and {len(day.opening):,} under way at the start. "
        f"{recording.by_hand:,} takes and transfers by hand are not repeated."
    )
    report(console, "A recorded day under other policies", about, day, days, options)
    return DONE


def _inboxes(recording: Recording) -> list[str]:
    """Return the Inboxes the day knows: of its requests, its Agents and its own policy."""
    script, names = recording.script, dict.fromkeys(recording.policy.inboxes)
    names |= dict.fromkeys(stay.need.inbox for stay in script.stays)
    for each in script.deeds:
        if isinstance(each.command, AgentProfile):
            names |= dict.fromkeys(each.command.data.inboxes)
    for agent in (script.initial or {}).get("agents", {}).values():
        names |= dict.fromkeys(agent["inboxes"])
    return list(names)


if __name__ == "__main__":
    sys.exit(main())
