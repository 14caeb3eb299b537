"""Every topic, one row each: reviewed like code, and the source of the AsyncAPI documents."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args

from pydantic import TypeAdapter

from schemas import (
    audit,
    changes,
    conversations,
    customers,
    deadletters,
    hooks,
    inbound,
    outbound,
    routing,
    signals,
)
from schemas.envelope import Envelope

PARTITIONS = 12
FOREVER = None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and its contract. `model` is a record class or a union told apart by `type`."""

    name: str
    key: str
    model: Any
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    retention: timedelta | None = FOREVER
    dead_letter: str | None = "deadletters"
    compact: bool = False
    sealed: bool = False
    """Personal parts are encrypted with the home Customer's key."""
    partitions: int = PARTITIONS

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """The validator of the topic's records; reads bytes with `validate_json`."""
        return _ADAPTERS[self.name]


WEEK = timedelta(days=7)

MESSAGES_INBOUND = Topic(
    "messages.inbound",
    "the sender's address",
    inbound.MessageReceived,
    ("ingest", "notifier"),
    ("identity", "ingest"),
    retention=WEEK,
)
MESSAGES_IDENTIFIED = Topic(
    "messages.identified",
    "Customer",
    inbound.MessageIdentified,
    ("identity",),
    ("conversation",),
    sealed=True,
)
MESSAGES_DELIVERY = Topic(
    "messages.delivery",
    "the provider's message id; of a watermark the recipient's address",
    inbound.AnyDelivery,
    ("ingest",),
    ("notifier",),
    retention=WEEK,
)
WEBHOOKS_QUARANTINE = Topic(
    "webhooks.quarantine",
    "provider and account",
    inbound.WebhookQuarantined,
    ("ingest",),
    (),
    retention=WEEK,
    dead_letter=None,
)
CUSTOMERS_EVENTS = Topic(
    "customers.events",
    "Customer",
    customers.AnyCustomerEvent,
    ("identity",),
    ("conversation", "identity", "notifier"),
    sealed=True,
)
CONVERSATIONS_EVENTS = Topic(
    "conversations.events",
    "Customer",
    conversations.AnyConversationEvent,
    ("conversation",),
    ("notifier",),
    sealed=True,
)
MESSAGES_OUTBOUND = Topic(
    "messages.outbound",
    "Customer",
    outbound.MessageSend,
    ("conversation",),
    ("notifier",),
    sealed=True,
)
MESSAGES_STATUS = Topic(
    "messages.status", "Customer", outbound.MessageStatus, ("notifier",), ("conversation",)
)
ROUTING_COMMANDS = Topic(
    "routing.commands", "pool", routing.AnyRoutingCommand, ("conversation", "router"), ("router",)
)
ROUTING_DECISIONS = Topic(
    "routing.decisions", "Customer", routing.AnyRoutingDecision, ("router",), ("conversation", "notifier")
)
AGENTS_EVENTS = Topic(
    "agents.events", "Agent", routing.AgentChanged, ("router",), ("conversation", "notifier"), compact=True
)
WEBHOOKS_EVENTS = Topic(
    "webhooks.events", "webhook subscription", hooks.AnyWebhookEvent, ("notifier",), ("notifier",)
)
CHATS_SIGNALS = Topic(
    "chats.signals",
    "visitor, or Customer",
    signals.AnySignal,
    ("ingest", "conversation"),
    ("notifier",),
    retention=timedelta(days=1),
    dead_letter=None,
)
CONVERSATION_CHANGES = Topic(
    "conversation.changes",
    "Customer",
    changes.ThreadSaved,
    ("conversation",),
    (),
    dead_letter=None,
    sealed=True,
)
AUDIT_ENTRIES = Topic(
    "audit.entries", "Customer", audit.AuditEntry, ("identity", "conversation"), ("identity",)
)
DEADLETTERS = Topic(
    "deadletters",
    "the original key",
    deadletters.AnyDeadLetter,
    ("ingest", "identity", "conversation", "router", "notifier"),
    (),
    retention=WEEK,
    dead_letter=None,
)

TOPICS: tuple[Topic, ...] = (
    MESSAGES_INBOUND,
    MESSAGES_IDENTIFIED,
    MESSAGES_DELIVERY,
    WEBHOOKS_QUARANTINE,
    CUSTOMERS_EVENTS,
    CONVERSATIONS_EVENTS,
    MESSAGES_OUTBOUND,
    MESSAGES_STATUS,
    ROUTING_COMMANDS,
    ROUTING_DECISIONS,
    AGENTS_EVENTS,
    WEBHOOKS_EVENTS,
    CHATS_SIGNALS,
    CONVERSATION_CHANGES,
    AUDIT_ENTRIES,
    DEADLETTERS,
)

_ADAPTERS: dict[str, TypeAdapter[Any]] = {topic.name: TypeAdapter(topic.model) for topic in TOPICS}


def record_models(topic: Topic) -> tuple[type[Envelope], ...]:
    """Return the classes of the records on a topic."""
    if isinstance(topic.model, type):
        return (topic.model,)
    union, *_ = get_args(topic.model)
    return get_args(union)


def record_type(model: type[Envelope]) -> str:
    """Return the `type` that a class of records fixes."""
    return str(get_args(model.model_fields["type"].annotation)[0])
