"""Every topic notifier reads, and who handles it."""

from collections.abc import Callable

from schemas import catalogue
from schemas.topics import (
    AGENTS_EVENTS,
    CHATS_SIGNALS,
    CONVERSATIONS_EVENTS,
    MESSAGES_DELIVERY,
    MESSAGES_OUTBOUND,
    Topic,
)
from services.chassis.delivery import BatchHandler, Consumer, Delivery
from services.chassis.sealing import Seals
from services.chassis.settings import Settings
from services.chassis.tail import Tail
from services.notifier.access import Access
from services.notifier.consents import Consents
from services.notifier.feed.hub import Hub
from services.notifier.feed.positions import FEED_TOPICS, Position
from services.notifier.handlers import Sends
from services.notifier.webhooks.intake import Intake

GROUP = "notifier"


def consumers(sends: Sends, access: Access, consents: Consents, intake: Intake) -> list[Consumer]:
    """Return the table of consumers: each record is handled by one replica.

    Each has a group of its own: one that reconnects leaves the others alone.
    """
    handlers: list[tuple[Topic, BatchHandler]] = [
        (MESSAGES_OUTBOUND, sends.accept),
        (MESSAGES_DELIVERY, sends.receive),
        (AGENTS_EVENTS, access.learn),
    ]
    table = [Consumer(topic, f"{GROUP}.{topic.name}", handle) for topic, handle in handlers]
    # few of a thread's events change consent
    return [
        *table,
        Consumer(CONVERSATIONS_EVENTS, f"{GROUP}.consents", consents.learn, only=b'"consent.changed"'),
        *(Consumer(topic, f"{GROUP}.webhooks.{topic.name}", intake.accept) for topic in catalogue.TOPICS),
    ]


def tail(
    settings: Settings, hub: Hub, access: Access, positions: dict[Position, int], seals: Seals | None = None
) -> Tail:
    """Return the tail: each record is seen by every replica."""
    topics = (*FEED_TOPICS, AGENTS_EVENTS, CHATS_SIGNALS)
    return Tail(settings, "notifier-feed", topics, _routing(hub, access), seals, positions)


def _routing(hub: Hub, access: Access) -> Callable[[Delivery], None]:
    def receive(delivery: Delivery) -> None:
        if delivery.topic == AGENTS_EVENTS.name:
            access.hear(delivery.message)
        elif delivery.topic == CHATS_SIGNALS.name:
            hub.signal(delivery)
        else:
            hub.receive(delivery)

    return receive
