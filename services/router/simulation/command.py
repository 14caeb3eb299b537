"""What both commands share: policies by file, targets, and where the report goes."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TextIO

from rich.console import Console

from schemas.common import ChannelClass
from schemas.envelope import rfc3339
from services.chassis.inboxes import Inbox, load_inboxes
from services.router.domain.policy import Policy
from services.router.policies import load
from services.router.settings import RouterSettings
from services.router.simulation.day import Day
from services.router.simulation.report.figures import PolicyFigures, figures
from services.router.simulation.report.page import page
from services.router.simulation.report.tables import show
from services.router.simulation.stays import Script

DONE, NOT_DONE, USAGE, UNREACHABLE = range(4)
_WIDTH = 140
Named = Sequence[tuple[str, Policy]]


def console_for(stream: TextIO) -> Console:
    """Return a console; one that is no terminal is wide enough for the tables."""
    return Console(file=stream, width=None if stream.isatty() else _WIDTH)


def add_outputs(to: argparse.ArgumentParser) -> None:
    """Add the options that say under which policies, and where the report goes."""
    to.add_argument(
        "--policy",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="a file of routing policies (docs/routing.md); several are played one after the other",
    )
    to.add_argument(
        "--target",
        action="append",
        type=_target,
        default=[],
        metavar="CLASS=SECONDS",
        help="in which a Conversation of the class should have its Agent, in the report only",
    )
    to.add_argument("--html", type=Path, metavar="FILE", help="write the report with charts, as one page")
    to.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def _target(text: str) -> tuple[ChannelClass, float]:
    name, _, seconds = text.partition("=")
    try:
        kind, value = ChannelClass(name), float(seconds)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no target; write {'|'.join(ChannelClass)}=SECONDS"
        ) from None
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: a target is more than 0 seconds")
    return kind, value


def named_policies(files: Sequence[Path], pool: str, inboxes: Sequence[str]) -> Named:
    """Return the pool's policy of each file, by the file's name. Raises BadPolicy, BadInboxes, OSError.

    `inboxes` are in the pool, whatever else the service's own file of Inboxes has.
    """
    settings = RouterSettings()
    known = dict(load_inboxes(settings.agents_file))
    for name in inboxes:
        known[name] = known.get(name, Inbox(name=name)).model_copy(update={"pool": pool})
    base = settings.policy
    policies = []
    for path in files:
        path.stat()
        policies.append((path.stem, load(path, known, base).get(pool, base)))
    names = [name for name, _ in policies]
    return [
        (name if names.count(name) == 1 else f"{name} ({n})", policy)
        for n, (name, policy) in enumerate(policies, 1)
    ]


def played(
    console: Console, script: Script, policies: Named, targets: Mapping[ChannelClass, float]
) -> list[PolicyFigures]:
    """Play the script under each policy."""
    days = []
    for name, policy in policies:
        started = perf_counter()
        measured = Day(script, policy).play()
        decisions = sum(measured.decisions.values())
        console.print(f"{name}: {decisions:,} decisions in {perf_counter() - started:.1f} s", highlight=False)
        days.append(figures(name, measured, targets))
    return days


def report(
    console: Console,
    title: str,
    about: str,
    script: Script,
    days: Sequence[PolicyFigures],
    options: argparse.Namespace,
) -> None:
    """Print the report, and write it where it is wanted."""
    show(console, days)
    if options.json:
        document = {
            "title": title,
            "about": about,
            "start": rfc3339(script.start),
            "end": rfc3339(script.end),
            "policies": [asdict(each) for each in days],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {options.json}", highlight=False)
    if options.html:
        options.html.write_text(page(title, about, days), encoding="utf-8")
        console.print(f"page: {options.html}", highlight=False)
