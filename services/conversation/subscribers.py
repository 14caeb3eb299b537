"""Every topic conversation reads, and the rule for it."""

from collections.abc import Sequence
from datetime import datetime

from schemas.topics import AGENTS_EVENTS, MESSAGES_IDENTIFIED, MESSAGES_STATUS, ROUTING_DECISIONS
from services.chassis.clock import Clock
from services.chassis.delivery import HANDLED, BatchHandler, Consumer, Delivery, Outcome
from services.conversation import metrics
from services.conversation.access import Access
from services.conversation.domain.rules import ATTACH, ROUTE, SHOW_DELIVERY, Rule
from services.conversation.handlers import Threads

GROUP = "conversation"
RULES = ((MESSAGES_IDENTIFIED, ATTACH), (ROUTING_DECISIONS, ROUTE), (MESSAGES_STATUS, SHOW_DELIVERY))


def consumers(threads: Threads, access: Access, clock: Clock) -> list[Consumer]:
    """Return the table of consumers."""
    of_threads = [Consumer(topic, GROUP, _applying(threads, rule, clock)) for topic, rule in RULES]
    return [*of_threads, Consumer(AGENTS_EVENTS, GROUP, access.learn)]


def _applying(threads: Threads, rule: Rule, clock: Clock) -> BatchHandler:
    async def handle(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        outcomes = await threads.apply(rule, batch)
        if rule is ATTACH:
            _observe_timeline(batch, outcomes, clock())
        return outcomes

    return handle


def _observe_timeline(batch: Sequence[Delivery], outcomes: Sequence[Outcome], now: datetime) -> None:
    for delivery, outcome in zip(batch, outcomes, strict=True):
        if outcome == HANDLED:
            data = delivery.message.data
            seconds = (now - data.received_at).total_seconds()
            metrics.TO_TIMELINE_SECONDS.labels(data.channel).observe(max(seconds, 0))
