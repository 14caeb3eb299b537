"""Figures as JSON, as Markdown and as a table on the terminal."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.local.terminal import wide_console
from tests.bench.figures import Figure
from tests.bench.setup import Scale

HEADINGS = ("figure", "measured", "control", "ratio (lowest to highest)", "target", "met")


def write(directory: Path, figures: Sequence[Figure], scale: Scale, at: datetime) -> None:
    """Write `report.json` and `report.md` into `directory`, and print the table."""
    facts = {"at": at.isoformat(timespec="seconds"), "scale": scale.value, **machine()}
    report = {**facts, "figures": [as_json(figure) for figure in figures]}
    (directory / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (directory / "report.md").write_text(markdown(figures, facts))
    table = Table(*HEADINGS, title=", ".join(f"{name}: {value}" for name, value in facts.items()))
    for figure in figures:
        table.add_row(*row(figure))
    wide_console().print(table)


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def as_json(figure: Figure) -> dict[str, Any]:
    """Return the figure as JSON values."""
    target = None if figure.target is None else str(figure.target)
    return {**asdict(figure), "target": target, "met": figure.met}


def markdown(figures: Sequence[Figure], facts: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    lines += [f"| {' | '.join(HEADINGS)} |", "|" + "---|" * len(HEADINGS)]
    lines += [f"| {' | '.join(row(figure))} |" for figure in figures]
    return "\n".join(lines) + "\n"


def row(figure: Figure) -> tuple[str, ...]:
    """Return the figure's cells, in the order of `HEADINGS`."""
    control = figure.control
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    return (
        figure.name,
        f"{_number(figure.value)} {figure.unit}",
        f"{_number(control.value)} {figure.unit}, {control.what}" if control else "",
        f"{_ratio(control.ratio)} ({_ratio(control.lowest)} to {_ratio(control.highest)})" if control else "",
        str(figure.target or ""),
        met,
    )


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
