"""The file of a synthetic day: who writes when, and which Agents are there (docs/simulation.md)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.common import Channel, ChannelClass, SkillName
from services.router.inputs import CapacityInput

HOURS = 24
_DAY_MINUTES = 24 * 60

Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[int, Field(ge=1, le=100)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class BadScenario(ValueError):  # noqa: N818  (says what the file is)
    """The file is wrong; the text names file and field."""


def _clock(text: str) -> str:
    hours, _, minutes = text.partition(":")
    if not (hours.isdigit() and minutes.isdigit() and len(minutes) == 2):  # noqa: PLR2004  (digits)
        raise ValueError("is no time of day; write it as 08:30")
    if int(minutes) >= 60 or int(hours) * 60 + int(minutes) > _DAY_MINUTES:  # noqa: PLR2004  (minutes)
        raise ValueError("is no time of day")
    return text


Clock = Annotated[str, AfterValidator(_clock)]


def minutes_of(clock: str) -> int:
    """Return minutes since midnight."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Spread(_Part):
    """A lognormal time: half of all are below the median, two thirds within a factor e^sigma of it."""

    median_seconds: Seconds
    sigma: float = Field(0.6, ge=0, le=3)


class Need(_Part):
    """What a share of a class's Conversations needs besides its Inbox and channel."""

    share: Share
    skills: dict[SkillName, Level] = Field(default_factory=dict)
    priority: int = Field(0, ge=-100, le=100)


class Arrivals(_Part):
    """Conversations that come on one channel into one Inbox."""

    name: Name
    inbox: Name
    channel: Channel
    a_day: float = Field(ge=0, le=1_000_000)
    """How many come on average."""
    by_hour: tuple[Annotated[float, Field(ge=0)], ...] = (1.0,) * HOURS
    """Relative rate in each hour from midnight."""
    handling: Spread
    patience: Spread | None = None
    """How long they wait for their first Agent before they give up; absent: they do not."""
    needs: tuple[Need, ...] = ()
    """Shares that need more; the rest needs nothing."""
    prefers: Share = 0.0
    """Share that had an Agent of the Inbox before, and prefers them."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if len(self.by_hour) != HOURS:
            raise ValueError(f"by_hour: {HOURS} numbers are needed, there are {len(self.by_hour)}")
        if self.a_day and not sum(self.by_hour):
            raise ValueError("by_hour: at least one number is above 0")
        if sum(need.share for need in self.needs) > 1 + 1e-9:
            raise ValueError("needs: the shares are more than 1 together")
        return self


class Shift(_Part):
    """When a share of a team is there; over midnight where it ends before it begins."""

    share: Share = 1.0
    start: Clock
    end: Clock


class Team(_Part):
    """Agents with the same profile."""

    name: Name = Field(pattern=r"^[a-z0-9-]{1,40}$")
    agents: int = Field(ge=1, le=20_000)
    inboxes: tuple[Name, ...] = Field(min_length=1)
    channels: tuple[Channel, ...] = Field(min_length=1)
    skills: dict[SkillName, Level] = Field(default_factory=dict)
    skilled: Share = 1.0
    """Share of the team that has the skills."""
    capacity: CapacityInput = Field(default_factory=CapacityInput)
    auto_accept: dict[ChannelClass, bool] = Field(default_factory=dict)
    voice_alone: bool = True
    shifts: tuple[Shift, ...] = Field(min_length=1)
    answer: Spread = Spread(median_seconds=5)
    """How long an Agent takes to answer an offer."""
    rejects: Share = 0.0
    """Share of offers declined."""
    ignores: Share = 0.0
    """Share of offers left unanswered."""
    lost: Share = 0.0
    """Share whose heartbeats stop once in a shift."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if abs(sum(shift.share for shift in self.shifts) - 1) > 1e-6:  # noqa: PLR2004  (rounding)
            raise ValueError("shifts: the shares are not 1 together")
        if self.rejects + self.ignores > 1:
            raise ValueError("rejects and ignores are more than 1 together")
        return self


class Scenario(_Part):
    """A synthetic day."""

    pool: Name = "main"
    start: datetime = datetime(2026, 3, 2, tzinfo=UTC)
    """Midnight of the day, with a time zone."""
    hours: float = Field(HOURS, gt=0, le=HOURS)
    arrivals: tuple[Arrivals, ...] = Field(min_length=1)
    teams: tuple[Team, ...] = Field(min_length=1)
    targets: dict[ChannelClass, Seconds] = Field(default_factory=dict)
    """Seconds in which a Conversation of the class should have its Agent."""
    back_after_seconds: Seconds = 120
    """An Agent away for unanswered offers, or lost, is back after so long."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.start.tzinfo is None:
            raise ValueError("start: has no time zone; write it as 2026-03-02T00:00:00Z")
        for part, names in (
            ("arrivals", [each.name for each in self.arrivals]),
            ("teams", [each.name for each in self.teams]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{part}: {min(twice)} is there twice")
        served = {
            (inbox, channel) for team in self.teams for inbox in team.inboxes for channel in team.channels
        }
        for each in self.arrivals:
            if (each.inbox, each.channel) not in served:
                raise ValueError(
                    f"arrivals: {each.name}: no team serves {each.channel} in Inbox {each.inbox}"
                )
        return self


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises BadScenario, OSError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadScenario(f"{path.name}: {error}") from error
    if not isinstance(content, dict):
        raise BadScenario(f"{path.name}: a mapping with `arrivals` and `teams` is needed")
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise BadScenario(f"{path.name}: {field}: {said}" if field else f"{path.name}: {said}") from error
