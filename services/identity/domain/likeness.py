"""Which Customers may be one person, and how likely: what suggestions are made of.

A signal alone proves nothing, else the message that showed it would have linked the two. Each reason has a
weight, the share of cases in which it is expected to hold; signals of different reasons are taken as
independent, so the score is 1 - (1 - w1)(1 - w2)…: two add up, and none reaches 1. The same reason counts
once, however often it was seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import prod

from schemas.common import Identifier, IdentifierKind
from schemas.inbound import InboundPersonal
from services.identity.domain.claims import key

CONTRADICTING = "contradicting_identifier"
"""One message carried identifiers of both."""
CLAIMED_OF = "claimed_identifier_of"
"""One of them said to have an identifier that is the other's."""
SAME_CLAIMED_EMAIL = "same_claimed_email"
SAME_CLAIMED = "same_claimed_identifier"
SAME_NAME_AND_MAILBOX = "same_name_and_mailbox"
"""The same full name, and mail addresses that are the same before the `@`."""
SAME_NAME = "same_name"
"""The same full name, of two words at least."""
WEIGHTS: Mapping[str, float] = {
    CONTRADICTING: 0.8,
    CLAIMED_OF: 0.6,
    SAME_CLAIMED_EMAIL: 0.5,
    SAME_CLAIMED: 0.5,
    SAME_NAME_AND_MAILBOX: 0.5,
    SAME_NAME: 0.2,
}
_SHORTEST_MAILBOX = 4
_NOBODYS = frozenset({"info", "mail", "office", "contact", "admin", "support", "sales", "hello", "kontakt"})
"""Mailboxes that say nothing of a person."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that two Customers have in common."""

    reason: str
    identifier: str | None = None
    """Its key, where it is one."""
    at: datetime | None = None
    """When it was last seen."""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A Customer who may be the same person."""

    customer_id: str
    name: str | None
    signals: tuple[Signal, ...]
    """The strongest first."""

    @property
    def reason(self) -> str:
        """The strongest reason."""
        return self.signals[0].reason

    @property
    def score(self) -> float:
        """How likely it is, above 0 and below 1."""
        return round(1 - prod(1 - WEIGHTS[reason] for reason in {each.reason for each in self.signals}), 3)


@dataclass(frozen=True, slots=True)
class Person:
    """What is compared of a Customer."""

    customer_id: str
    name: str | None
    identifiers: tuple[Identifier, ...]
    claimed: tuple[str, ...] = ()
    """Keys of what they merely said."""


def merely_said(shown: InboundPersonal) -> tuple[Identifier, ...]:
    """Return the identifiers of a message that nobody vouches for and that it did not come from."""
    proven = {key(each) for each in shown.identifiers if each.verified} | {key(shown.sender)}
    said = {key(each): each for each in shown.identifiers if key(each) not in proven}
    return tuple(said.values())


def claimed_in_common(identifier: str) -> str:
    """Return the reason for a claim that two Customers made alike."""
    return SAME_CLAIMED_EMAIL if identifier.startswith(f"{IdentifierKind.EMAIL}:") else SAME_CLAIMED


def names_alike(one: Person, other: Person) -> Signal | None:
    """Return the signal of a common name, the stronger one where a mailbox goes with it."""
    words = (one.name or "").casefold().split()
    if len(words) < 2 or words != (other.name or "").casefold().split():  # noqa: PLR2004  (a full name)
        return None
    together = _mailboxes(one) & _mailboxes(other)
    return Signal(SAME_NAME_AND_MAILBOX if together else SAME_NAME)


def _mailboxes(person: Person) -> frozenset[str]:
    keys = (*map(key, person.identifiers), *person.claimed)
    addresses = (each.partition(":")[2] for each in keys if each.startswith(f"{IdentifierKind.EMAIL}:"))
    boxes = (address.rpartition("@")[0].casefold() for address in addresses)
    return frozenset(box for box in boxes if len(box) >= _SHORTEST_MAILBOX and box not in _NOBODYS)


def suggestions(
    subject: Person,
    others: Iterable[Person],
    seen: Mapping[str, Sequence[Signal]],
    dismissed: Mapping[str, datetime],
    most: int,
) -> list[Suggestion]:
    """Return the likely duplicates of `subject` among `others`, the most likely first.

    `seen` are the signals of each besides the name. One that was dismissed comes back with a signal that is
    newer than the dismissal.
    """
    found = []
    for other in others:
        name = names_alike(subject, other)
        signals = [*seen.get(other.customer_id, ()), *([name] if name else [])]
        if signals and not _settled(signals, dismissed.get(other.customer_id)):
            ordered = sorted(signals, key=lambda each: (-WEIGHTS[each.reason], each.identifier or ""))
            found.append(Suggestion(other.customer_id, other.name, tuple(ordered)))
    return sorted(found, key=lambda each: (-each.score, each.customer_id))[:most]


def _settled(signals: Sequence[Signal], dismissed_at: datetime | None) -> bool:
    return dismissed_at is not None and all(each.at is None or each.at <= dismissed_at for each in signals)
