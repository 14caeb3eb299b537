"""Entries of a pool's journal, and which records of the log are already in it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.envelope import Envelope
from schemas.topics import ROUTING_COMMANDS
from services.chassis.broker import Outgoing
from services.router.domain.engine import Input, NewPolicy, TakeOver, Tick
from services.router.domain.policy import from_document, to_document

_REMEMBERED = 500
"""Records a partition's ids are kept of."""


class PoolTaken(ConnectionError):  # noqa: N818  (a state of the pool, raised)
    """Somebody else wrote the next entry: the pool has another owner, or a newer self. Load it again."""


@dataclass(frozen=True, slots=True)
class Given:
    """One input as it was handled; the record's place in the log, where it came from there."""

    value: str
    partition: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a pool's history: what came in together, when, and what was to be published."""

    pool: str
    n: int
    owner: str
    at: datetime
    given: tuple[Given, ...]
    outgoing: tuple[Outgoing, ...]
    published: bool = False

    @property
    def offsets(self) -> dict[str, int]:
        """The last offset per partition, for people who read the journal."""
        return {str(each.partition): each.offset for each in self.given if each.offset is not None}


@dataclass(frozen=True, slots=True)
class History:
    """A pool as its store has it: the newest snapshot, and the entries after it in order."""

    snapshot: Mapping[str, Any] | None = None
    entries: tuple[Entry, ...] = ()


def encode(given: Input) -> str:
    """Return an input as JSON."""
    if isinstance(given, Tick):
        return '{"type":"tick"}'
    if isinstance(given, TakeOver):
        return json.dumps({"type": "take_over", "policy": to_document(given.policy)})
    if isinstance(given, NewPolicy):
        return json.dumps({"type": "new_policy", "policy": to_document(given.policy)})
    return given.model_dump_json(exclude_none=True)


def decode(value: str) -> Input:
    """Return the input that `encode` wrote."""
    if value == '{"type":"tick"}':
        return Tick()
    if value.startswith('{"type": "take_over"'):
        return TakeOver(from_document(json.loads(value)["policy"]))
    if value.startswith('{"type": "new_policy"'):
        return NewPolicy(from_document(json.loads(value)["policy"]))
    command: Envelope = ROUTING_COMMANDS.adapter.validate_json(value)
    return command


@dataclass
class Applied:
    """Which records of the commands topic a pool has handled.

    Offsets tell. The ids of the last few hundred records are kept beside them, so that a log that lost
    its end and grew another one is noticed: a known offset with another id is a new record.
    """

    last: dict[int, int] = field(default_factory=dict)
    ids: dict[int, dict[int, str]] = field(default_factory=dict)

    def knows(self, partition: int, offset: int, record_id: str) -> bool:
        """Return whether the record was handled before."""
        if offset > self.last.get(partition, -1):
            return False
        known = self.ids.get(partition, {}).get(offset)
        return known is None or known == record_id

    def add(self, partition: int, offset: int, record_id: str) -> None:
        """Note a record as handled."""
        ids = self.ids.setdefault(partition, {})
        if offset <= self.last.get(partition, -1):
            for later in [each for each in ids if each >= offset]:
                del ids[later]
        self.last[partition] = offset
        ids[offset] = record_id
        while len(ids) > _REMEMBERED:
            del ids[next(iter(ids))]

    def dump(self) -> list[dict[str, Any]]:
        """Return it as a plain document."""
        return [
            {"partition": partition, "last": last, "ids": list(self.ids.get(partition, {}).items())}
            for partition, last in self.last.items()
        ]

    @classmethod
    def load(cls, document: Iterable[Mapping[str, Any]]) -> "Applied":
        """Return what was dumped."""
        applied = cls()
        for each in document:
            applied.last[each["partition"]] = each["last"]
            applied.ids[each["partition"]] = dict(each["ids"])
        return applied
