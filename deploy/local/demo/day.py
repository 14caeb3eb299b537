"""The recorded day: people, and what they, the agents and the providers do."""

from collections.abc import Mapping
from datetime import time
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.local.simulator.behaviour import Mode
from schemas.common import Channel

FILE = Path(__file__).parent / "day.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(_Model):
    """Somebody who writes, with an address on one channel or more: the first is the one to be known by."""

    name: str
    addresses: Mapping[Channel, str] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _beside_the_name(cls, person: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": person.get("name"),
            "addresses": {channel: address for channel, address in person.items() if channel != "name"},
        }

    def address(self, channel: Channel) -> str:
        """Return the address on `channel`; raises ValueError when there is none."""
        address = self.addresses.get(channel)
        if address is None:
            message = f"{self.name} has no address on {channel}"
            raise ValueError(message)
        return address


class _Event(_Model):
    at: time


class Writes(_Event):
    """A message. `answers`: to the last mail we sent. `automatic`: nobody wrote it (RFC 3834)."""

    does: Literal["writes"]
    id: str
    who: str
    by: Channel
    through: str = ""
    """The provider; the first of the channel where none is named."""
    text: str
    subject: str = "Your lamp"
    answers: bool = False
    automatic: bool = False
    picture: bool = False
    """With one, by SMS or chat."""
    hours_late: int = 0
    """How long the provider held it back."""


class Sends(_Event):
    """A WhatsApp message of any type; the timeline shows it with the words `shows`."""

    does: Literal["sends"]
    id: str
    who: str
    content: dict[str, Any]
    shows: str


class Reacts(_Event):
    """An emoji as an answer to the last message, on WhatsApp."""

    does: Literal["reacts"]
    id: str
    who: str
    emoji: str


class Calls(_Event):
    """A call: `presses` one key a menu, and leaves the message `says`."""

    does: Literal["calls"]
    id: str
    who: str
    by: Literal[Channel.VOICE] = Channel.VOICE
    presses: str
    says: str


class Repeats(_Event):
    """The provider delivers `of` once more."""

    does: Literal["repeats"]
    of: str


class Forges(_Event):
    """Somebody pretends to be the provider, or the visitor."""

    does: Literal["forges"]
    who: str
    by: Channel
    through: str = ""
    text: str


class Breaks(_Event):
    """A signed body that cannot be read."""

    does: Literal["breaks"]
    by: Literal[Channel.WHATSAPP]
    body: str


class Reports(_Event):
    """A status of a message that we never sent."""

    does: Literal["reports"]
    by: Literal[Channel.SMS, Channel.WHATSAPP]
    who: str
    status: str


class Types(_Event):
    """A visitor of the web chat begins to type."""

    does: Literal["types"]
    who: str
    by: Literal[Channel.CHAT] = Channel.CHAT


class Reads(_Event):
    """A visitor of the web chat has read all that we wrote."""

    does: Literal["reads"]
    who: str
    by: Literal[Channel.CHAT] = Channel.CHAT


class SignsOn(_Event):
    """An Agent becomes available on every channel."""

    does: Literal["signs_on"]
    agent: str


class SignsOff(_Event):
    """An Agent ends the work."""

    does: Literal["signs_off"]
    agent: str


class Replies(_Event):
    """Whoever has the Conversation with `to` answers, in own words or by a template."""

    does: Literal["replies"]
    to: str
    text: str = ""
    template: str = ""
    parameters: tuple[str, ...] = ()
    meets: Mode = Mode.OK
    """How the provider behaves just then."""
    ends: str = ""
    """The status it must come to; with its provider (sent, delivered or read) where none is given."""
    refused: str = ""
    """The problem that Parley must answer, and send nothing."""


class Notes(_Event):
    """Whoever has the Conversation with `to` notes something down."""

    does: Literal["notes"]
    to: str
    text: str


class Closes(_Event):
    """Whoever has the Conversation with `who` closes it."""

    does: Literal["closes"]
    who: str
    confirmed: bool | None = None


WebhookEvent = Writes | Sends | Reacts | Calls | Repeats | Forges | Breaks | Reports | Types | Reads
AgentEvent = SignsOn | SignsOff | Replies | Notes | Closes
Event = Annotated[WebhookEvent | AgentEvent, Field(discriminator="does")]


class Day(_Model):
    """All of it, in the order of time."""

    people: dict[str, Person]
    events: tuple[Event, ...]

    @classmethod
    def load(cls, file: Path = FILE) -> Self:
        """Read the day; raises pydantic's ValidationError."""
        return cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))

    @cached_property
    def moments(self) -> list[list[Event]]:
        """Events by time: those in one list happen at once."""
        moments: dict[time, list[Event]] = {}
        for event in self.events:
            moments.setdefault(event.at, []).append(event)
        return list(moments.values())

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        times = [event.at for event in self.events]
        if times != sorted(times):
            message = "events are not in the order of time"
            raise ValueError(message)
        written: set[str] = set()
        for event in self.events:
            self._check(event, written)
        return self

    def _check(self, event: WebhookEvent | AgentEvent, written: set[str]) -> None:
        person = getattr(event, "who", None) or getattr(event, "to", None)
        if person is not None and person not in self.people:
            message = f"{event.at}: nobody is called {person!r}"
            raise ValueError(message)
        match event:
            case Writes() | Forges() | Calls() | Types() | Reads():
                self.people[event.who].address(event.by)
            case Sends() | Reacts():
                self.people[event.who].address(Channel.WHATSAPP)
            case Repeats() if event.of not in written:
                message = f"{event.at}: repeats {event.of!r}, which was not sent yet"
                raise ValueError(message)
        if isinstance(event, Writes | Sends | Reacts | Calls):
            if event.id in written:
                message = f"{event.at}: the id {event.id!r} is used twice"
                raise ValueError(message)
            written.add(event.id)
