"""Whether a consumer gets on: a client that hangs shows in nothing but standing still behind the log."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

STUCK_SECONDS = 60.0
"""Standing still for so long while the log has more is hanging."""
_ANSWER_SECONDS = 5.0


@dataclass
class Progress:
    """Kept by a loop that polls; `alive` is for the liveness probe."""

    stuck: bool = False
    seen: Callable[[Mapping[TopicPartition, int]], None] = lambda _: None
    """Told how many records behind the log's ends the positions are, now and then."""
    _round_at: float | None = None

    def came_round(self) -> None:
        """Note that the loop is running."""
        self._round_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """False when only a restart would help. A loop that was never started is alive."""
        hangs = self._round_at is not None and time.monotonic() - self._round_at >= 2 * STUCK_SECONDS
        return not self.stuck and not hangs

    async def watch(self, kafka: AIOKafkaConsumer, busy: Callable[[], bool]) -> None:
        """Compare positions with the log's ends until cancelled. A broker that is away proves nothing."""
        before: dict[TopicPartition, int] = {}
        since = time.monotonic()
        while True:
            await asyncio.sleep(STUCK_SECONDS / 4)
            try:
                assigned = kafka.assignment()
                async with asyncio.timeout(_ANSWER_SECONDS):
                    ends = await kafka.end_offsets(assigned) if assigned else {}
                    positions = {tp: await kafka.position(tp) for tp in assigned}
            except (KafkaError, TimeoutError, OSError):
                since = time.monotonic()
                continue
            behind = {tp: max(ends[tp] - at, 0) for tp, at in positions.items() if tp in ends}
            self.seen(behind)
            if not any(behind.values()) or positions != before or busy():
                before, since = positions, time.monotonic()
            self.stuck = time.monotonic() - since > STUCK_SECONDS
