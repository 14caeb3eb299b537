"""Which dead letters are open: the topic's records, folded.

The log keeps what was written, so a letter is settled by a second record behind it. Only what describes a
letter is kept in memory; the record itself stays in the log.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from schemas.deadletters import DeadLetter, DeadLetterData, DeadLetterResolved

Kind = tuple[str, str, str]
"""Group, topic and error class."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a letter stands in the dead-letter topic; written `<partition>:<offset>`."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place that `text` names; raises ValueError."""
        partition, _, offset = text.partition(":")
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter without its record. `settled` is None while it is open, else how it was settled."""

    id: UUID
    place: Place
    data: DeadLetterData
    retry_of: UUID | None = None
    settled: str | None = None

    @property
    def kind(self) -> Kind:
        """By what letters are counted."""
        return self.data.group, self.data.topic, self.data.error_class

    @property
    def source(self) -> tuple[str, int, int]:
        """Where the record stood that was given up: in this order it is published again."""
        return self.data.topic, self.data.partition, self.data.offset


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; None means any. `error` is how the error class begins."""

    group: str | None = None
    topic: str | None = None
    error: str | None = None
    since: datetime | None = None
    settled: bool = False
    """Those that are settled, in place of the open ones."""

    def takes(self, entry: Entry) -> bool:
        """Return whether the letter is meant."""
        data = entry.data
        return (
            (entry.settled is not None) == self.settled
            and self.group in {None, data.group}
            and self.topic in {None, data.topic}
            and (self.error is None or data.error_class.startswith(self.error))
            and (self.since is None or data.failed_at >= self.since)
        )


@dataclass
class Ledger:
    """All letters of the topic, as far as it was read."""

    entries: dict[UUID, Entry] = field(default_factory=dict)
    places: dict[Place, UUID] = field(default_factory=dict)
    unreadable: int = 0
    """Records of the topic that are no dead letters of ours."""

    def add(self, place: Place, record: DeadLetter | DeadLetterResolved) -> None:
        """Take in the next record of a partition.

        A letter that is written again behind its settlement is open again: its record was read again, and
        failed again.
        """
        match record:
            case DeadLetter():
                self.places[place] = record.id
                self.entries[record.id] = Entry(record.id, place, record.data, record.causation)
            case DeadLetterResolved():
                known = self.entries.get(record.data.deadletter_id)
                if known is not None:  # else the letter is older than what the topic keeps
                    self.entries[known.id] = replace(known, settled=record.data.how)

    def find(self, reference: str) -> Entry | None:
        """Return the letter of this id or at this place; raises ValueError when it is neither."""
        own_id = self.places.get(Place.parse(reference)) if ":" in reference else UUID(reference)
        return self.entries.get(own_id) if own_id else None

    def matching(self, wanted: Filter) -> list[Entry]:
        """Return the letters that `wanted` takes, the oldest failure first."""
        found = [entry for entry in self.entries.values() if wanted.takes(entry)]
        return sorted(found, key=lambda entry: (entry.data.failed_at, entry.place))


def counts(entries: Iterable[Entry]) -> list[tuple[Kind, int]]:
    """Return how many letters of each kind there are, the most frequent first."""
    return sorted(Counter(entry.kind for entry in entries).items(), key=lambda each: (-each[1], each[0]))


def after(entries: Iterable[Entry], place: Place | None) -> Iterator[Entry]:
    """Yield the entries behind the one at `place`; all of them without one; raises LookupError."""
    remaining = iter(entries)
    if place is not None and not any(entry.place == place for entry in remaining):
        raise LookupError(f"no letter of the list stands at {place}")
    yield from remaining
