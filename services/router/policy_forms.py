"""What may stand in the file of policies, and in which shape. The reference is docs/routing.md."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StringConstraints, model_validator

from schemas.common import ChannelClass, SkillName
from services.router.domain.policy import ChoiceName, InboxPolicy, Policy, Relaxation

_LONGEST = 31_536_000
Seconds = Annotated[StrictInt | StrictFloat, Field(gt=0, le=_LONGEST)]
OrNone = Annotated[StrictInt | StrictFloat, Field(ge=0, le=_LONGEST)]
"""Seconds; 0 for not at all."""
Some = Annotated[StrictInt, Field(ge=1, le=1000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Form(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Step(Form):
    """A step of relaxation."""

    after: Seconds
    """Seconds in the queue."""
    skills: dict[SkillName, Annotated[StrictInt, Field(le=-1, ge=-100)]] = {}
    lower: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    drop: tuple[SkillName, ...] = ()
    inboxes: tuple[Name, ...] = ()
    priority: Some | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.skills or self.lower or self.drop or self.inboxes or self.priority):
            message = "does nothing: needs one of skills, lower, drop, inboxes, priority"
            raise ValueError(message)
        return self

    def value(self) -> Relaxation:
        """Return it as the engine has it."""
        return Relaxation(
            float(self.after), self.skills, self.lower or 0, self.drop, self.inboxes, self.priority or 0
        )


class Ageing(Form):
    """How waiting counts."""

    every: Seconds
    """Each time so many seconds have passed again, the priority rises by 1."""
    limit: Some = 10
    """By so much at most."""


class InboxForm(Form):
    """Of an Inbox; what is left out is as the pool, else `defaults`, else the program has it."""

    choice: ChoiceName | None = None
    targets: dict[ChannelClass, Seconds] | None = None
    ageing: Ageing | None = None
    starving_seconds: Seconds | None = None
    preferred_grace_seconds: OrNone | None = None
    offer_seconds: dict[ChannelClass, Seconds] | None = None
    wrap_up_seconds: OrNone | None = None
    relaxation: tuple[Step, ...] | None = None
    fallback: Name | None = None
    """Instead of the one that the file of Inboxes names."""

    def over(self, base: InboxPolicy) -> InboxPolicy:
        """Return `base` with what is said here; of targets and offers, class by class."""
        said: dict[str, Any] = {
            "choice": self.choice,
            "targets": _merged(base.targets, self.targets),
            "ageing_seconds": self.ageing.every if self.ageing else None,
            "ageing_limit": self.ageing.limit if self.ageing else None,
            "starving_seconds": self.starving_seconds,
            "preferred_grace_seconds": self.preferred_grace_seconds,
            "offer_seconds": _merged(base.offer_seconds, self.offer_seconds),
            "wrap_up_seconds": self.wrap_up_seconds,
            "relaxation": None
            if self.relaxation is None
            else tuple(step.value() for step in self.relaxation),
            "fallback": self.fallback,
        }
        before = {name: getattr(base, name) for name in said}
        return InboxPolicy(**{**before, **{name: value for name, value in said.items() if value is not None}})


class PoolForm(InboxForm):
    """Of a pool: what holds for its Agents, and for those of its Inboxes that say nothing else."""

    ask_again_seconds: Seconds | None = None
    timeouts_until_away: Some | None = None
    heartbeat_seconds: Seconds | None = None

    def of_agents(self, base: Policy) -> dict[str, Any]:
        """Return the settings of a pool's Agents, over `base`."""
        names = ("ask_again_seconds", "timeouts_until_away", "heartbeat_seconds")
        said = {name: getattr(self, name) for name in names}
        return {name: getattr(base, name) if value is None else value for name, value in said.items()}


class FileForm(Form):
    """The whole file."""

    skills: tuple[SkillName, ...] | None = None
    """All there are; where they are listed, no other may be named."""
    defaults: PoolForm = PoolForm()
    pools: dict[Name, PoolForm] = {}
    inboxes: dict[Name, InboxForm] = {}

    def parts(self) -> Iterator[tuple[tuple[str | int, ...], InboxForm]]:
        """Give each part that may hold steps, with its place."""
        yield ("defaults",), self.defaults
        yield from ((("pools", name), form) for name, form in self.pools.items())
        yield from ((("inboxes", name), form) for name, form in self.inboxes.items())


def _merged(
    base: Mapping[ChannelClass, float], said: Mapping[ChannelClass, float] | None
) -> Mapping[ChannelClass, float] | None:
    return None if said is None else {**base, **said}
