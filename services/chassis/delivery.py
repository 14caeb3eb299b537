"""What a consumer is: a row that names a topic, a group and a batch handler.

`stage.py` runs it. A handler gets decoded records in log order and returns a fate for each.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from schemas.topics import Topic

HANDLED: Literal["handled"] = "handled"
DUPLICATE: Literal["duplicate"] = "duplicate"
ERASED: Literal["erased"] = "erased"
"""Its Customer is erased: it must have no effect any more."""


class Refused(Exception):  # noqa: N818  (a fate, not a fault)
    """This record can never be handled as it is. The text must not quote input."""


Outcome = Literal["handled", "duplicate", "erased"] | Refused


@dataclass(frozen=True, slots=True)
class Delivery:
    """A decoded record and where it stands in the log."""

    topic: str
    partition: int
    offset: int
    message: Any


class BatchHandler(Protocol):
    """Handles records in log order; must be idempotent, since a batch may come again."""

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Return one outcome a record. Raising anything lets the batch be tried again."""


Partitions = frozenset[int]


@dataclass(frozen=True)
class Consumer:
    """One row of a service's table of consumers."""

    topic: Topic
    group: str
    handle: BatchHandler
    max_records: int = 500
    only: bytes = b""
    """Records without these bytes are not its business: passed over undecoded, as handled."""
    on_assigned: Callable[[Partitions], Awaitable[None]] | None = None
    """Called with all partitions now owned, before any of their records. Must not fail."""
    on_revoked: Callable[[Partitions], Awaitable[None]] | None = None
    """Called with the partitions given up, after the batch in flight is done."""
