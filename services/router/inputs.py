"""Bodies of the router's HTTP commands."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, StrictBool

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


class AvailabilityInput(RootModel[dict[Channel, StrictBool]]):
    """Channels to switch on or off; the others stay as they are."""

    root: dict[Channel, StrictBool] = Field(min_length=1)
