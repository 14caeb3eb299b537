"""Measures: `python -m tests.bench [names…] --scale small|full --out DIR`.

Leaves `report.json`, `report.md` and `profiles/` in DIR. The exit code is 1 when a target is missed.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from services.chassis import logging
from tests.bench import (
    attach,
    backlog,
    growth,
    ingest,
    latency,
    parse,
    pipeline,
    report,
    router,
    stage,
    timeline,
    timers,
)
from tests.bench.figures import Figure
from tests.bench.setup import Scale, Setup, surroundings


@dataclass(frozen=True, slots=True)
class Bench:
    """One row: what is measured, and the servers it needs."""

    run: Callable[[Setup], Coroutine[None, None, list[Figure]]]
    kafka: bool = True
    mongo: bool = True


BENCHES = {
    "ingest": Bench(ingest.run),
    "parse": Bench(parse.run, kafka=False, mongo=False),
    "router": Bench(router.run, kafka=False, mongo=False),
    "stage": Bench(stage.run, mongo=False),
    "pipeline": Bench(pipeline.run),
    "latency": Bench(latency.run),
    "backlog": Bench(backlog.run),
    "growth": Bench(growth.run),
    "attach": Bench(attach.run, kafka=False),
    "timers": Bench(timers.run, kafka=False),
    "timeline": Bench(timeline.run, kafka=False),
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"of {', '.join(BENCHES)}; all, if none")] = None,
    scale: Annotated[Scale, typer.Option(help="small takes minutes, full longer, smoke means nothing")] = (
        Scale.SMALL
    ),
    out: Annotated[Path, typer.Option(help="where report and profiles are put")] = Path(".local/bench"),
) -> None:
    """Run the named benches one after another, each on fresh servers."""
    chosen = names or list(BENCHES)
    if unknown := [name for name in chosen if name not in BENCHES]:
        raise typer.BadParameter(f"no bench is called {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    logging.configure("ERROR")
    figures = [figure for name in chosen for figure in measure(BENCHES[name], out / "profiles", scale)]
    report.write(out, figures, scale, datetime.now(UTC))
    if any(figure.met is False for figure in figures):
        raise typer.Exit(1)


def measure(bench: Bench, profiles: Path, scale: Scale) -> list[Figure]:
    """Return a bench's figures, from the loop that the services run in too."""
    with surroundings(profiles, scale, kafka=bench.kafka, mongo=bench.mongo) as setup:
        return uvloop.run(bench.run(setup))


if __name__ == "__main__":
    typer.run(main)
