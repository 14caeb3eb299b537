"""How far expected waits turn out to be off: what was foreseen for who has to wait, kept until the grant."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.common import ChannelClass
from schemas.routing import RoutingGranted
from services.router.domain.engine import Step
from services.router.domain.pool import Pool
from services.router.domain.waits import Foresight

MOST_AT_ONCE = 20
"""Of a batch's new requests so many are foreseen; that costs more than a step, and is only measured."""


class Expectation(NamedTuple):
    """What was foreseen, and when."""

    at: datetime
    seconds: float
    channel_class: ChannelClass


class Expectations:
    """The expectations of one pool. Lost with the memory of the pool: what waits then is not measured."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._foresight = Foresight(pool)
        self._waiting: dict[str, Expectation] = {}

    def follow(self, steps: Sequence[Step]) -> Iterator[tuple[ChannelClass, float]]:
        """Give for each grant without a named Agent its class and real minus expected seconds.

        Only of those who had to wait, and count from when they began to. Then foresee for who began to.
        """
        for done in steps:
            for decision in done.decisions:
                if isinstance(decision, RoutingGranted):
                    expected = self._waiting.pop(decision.data.conversation_id, None)
                    if expected and decision.data.reason in ("push", "pull"):
                        waited = (decision.occurred_at - expected.at).total_seconds()
                        yield expected.channel_class, waited - expected.seconds
        self._begin({each for done in steps for each in done.touched.conversations})

    def _begin(self, touched: set[str]) -> None:
        fresh = 0
        for conversation_id in sorted(touched):
            standing = self.pool.state.standings.get(conversation_id)
            request = standing.request if standing else None
            if standing is None or request is None:
                self._waiting.pop(conversation_id, None)
            elif not request.offer and conversation_id not in self._waiting and fresh < MOST_AT_ONCE:
                fresh += 1
                seconds = self._foresight.of(standing)
                if seconds is not None and self.pool.state.at is not None:
                    kind = request.need.classes[0]
                    self._waiting[conversation_id] = Expectation(self.pool.state.at, seconds, kind)
