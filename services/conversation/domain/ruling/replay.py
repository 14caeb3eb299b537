"""The rules played over what the timeline says of a past Conversation: what they would have done.

What really happened is taken as it was: a rule that would have moved or closed the Conversation changes
nothing of what comes later. Only Topics that rules would have added stay, for other rules to see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from schemas.common import Channel
from schemas.conversations import Status
from services.conversation.domain.draft import TimelineRow
from services.conversation.domain.model import Contact, Conversation
from services.conversation.domain.routed import Routing
from services.conversation.domain.ruled import FRESH
from services.conversation.domain.ruling.definition import Event, Rule, Rules
from services.conversation.domain.ruling.happenings import Happening, Told, taken
from services.conversation.domain.ruling.matching import due_at, fires
from services.conversation.domain.topics import added


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule would have fired."""

    rule: Rule
    at: datetime
    event: Event
    actions: dict[str, Any]
    """What it would have done, as JSON, by the names of the file."""


def replay(
    conversation: Conversation, rows: Sequence[TimelineRow], rules: Rules, until: datetime
) -> Iterator[list[Firing]]:
    """Yield, for each step of the past up to `until`, what would have fired. `rows` are in their order."""
    past = _Past(_beginning(conversation, rows), rules)
    for moment, together in groupby(rows, key=lambda row: row.received_at):
        yield past.wait(moment)
        yield past.step(moment, list(together))
    yield past.wait(until)


def _beginning(conversation: Conversation, rows: Sequence[TimelineRow]) -> Conversation:
    moved = (row.fields["before"] for row in rows if _is_transfer(row))
    return Conversation(
        id=conversation.id,
        customer_id=conversation.customer_id,
        inbox=next(moved, conversation.inbox),
        status=Status.NEW,
        routing=Routing(pool=conversation.routing.pool),
        opened_at=conversation.opened_at,
        updated_at=conversation.opened_at,
        ruled=replace(FRESH, opened_at=conversation.opened_at, status_at=conversation.opened_at),
    )


class _Past:
    """The Conversation as it was, with what rules would have added."""

    def __init__(self, beginning: Conversation, rules: Rules) -> None:
        self._now = beginning
        self._rules = rules
        self._more: tuple[str, ...] = ()

    def wait(self, until: datetime) -> list[Firing]:
        """Let time pass: the rules of age."""
        fired: list[Firing] = []
        while True:
            due = [(at, n) for n, rule in enumerate(self._aging) if (at := due_at(rule, self._now))]
            at, n = min(due, default=(until, -1))
            if n < 0 or at >= until:
                return fired
            fired.append(self._fire(self._aging[n], at, Event.AGE))

    @property
    def _aging(self) -> tuple[Rule, ...]:
        return self._rules.of(Event.AGE)

    def step(self, at: datetime, rows: Sequence[TimelineRow]) -> list[Firing]:
        """Take in what happened at one moment."""
        told: list[Told] = []
        for row in rows:
            self._now = _after(self._now, row, self._more)
            told += [each for each in _told(row) if "rule" not in row.fields or each.status]
        ruled, happenings = taken(self._now.ruled, told, self._rules)
        self._now = replace(self._now, ruled=ruled)
        return [
            self._fire(rule, at, happening.event)
            for happening in happenings
            for rule in self._rules.of(happening.event)
            if self._fires(rule, happening)
        ]

    def _fires(self, rule: Rule, happening: Happening) -> bool:
        return fires(rule, self._now, happening)

    def _fire(self, rule: Rule, at: datetime, event: Event) -> Firing:
        then, ruled = rule.then, self._now.ruled
        actions = then.model_dump(mode="json", include=set(then.named))
        if rule.name in ruled.replied:
            actions.pop("reply", None)
        elif then.reply is not None:
            ruled = replace(ruled, replied=(*ruled.replied, rule.name))
        ruled = replace(ruled, fired=(*ruled.fired, rule.name))
        if then.set_topic is not None:
            self._more = then.set_topic
            self._now = replace(self._now, topics=then.set_topic)
        self._more = added(self._more, then.topic)
        self._now = replace(self._now, ruled=ruled, topics=added(self._now.topics, then.topic))
        return Firing(rule, at, event, actions)


def _after(now: Conversation, row: TimelineRow, more: tuple[str, ...]) -> Conversation:
    fields = row.fields
    match row.kind:
        case "status":
            return replace(now, status=Status(fields["after"]), updated_at=row.received_at)
        case "assignment" if _is_transfer(row):
            return replace(now, inbox=fields["inbox"])
        case "topic":
            return replace(now, topics=added(fields["topics"], more))
        case "message" | "call" if fields.get("direction") == "inbound":
            return replace(now, contacts=(_contact(row),))
        case _:
            return now


def _contact(row: TimelineRow) -> Contact:
    fields, at = row.fields, row.received_at
    return Contact(row.id, Channel(fields["channel"]), fields["account"], "", started_at=at, last_at=at)


def _is_transfer(row: TimelineRow) -> bool:
    return row.kind == "assignment" and "inbox" in row.fields


def _told(row: TimelineRow) -> Iterator[Told]:
    fields, at = row.fields, row.received_at
    heard = {"channel": Channel(fields["channel"]), "account": fields["account"]} if _heard(row) else {}
    match row.kind:
        case "status" if fields["before"] is None:
            yield Told(Event.OPENED, at)
        case "status":
            yield Told(_ENDS.get(fields["after"]), at, status=True)
            if fields["before"] == Status.CLOSED:
                yield Told(Event.REOPENED, at)
        case "assignment" if _is_transfer(row):
            yield Told(Event.TRANSFERRED, at)
        case "assignment" if fields.get("agent") is not None:
            yield Told(Event.ASSIGNED, at)
        case "topic":
            yield Told(Event.TOPICS, at)
        case "message" if heard:
            text = f"{fields['subject']}\n{fields['text']}" if fields.get("subject") else fields["text"]
            yield Told(Event.MESSAGE, at, text=text or "", **heard)
        case "call" if heard:
            yield Told(Event.CALL, at, text=_spoken(fields), **heard)


_ENDS = {Status.WAITING: Event.WAITING, Status.CLOSED: Event.CLOSED}


def _heard(row: TimelineRow) -> bool:
    theirs = row.kind in ("message", "call") and row.fields.get("direction") == "inbound"
    return theirs and not row.fields.get("noise")


def _spoken(fields: dict[str, Any]) -> str:
    chosen = (word for each in fields.get("choices", ()) for word in (each.get("digits"), each.get("speech")))
    return "\n".join(word for word in (*chosen, fields.get("text")) if word)
