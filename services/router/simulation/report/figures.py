"""The figures of a report, from what was measured; plain values that JSON can hold. Times in seconds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from schemas.common import ChannelClass
from schemas.envelope import rfc3339
from services.router.simulation.measures import Measures, QueueMeasures, Work

PERCENTILES = (50, 90, 95, 99)
TARGETS: Mapping[ChannelClass, float] = {
    ChannelClass.VOICE: 20.0,
    ChannelClass.MESSAGING: 60.0,
    ChannelClass.EMAIL: 14_400.0,
    ChannelClass.TASKS: 14_400.0,
}
"""In which a Conversation should have its Agent, where nothing else is said."""
HANDOVERS = ("rejected", "timed_out", "withdrawn", "lost", "signed_off", "no_room")
MOVES = ("overflowed", "elsewhere", "relaxed")
_WORKED = 600.0
"""An Agent who was there for less is left out of loads and fairness."""
_PARTS = 12


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One Inbox and class."""

    inbox: str
    channel_class: str
    asked: int
    served: int
    left: int
    waiting: int
    """Without an Agent when the day ended."""
    waits: dict[str, float | None]
    """By percentile (`p50`, …), of those who were served."""
    target: float | None
    within_target: float | None
    """Share of those of whom it is known."""
    expected: "ExpectedFigures"


@dataclass(frozen=True, slots=True)
class ExpectedFigures:
    """How far the expected wait was off, for those who had to wait: real minus expected."""

    measured: int
    unknown: int
    """Nobody was there who could have served them."""
    median_real: float | None
    median_absolute_error: float | None
    bias: float | None
    """Mean error; above 0: they waited longer than they were told."""
    by_expected: list[tuple[float, float]]
    """Median expected and median real wait of equal parts, by rising expectation."""


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """Loads, and how evenly they are spread."""

    agents: int
    hours_on: float
    occupancy: float | None
    """Share of the time signed on with at least one Conversation."""
    load: float | None
    """Conversations at a time while signed on."""
    gini: float | None
    """0: all had as many Conversations for each hour signed on as the others; 1: one had all."""
    occupancies: list[float]
    """Of each Agent, rising."""


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """A day under one policy."""

    name: str
    all: QueueFigures
    queues: list[QueueFigures]
    agents: AgentFigures
    handovers: dict[str, int]
    moves: dict[str, int]
    decisions: dict[str, int]
    at: list[str]
    waiting: list[int]
    held: list[int]
    there: list[int]
    """The pool at each of `at`: Conversations without an Agent, with one, Agents there."""


def figures(name: str, measured: Measures, targets: Mapping[ChannelClass, float]) -> PolicyFigures:
    """Return the figures of a day."""
    wanted = {**TARGETS, **targets}
    queues = [
        _queue(inbox, str(kind), [(each, wanted[kind])])
        for (inbox, kind), each in sorted(measured.queues.items())
    ]
    together = [(each, wanted[kind]) for (_, kind), each in measured.queues.items()]
    return PolicyFigures(
        name=name,
        all=_queue("all", "", together),
        queues=queues,
        agents=_agents(measured.agents.values()),
        handovers={each: measured.handovers[each] for each in HANDOVERS},
        moves={each: measured.moves[each] for each in MOVES},
        decisions=dict(sorted(measured.decisions.items())),
        at=[rfc3339(sample.at) for sample in measured.samples],
        waiting=[sample.waiting for sample in measured.samples],
        held=[sample.held for sample in measured.samples],
        there=[sample.there for sample in measured.samples],
    )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many per cent do not exceed; None of none."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1] if ordered else None


def gini(values: Iterable[float]) -> float | None:
    """Return the Gini coefficient of values that are not negative; None of none, or of zeros only."""
    ordered = sorted(values)
    total, count = sum(ordered), len(ordered)
    if not total:
        return None
    weighted = sum(rank * value for rank, value in enumerate(ordered, 1))
    return round(2 * weighted / (count * total) - (count + 1) / count, 4)


def _queue(inbox: str, kind: str, parts: Sequence[tuple[QueueMeasures, float]]) -> QueueFigures:
    """Return the figures of queues together, each with its target."""
    ordered = sorted(wait for each, _ in parts for wait in each.waits)
    within = sum(wait <= target for each, target in parts for wait in each.waits)
    in_vain = [(wait, target) for each, target in parts for wait in (*each.left, *each.waiting)]
    known = len(ordered) + sum(wait > target for wait, target in in_vain)
    measured = [each for each, _ in parts]
    return QueueFigures(
        inbox=inbox,
        channel_class=kind,
        asked=sum(each.asked for each in measured),
        served=len(ordered),
        left=sum(len(each.left) for each in measured),
        waiting=sum(len(each.waiting) for each in measured),
        waits={f"p{percent}": _rounded(percentile(ordered, percent)) for percent in PERCENTILES},
        target=parts[0][1] if len(parts) == 1 else None,
        within_target=round(within / known, 4) if known else None,
        expected=_expected(measured),
    )


def _expected(measured: Sequence[QueueMeasures]) -> ExpectedFigures:
    pairs = sorted(pair for each in measured for pair in each.predictions)
    errors = [real - expected for expected, real in pairs]
    size = max(len(pairs) // _PARTS, 1)
    parts = [pairs[start : start + size] for start in range(0, len(pairs) - size + 1, size)]
    return ExpectedFigures(
        measured=len(pairs),
        unknown=sum(each.unpredicted for each in measured),
        median_real=_rounded(median(real for _, real in pairs)) if pairs else None,
        median_absolute_error=_rounded(median(map(abs, errors))) if pairs else None,
        bias=_rounded(fmean(errors)) if pairs else None,
        by_expected=[
            (round(median(each for each, _ in part), 1), round(median(each for _, each in part), 1))
            for part in parts
        ],
    )


def _agents(worked: Iterable[Work]) -> AgentFigures:
    there = [each for each in worked if each.on >= _WORKED]
    on = sum(each.on for each in there)
    return AgentFigures(
        agents=len(there),
        hours_on=round(on / 3600, 1),
        occupancy=round(sum(each.busy for each in there) / on, 4) if on else None,
        load=round(sum(each.held for each in there) / on, 3) if on else None,
        gini=gini(each.grants / each.on for each in there),
        occupancies=sorted(round(each.busy / each.on, 4) for each in there),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
