"""Every topic conversation reads, and the rule for it."""

from collections.abc import Sequence
from datetime import datetime

from schemas.envelope import Envelope
from schemas.inbound import MessageIdentified
from schemas.routing import RoutingGranted
from schemas.topics import (
    AGENTS_EVENTS,
    CUSTOMERS_EVENTS,
    MESSAGES_IDENTIFIED,
    MESSAGES_STATUS,
    ROUTING_DECISIONS,
    Topic,
)
from services.chassis.clock import Clock
from services.chassis.delivery import HANDLED, BatchHandler, Consumer, Delivery, Outcome
from services.chassis.logging import log
from services.conversation import metrics
from services.conversation.access import Access
from services.conversation.addresses import Addresses
from services.conversation.domain.rules import ROUTE, SHOW_DELIVERY, HelpText, Rule, attach
from services.conversation.handlers import Threads
from services.conversation.merges import Merges

GROUP = "conversation"
RULES = ((ROUTING_DECISIONS, ROUTE), (MESSAGES_STATUS, SHOW_DELIVERY))


def consumers(
    threads: Threads,
    access: Access,
    merges: Merges,
    addresses: Addresses,
    clock: Clock,
    help_text: HelpText,
) -> list[Consumer]:
    """Return the table of consumers."""
    rules = ((MESSAGES_IDENTIFIED, attach(help_text)), *RULES)
    handlers: list[tuple[Topic, BatchHandler]] = [
        *((topic, _applying(threads, rule, clock)) for topic, rule in rules),
        (AGENTS_EVENTS, access.learn),
        (CUSTOMERS_EVENTS, _meeting(access, merges, addresses)),
    ]
    # a group for each topic: one that reconnects leaves the others alone
    return [Consumer(topic, f"{GROUP}.{topic.name}", handle) for topic, handle in handlers]


def _meeting(access: Access, merges: Merges, addresses: Addresses) -> BatchHandler:
    async def handle(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        await addresses.learn(batch)  # before: who is known can be written to
        await access.meet(batch)
        return await merges.apply(batch)

    return handle


def _applying(threads: Threads, rule: Rule, clock: Clock) -> BatchHandler:
    async def handle(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        outcomes = await threads.apply(rule, batch)
        now = clock()
        for delivery, outcome in zip(batch, outcomes, strict=True):
            if outcome == HANDLED:
                _observe(delivery.message, now)
        return outcomes

    return handle


def _observe(record: Envelope, now: datetime) -> None:
    match record:
        case MessageIdentified():
            seconds = (now - record.data.received_at).total_seconds()
            metrics.TO_TIMELINE_SECONDS.labels(record.data.channel).observe(max(seconds, 0))
        case RoutingGranted(data=data) if data.kind is None:
            on_the_way = (now - record.occurred_at).total_seconds()
            metrics.TO_AGENT_SECONDS.observe(max(data.waited_seconds + on_the_way, 0))
        case _:
            return
    log.info("applied", type=record.type, id=str(record.id), correlation=str(record.correlation))
