"""The report on a terminal: for each question a table, the policies below or beside each other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from services.router.simulation.report.figures import (
    HANDOVERS,
    MOVES,
    PERCENTILES,
    PolicyFigures,
    QueueFigures,
)

NONE = "-"
_PLAIN = 10
"""From so many on, no decimals."""
Rows = Iterator[tuple[str, ...]]
MOVE_NAMES = {
    "overflowed": "moved to a fallback Inbox",
    "elsewhere": "served by another Inbox",
    "relaxed": "served after a step of relaxation",
}
HANDOVER_NAMES = {
    "rejected": "offers rejected",
    "timed_out": "offers timed out",
    "withdrawn": "offers withdrawn",
    "lost": "Conversations of lost Agents",
    "signed_off": "… of Agents who signed off",
    "no_room": "… that grew out of their room",
}


def show(console: Console, policies: Sequence[PolicyFigures]) -> None:
    """Print the report."""
    for title, columns, rows in (
        ("Waits for the first Agent", WAIT_COLUMNS, waits(policies)),
        (
            "Expected wait: real minus expected, of those who had to wait",
            EXPECTED_COLUMNS,
            expected(policies),
        ),
        ("Agents and handovers", ("", *(each.name for each in policies)), agents(policies)),
    ):
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 or column == "policy" else "right")
        last = ""
        for row in rows:
            if last and row[0] != last and columns[1:2] == ("policy",):
                table.add_section()
            table.add_row("" if row[0] == last else row[0], *row[1:])
            last = row[0]
        console.print(table)


WAIT_COLUMNS = (
    "queue",
    "policy",
    "asked",
    "served",
    "left",
    "waiting",
    *(f"{percent} %" for percent in PERCENTILES),
    "within target",
)
EXPECTED_COLUMNS = ("queue", "policy", "measured", "unknown", "median wait", "median error", "bias")


def waits(policies: Sequence[PolicyFigures]) -> Rows:
    """Give a row for each queue and policy."""
    for queue, of in _queues(policies):
        for policy in policies:
            each = of(policy)
            if each is not None:
                target = f" of {seconds(each.target)}" if each.target else ""
                yield (
                    queue,
                    policy.name,
                    f"{each.asked:,}",
                    f"{each.served:,}",
                    f"{each.left:,}",
                    f"{each.waiting:,}",
                    *(seconds(each.waits[f"p{percent}"]) for percent in PERCENTILES),
                    share(each.within_target) + target,
                )


def expected(policies: Sequence[PolicyFigures]) -> Rows:
    """Give a row for each queue and policy."""
    for queue, of in _queues(policies):
        for policy in policies:
            each = of(policy)
            if each is not None:
                figures = each.expected
                yield (
                    queue,
                    policy.name,
                    f"{figures.measured:,}",
                    f"{figures.unknown:,}",
                    seconds(figures.median_real),
                    seconds(figures.median_absolute_error),
                    seconds(figures.bias, signed=True),
                )


def agents(policies: Sequence[PolicyFigures]) -> Rows:
    """Give a row for each figure, with the policies beside each other."""
    figures: list[tuple[str, Callable[[PolicyFigures], str]]] = [
        ("Agents who were there", lambda each: f"{each.agents.agents:,}"),
        ("hours signed on", lambda each: f"{each.agents.hours_on:,.0f}"),
        ("occupancy", lambda each: share(each.agents.occupancy)),
        ("Conversations at a time", lambda each: number(each.agents.load)),
        ("unevenness of grants an hour (Gini)", lambda each: number(each.agents.gini)),
        *(_counted(HANDOVER_NAMES[name], "handovers", name) for name in HANDOVERS),
        *(_counted(MOVE_NAMES[name], "moves", name) for name in MOVES),
    ]
    for name, of in figures:
        yield (name, *(of(policy) for policy in policies))


def _counted(name: str, what: str, key: str) -> tuple[str, Callable[[PolicyFigures], str]]:
    return name, lambda each: f"{getattr(each, what)[key]:,}"


def _queues(
    policies: Sequence[PolicyFigures],
) -> Iterator[tuple[str, Callable[[PolicyFigures], QueueFigures | None]]]:
    names = sorted({(each.inbox, each.channel_class) for policy in policies for each in policy.queues})
    for name in names:
        yield f"{name[0]} {name[1]}", lambda policy, name=name: _found(policy, name)  # type: ignore[misc]
    yield "all", lambda policy: policy.all


def _found(policy: PolicyFigures, name: tuple[str, str]) -> QueueFigures | None:
    return next((each for each in policy.queues if (each.inbox, each.channel_class) == name), None)


def seconds(value: float | None, *, signed: bool = False) -> str:
    """Return seconds as people read them: `45 s`, `12 min`, `3.5 h`."""
    if value is None:
        return NONE
    sign = "+" if signed and value > 0 else "-" if value < 0 else ""
    size = abs(value)
    for unit, length, most in (("s", 1, 120), ("min", 60, 120 * 60)):
        if size < most:
            return f"{sign}{size / length:.{int(size < _PLAIN * length)}f} {unit}"
    return f"{sign}{size / 3600:.1f} h"


def share(value: float | None) -> str:
    """Return a share in per cent."""
    return NONE if value is None else f"{value:.1%}"


def number(value: Any) -> str:  # noqa: ANN401  (a float, or None)
    """Return a plain number."""
    return NONE if value is None else f"{value:.2f}"
