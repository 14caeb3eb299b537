"""`python -m services.router.simulate`: plays a synthetic day, under one policy or several.

Exit codes: 0 done, 2 wrong usage or a wrong file.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services.chassis.inboxes import BadInboxes
from services.chassis.settings import LOCAL
from services.router.policies import BadPolicy
from services.router.settings import RouterSettings
from services.router.simulation.command import (
    DONE,
    USAGE,
    add_outputs,
    console_for,
    named_policies,
    played,
    report,
)
from services.router.simulation.scenario import BadScenario, Scenario, load_scenario
from services.router.simulation.synthetic import script


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = argparse.ArgumentParser(prog="python -m services.router.simulate", description=__doc__)
    made.add_argument(
        "--scenario",
        type=Path,
        default=LOCAL / "simulation.yaml",
        metavar="FILE",
        help="who writes when, and which Agents are there (docs/simulation.md)",
    )
    made.add_argument(
        "--seed", type=int, default=1, help="another seed makes another day of the same kind (1)"
    )
    add_outputs(made)
    return made


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run the command and return its exit code."""
    options, console = parser().parse_args(arguments), console or console_for(sys.stdout)
    try:
        scenario = load_scenario(options.scenario)
        files = options.policy or [RouterSettings().routing_file]
        policies = named_policies(files, scenario.pool, _inboxes(scenario))
    except (BadScenario, BadPolicy, BadInboxes, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (an answer to the operator)
        return USAGE
    day = script(scenario, options.seed)
    days = played(console, day, policies, {**scenario.targets, **dict(options.target)})
    agents = sum(team.agents for team in scenario.teams)
    about = (
        f"{options.scenario.name}, seed {options.seed}: {len(day.stays):,} Conversations, {agents:,} Agents, "
        f"{day.start:%Y-%m-%d %H:%M} to {day.end:%Y-%m-%d %H:%M} UTC."
    )
    report(console, "A synthetic day", about, day, days, options)
    return DONE


def _inboxes(scenario: Scenario) -> list[str]:
    named = [each.inbox for each in scenario.arrivals]
    return list(dict.fromkeys([*named, *(inbox for team in scenario.teams for inbox in team.inboxes)]))


if __name__ == "__main__":
    sys.exit(main())
