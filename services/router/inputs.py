"""Bodies of the router's HTTP commands."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, StrictBool, model_validator

from schemas.common import Channel, ChannelClass, SkillName

Limit = Annotated[int, Field(ge=0, le=1000)]


class CapacityInput(BaseModel):
    """How many Conversations at a time. 0 for a class: none of it."""

    model_config = ConfigDict(extra="forbid")

    total: int = Field(8, ge=1, le=1000)
    voice: Limit = 1
    messaging: Limit = 3
    email: Limit = 5
    tasks: Limit = 5

    @model_validator(mode="after")
    def _takes_something(self) -> Self:
        if not (self.voice or self.messaging or self.email or self.tasks):
            message = "at least one of voice, messaging, email and tasks must be above 0"
            raise ValueError(message)
        return self


class AvailabilityInput(RootModel[dict[Channel | Literal["focus"], StrictBool]]):
    """Channels to switch on or off; the others stay as they are. `focus`: true stops pushes."""

    root: dict[Channel | Literal["focus"], StrictBool] = Field(min_length=1)

    @property
    def channels(self) -> dict[Channel, bool]:
        """Return what is said of channels."""
        return {name: on for name, on in self.root.items() if isinstance(name, Channel)}

    @property
    def focus(self) -> bool | None:
        """Return what is said of focus, None for nothing."""
        return self.root.get("focus")


class ProfileInput(BaseModel):
    """An Agent's whole profile."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    pool: str | None = Field(None, min_length=1, max_length=100)
    """Default: the pool of the Inboxes."""
    inboxes: list[str] = Field(min_length=1, max_length=100)
    skills: dict[SkillName, Annotated[int, Field(ge=1, le=100)]] = Field(default_factory=dict)
    capacity: CapacityInput = Field(default_factory=CapacityInput)
    auto_accept: dict[ChannelClass, StrictBool] = Field(default_factory=dict)
    voice_alone: StrictBool = True
    """A call is alone with the Agent: nothing joins it, and it joins nothing but Tasks."""
    excludes: dict[ChannelClass, list[ChannelClass]] = Field(default_factory=dict)
    """While the Agent has something of the one class, nothing of the others joins it."""
    pull_limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Who holds so many may not ask for the next; without one, only the capacity counts."""
