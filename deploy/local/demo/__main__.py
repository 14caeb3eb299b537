"""`make demo`: plays the recorded day on the running stack, and prints what became of it."""

import asyncio
import sys
from typing import Annotated

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.demo import report
from deploy.local.demo.day import Day
from deploy.local.demo.desk import ApiError
from deploy.local.demo.fates import Outcome, outcome
from deploy.local.demo.play import Player
from deploy.local.keys import NoStackError
from deploy.local.stack import Stack, StackError
from deploy.local.terminal import wide_console
from services.chassis.accounts import AccountsError

_COLUMNS = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def main(
    seconds: Annotated[
        float, typer.Option(envvar="DAY_SECONDS", help="how long the day takes at least")
    ] = 15,
    details: Annotated[bool, typer.Option("--details", help="show every webhook and reply")] = False,  # noqa: FBT002 - typer's flag
) -> None:
    """Play the day; the exit code is 1 when something did not become what it should."""
    try:
        stack = Stack.from_environment()
        good = asyncio.run(run(stack, Day.load(), seconds, details=details))
    except httpx.ConnectError:
        print(f"error: no stack answers at {stack.url}; start one with: make up", file=sys.stderr)
        raise typer.Exit(1) from None
    except (AccountsError, ApiError, NoStackError, StackError, TimeoutError, httpx.HTTPError) as error:
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not good:
        raise typer.Exit(1)


async def run(stack: Stack, day: Day, seconds: float, *, details: bool) -> bool:
    """Play `day` within `seconds`, show the outcome, and return whether it is as it should be."""
    out = wide_console()
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20) as http:
        found = await _play(stack, day, seconds, http, Progress(*_COLUMNS, console=out))
    report.show(found, out, details=details)
    return found.good


async def _play(
    stack: Stack, day: Day, seconds: float, http: httpx.AsyncClient, progress: Progress
) -> Outcome:
    with progress:
        task = progress.add_task("the day begins", total=len(day.events))
        player = Player(day, stack, http)
        played = await player.play(seconds, lambda text: progress.update(task, advance=1, description=text))
        progress.update(task, description="looking where all went")
        return await outcome(stack, http, played)


if __name__ == "__main__":
    typer.run(main)
