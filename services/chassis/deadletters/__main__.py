"""`python -m services.chassis.deadletters list|show|retry|drop`: what an operator does about dead letters.

Exit codes: 0 done, 1 not (all) done, 2 wrong usage, 3 Kafka is away or lacks the topic.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from services.chassis import logging
from services.chassis.clock import utc_now
from services.chassis.deadletters import shown
from services.chassis.deadletters.ledger import Entry, Filter, Ledger, Place, after
from services.chassis.deadletters.log import DeadLetterLog, Gone, Unreachable
from services.chassis.settings import Settings

DONE, NOT_DONE, USAGE, UNREACHABLE = range(4)
_AGES = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class _Refused(Exception):  # noqa: N818  (an answer to the operator)
    """Nothing is done. The text says why."""


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = argparse.ArgumentParser(prog="python -m services.chassis.deadletters", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)

    listing = commands.add_parser("list", help="list dead letters, the oldest first; open ones unless told")
    _add_filters(listing)
    listing.add_argument("--settled", action="store_true", help="those that were retried or dropped")
    listing.add_argument("--summary", action="store_true", help="only how many there are of each kind")
    listing.add_argument("--limit", type=_positive, default=50, help="most letters listed (50)")
    listing.add_argument("--after", type=_place, metavar="PLACE", help="only what follows this one")
    listing.add_argument("--json", action="store_true", help="JSON lines")

    show = commands.add_parser("show", help="show one dead letter")
    show.add_argument("letter", help="its place (partition:offset) or id")
    show.add_argument("--body", action="store_true", help="the record too, with all personal data in it")
    show.add_argument("--json", action="store_true", help="one JSON object")

    for name, what in (
        ("retry", "publish the records again, for the groups that gave them up"),
        ("drop", "settle dead letters whose records nobody is to handle"),
    ):
        settle = commands.add_parser(name, help=what)
        settle.add_argument("letters", nargs="*", help="their places (partition:offset) or ids")
        settle.add_argument("--all", action="store_true", help="all open ones that the filters take")
        _add_filters(settle)
        settle.add_argument("--yes", action="store_true", help="do not ask")
    return made


def _add_filters(to: argparse.ArgumentParser) -> None:
    to.add_argument("--group", help="only of this consumer group")
    to.add_argument("--topic", help="only records of this topic")
    to.add_argument("--error", help="only error classes that begin so")
    to.add_argument("--since", type=_since, help="only failures since then: 90m, 2h, 3d, or RFC 3339")


def main(arguments: Sequence[str], settings: Settings | None = None) -> int:
    """Run the command; returns the exit code."""
    made = parser()
    given = made.parse_args(arguments)
    if given.command in {"retry", "drop"}:
        filtered = any((given.group, given.topic, given.error, given.since))
        if bool(given.letters) == given.all or (given.letters and filtered):
            made.error("name letters, or give --all, with filters or without")
    try:
        return asyncio.run(_run(given, settings or Settings()))
    except Unreachable as error:
        return _failed(str(error), UNREACHABLE)
    except (_Refused, Gone) as error:
        return _failed(str(error), NOT_DONE)


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    async with DeadLetterLog.connected(settings) as log:
        ledger = await log.ledger()
        if ledger.unreadable:
            _warn(f"{ledger.unreadable} records of the topic are no dead letters and were passed over")
        if given.command == "list":
            return _list(given, ledger)
        if given.command == "show":
            return await _show(given, ledger, log)
        return await _settle(given, ledger, log)


# --- list, show -----------------------------------------------------------------------------------


def _filter(given: argparse.Namespace, *, settled: bool = False) -> Filter:
    return Filter(given.group, given.topic, given.error, given.since, settled)


def _list(given: argparse.Namespace, ledger: Ledger) -> int:
    found = ledger.matching(_filter(given, settled=given.settled))
    if given.summary:
        _print(shown.summary_json(found) if given.json else shown.summary(found))
        return DONE
    try:
        following = list(after(found, given.after))
    except LookupError as error:
        raise _Refused(str(error)) from error
    page = following[: given.limit]
    if given.json:
        _print(shown.json_lines(page))
        return DONE
    _print([f"{len(found)} {'settled' if given.settled else 'open'}", *shown.summary(found)])
    if page:
        _print(["", *shown.table(page)])
    if len(following) > len(page):
        _print([f"{len(following) - len(page)} more: --after {page[-1].place}"])
    return DONE


async def _show(given: argparse.Namespace, ledger: Ledger, log: DeadLetterLog) -> int:
    entry = _find(ledger, given.letter)
    facts = shown.facts(entry)
    if given.body:
        letter, _ = await log.letter(entry)
        facts |= shown.body(await log.original(letter))
    _print([json.dumps(facts)] if given.json else (f"{name:13} {value}" for name, value in facts.items()))
    return DONE


def _find(ledger: Ledger, reference: str) -> Entry:
    try:
        entry = ledger.find(reference)
    except ValueError:
        raise _Refused(f"{reference!r} is neither a place (partition:offset) nor an id") from None
    if entry is None:
        raise _Refused(f"there is no dead letter {reference}")
    return entry


# --- retry, drop ----------------------------------------------------------------------------------


async def _settle(given: argparse.Namespace, ledger: Ledger, log: DeadLetterLog) -> int:
    retry = given.command == "retry"
    entries = ledger.matching(_filter(given)) if given.all else _named(given.letters, ledger)
    if not entries:
        _print(["0 letters match"])
        return DONE
    if not given.yes and not _confirmed(f"{given.command} {_letters(len(entries))}", entries):
        raise _Refused("nothing was done")
    return await _each(entries, log.retry if retry else log.drop, "retried" if retry else "dropped")


def _named(references: Iterable[str], ledger: Ledger) -> list[Entry]:
    entries = {entry.id: entry for entry in (_find(ledger, each) for each in references)}
    for entry in entries.values():
        if entry.settled is not None:
            raise _Refused(f"the dead letter {entry.place} was {entry.settled} already; nothing was done")
    return list(entries.values())


async def _each(entries: Sequence[Entry], settle: Callable[[Entry], Awaitable[None]], done: str) -> int:
    """In the order in which the records stood in their log; one that is gone keeps up no other."""
    count, failed = 0, 0
    try:
        for entry in sorted(entries, key=lambda entry: entry.source):
            try:
                await settle(entry)
            except Gone as error:
                failed += 1
                _warn(f"{entry.place}: {error}")
            else:
                count += 1
    finally:
        _print([f"{done} {count} of {_letters(len(entries))}"])
    return NOT_DONE if failed else DONE


def _letters(count: int) -> str:
    return f"{count} dead letter" + ("" if count == 1 else "s")


def _confirmed(question: str, entries: Sequence[Entry]) -> bool:
    _print(shown.summary(entries))
    sys.stdout.write(f"{question}? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


# --- words in and out -----------------------------------------------------------------------------


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _place(text: str) -> Place:
    try:
        return Place.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no place (partition:offset)") from None


def _since(text: str) -> datetime:
    age = re.fullmatch(r"(\d{1,6})([smhd])", text)
    try:
        if age:
            return utc_now() - timedelta(**{_AGES[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is neither an age (90m, 2h, 3d) nor a time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _failed(text: str, code: int) -> int:
    _warn(text)
    return code


if __name__ == "__main__":
    logging.configure("ERROR")
    try:
        code = main(sys.argv[1:])
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        code = DONE
    raise SystemExit(code)
