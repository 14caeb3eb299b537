"""What a bench finds: figures, each with a control of the same run beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a ratio to the control, or on the value itself where a figure has no control."""

    relation: Literal[">=", "<="]
    bound: float

    def met_by(self, measured: float) -> bool:
        """Return whether `measured` keeps to the bound."""
        return measured >= self.bound if self.relation == ">=" else measured <= self.bound

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


def at_least(bound: float) -> Target:
    """Return the target of a figure that is better when higher."""
    return Target(">=", bound)


def at_most(bound: float) -> Target:
    """Return the target of a figure that is better when lower."""
    return Target("<=", bound)


@dataclass(frozen=True, slots=True)
class Pair:
    """One round: what the subject and the control showed, one right after the other."""

    subject: float
    control: float

    @property
    def ratio(self) -> float:
        """The subject in parts of the control."""
        return self.subject / self.control


@dataclass(frozen=True, slots=True)
class Control:
    """What stood beside the subject: its value, and the ratios to it over the rounds."""

    what: str
    value: float
    ratio: float
    """The median of the rounds' ratios, not the ratio of the medians."""
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `value` and the control's are medians over the rounds, in `unit`."""

    name: str
    value: float
    unit: str
    control: Control | None = None
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.target.met_by(self.value if self.control is None else self.control.ratio)


def compared(
    name: str, unit: str, pairs: Sequence[Pair], *, control: str, target: Target | None = None
) -> Figure:
    """Return the figure of several rounds; raises StatisticsError for none."""
    ratios = [pair.ratio for pair in pairs]
    beside = Control(
        control, median(pair.control for pair in pairs), median(ratios), min(ratios), max(ratios)
    )
    return Figure(name, median(pair.subject for pair in pairs), unit, beside, target)
