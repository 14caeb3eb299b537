"""What a rule consists of, as the file of rules and the dry run have it; docs/rules.md explains it."""

import re
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Literal, Self

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from schemas.common import Channel, SkillName
from schemas.conversations import Status
from schemas.tickets import TicketReason
from services.chassis.text import clean
from services.conversation.domain.ruling.text import compiled, phrase
from services.conversation.domain.topics import MOST_TOPICS, Topics

MOST_RULES = 200
_MOST_WORDS = 200
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Event(StrEnum):
    """What a rule can fire at."""

    MESSAGE = "message"
    OPENED = "opened"
    REOPENED = "reopened"
    WAITING = "waiting"
    CLOSED = "closed"
    ASSIGNED = "assigned"
    TRANSFERRED = "transferred"
    TOPICS = "topics"
    CALL = "call"
    AGE = "age"


HEARD = frozenset({Event.MESSAGE, Event.OPENED, Event.REOPENED, Event.CALL})
"""Events at which the Customer may have said something."""


def _several(given: object) -> object:
    """Let one value stand for a list of one."""
    return given if isinstance(given, list | tuple) or given is None else (given,)


def _duration(given: object) -> object:
    if not isinstance(given, str):
        return given
    found = re.fullmatch(r"([0-9]{1,9})\s*([smhd])", given.strip())
    if found is None:
        message = "must be a whole number and a unit: 90s, 30m, 2h or 3d"
        raise ValueError(message)
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _compilable(pattern: str) -> str:
    try:
        compiled(pattern)
    except re2.error as error:
        detail = error.args[0]
        shown = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        message = f"is no RE2 pattern: {shown}"
        raise ValueError(message) from None
    return pattern


def _with_words(given: str) -> str:
    if not phrase(given).strip():
        message = "has no letter or digit; `contains` finds signs"
        raise ValueError(message)
    return given


OneOrMore = BeforeValidator(_several)
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_with_words)]
Part = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_compilable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
RuleName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=4000), AfterValidator(clean)]
Duration = Annotated[
    timedelta, BeforeValidator(_duration), Field(ge=timedelta(seconds=1), le=timedelta(days=366))
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Text(_Part):
    """What the Customer said: all of what is given here must hold. Case does not matter, but in `pattern`."""

    any: Annotated[tuple[Phrase, ...], OneOrMore] = Field((), max_length=_MOST_WORDS)
    """One of these words or phrases is in it, as whole words."""
    all: Annotated[tuple[Phrase, ...], OneOrMore] = Field((), max_length=_MOST_WORDS)
    """Each of these is."""
    none: Annotated[tuple[Phrase, ...], OneOrMore] = Field((), max_length=_MOST_WORDS)
    """None of these is."""
    contains: Annotated[tuple[Part, ...], OneOrMore] = Field((), max_length=_MOST_WORDS)
    """One of these is in it, within a word too."""
    pattern: Pattern | None = None
    """An RE2 expression finds something in it. RE2 knows no back-references, and takes linear time."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: object) -> object:
        return {"any": given} if isinstance(given, str | list | tuple) else given

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.any or self.all or self.none or self.contains or self.pattern):
            message = "asks for nothing"
            raise ValueError(message)
        return self


class Conditions(_Part):
    """All must hold; of a list one is enough."""

    channel: Annotated[tuple[Channel, ...], OneOrMore] = ()
    """Where the Customer wrote or called; of other events, where they last did."""
    account: Annotated[tuple[Name, ...], OneOrMore] = Field((), max_length=_MOST_WORDS)
    """Which account of ours that was."""
    inbox: Annotated[tuple[Name, ...], OneOrMore] = Field((), max_length=_MOST_WORDS)
    """Where the Conversation sits."""
    status: Annotated[tuple[Status, ...], OneOrMore] = ()
    """Its status after the event."""
    topic: Annotated[Topics, OneOrMore] = Field((), max_length=_MOST_WORDS)
    """It has one of these Topics, or one below."""
    text: Text | None = None
    """What the Customer said."""
    first_message: bool | None = None
    """Whether it is the first message of the Conversation."""
    transfers: int | None = Field(None, ge=1, le=100)
    """It moved to another Inbox at least so often."""


class Actions(_Part):
    """What is done, in this order."""

    topic: Annotated[Topics, OneOrMore] = Field((), max_length=MOST_TOPICS)
    """Topics that are added."""
    set_topic: Annotated[Topics, OneOrMore] | None = Field(None, max_length=MOST_TOPICS)
    """Topics that take the place of all others."""
    priority: int | None = Field(None, ge=-10, le=10)
    """0 is normal; higher is served first."""
    skills: dict[SkillName, Annotated[int, Field(ge=1, le=100)]] = Field({}, max_length=20)
    """Skills, with the least level, that the Agent must have."""
    inbox: Name | None = None
    """The Inbox that it moves to, and is routed in."""
    note: Words | None = None
    """An internal note."""
    reply: Words | None = None
    """A text to the Customer, at most once in a Conversation."""
    ticket: TicketReason | None = None
    """A ticket is made, for this reason."""
    close: bool = False
    """The Conversation is closed."""

    @property
    def named(self) -> tuple[str, ...]:
        """What it does, by the names of the fields."""
        fields = type(self).model_fields
        return tuple(name for name, field in fields.items() if getattr(self, name) != field.default)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.named:
            message = "does nothing"
            raise ValueError(message)
        if self.topic and self.set_topic is not None:
            message = "either adds Topics (`topic`) or replaces them (`set_topic`)"
            raise ValueError(message)
        return self


class Rule(BaseModel):
    """One rule."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: RuleName
    """Shown beside everything the rule does."""
    enabled: bool = True
    """Whether it is looked at."""
    when: Annotated[tuple[Event, ...], OneOrMore] = Field(min_length=1)
    """What it fires at."""
    after: Duration | None = None
    """Of `age`: how old."""
    since: Literal["opened", "status"] = "opened"
    """Of `age`: counted since it was opened or reopened, or since it has its status."""
    conditions: Conditions = Field(Conditions(), alias="if")
    """What must hold besides."""
    then: Actions
    """What is done."""
    every: bool = False
    """It fires each time, not once from an opening to the next; by `age`: once for each stay in a status."""

    @field_validator("when")
    @classmethod
    def _alone(cls, when: tuple[Event, ...]) -> tuple[Event, ...]:
        if len(set(when)) < len(when):
            message = "names an event twice"
            raise ValueError(message)
        if Event.AGE in when and len(when) > 1:
            message = "`age` stands alone"
            raise ValueError(message)
        return when

    @property
    def by_age(self) -> bool:
        """It fires by time alone."""
        return self.when == (Event.AGE,)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        wrong = self._about_time() or self._about_words() or self._about_closed()
        if wrong:
            raise ValueError(wrong)
        return self

    def _about_time(self) -> str | None:
        if self.by_age != (self.after is not None):
            return "`after` belongs to `when: age`, and `age` needs it"
        if self.since == "status" and not self.by_age:
            return "`since` belongs to `when: age`"
        if self.by_age and self.every and self.since != "status":
            return "`every` with `age` needs `since: status`"
        if self.by_age and Status.CLOSED in self.conditions.status:
            return "time does not count for a closed Conversation"
        return None

    def _about_words(self) -> str | None:
        asked = self.conditions
        if (asked.text is not None or asked.first_message is not None) and not HEARD.issuperset(self.when):
            return f"`text` and `first_message` can hold only at {', '.join(sorted(HEARD))}"
        return None

    def _about_closed(self) -> str | None:
        late = {"skills", "inbox", "reply", "close"} & set(self.then.named)
        if self.when == (Event.CLOSED,) and late:
            return f"a closed Conversation takes no: {', '.join(sorted(late))}"
        return None


class Rules(_Part):
    """The whole file, in the order in which it is gone through."""

    rules: tuple[Rule, ...] = Field((), max_length=MOST_RULES)

    def of(self, event: Event) -> tuple[Rule, ...]:
        """Return those that fire at `event`."""
        return self._by_event.get(event, ())

    @cached_property
    def _by_event(self) -> dict[Event, tuple[Rule, ...]]:
        live = [rule for rule in self.rules if rule.enabled]
        return {event: tuple(rule for rule in live if event in rule.when) for event in Event}

    @property
    def aging(self) -> str:
        """The rules of age in short: the same as long as they are."""
        rules = [rule.model_dump_json() for rule in self.of(Event.AGE)]
        return sha256("\n".join(rules).encode()).hexdigest()


NONE = Rules()
NO_AGING = NONE.aging
