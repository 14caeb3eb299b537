"""Failures that wait: while many records fail, it is open whether they or the deployment are at fault."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from services.chassis.deadletters.letter import Failure, Record
from services.chassis.halting import WINDOW


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A record that failed by itself, and since when (`time.monotonic()`) its dead letter waits."""

    record: Record
    failure: Failure
    since: float


@dataclass
class HeldBack:
    """Failed records that are neither dead-lettered nor committed yet; what follows them is handled."""

    patience: float
    """Seconds."""
    failed: list[Failed] = field(default_factory=list)

    def due(self, now: float, *, suspicious: bool) -> list[Failed]:
        """Return those to dead-letter: all, or, while many records fail, only what waited long enough."""
        if not suspicious or len(self.failed) > WINDOW:
            return list(self.failed)
        return [each for each in self.failed if now - each.since >= self.patience]

    def forget(self, settled: list[Failed]) -> None:
        """Take off what has been dead-lettered."""
        self.failed = [each for each in self.failed if each not in settled]

    def below(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return what may be committed when everything before `ends` was handled or failed."""
        committable = dict(ends)
        for each in self.failed:
            tp = TopicPartition(each.record.topic, each.record.partition)
            if tp in committable:
                committable[tp] = min(committable[tp], each.record.offset)
        return committable
