"""Each service as a table of batch handlers on a database and a log, time and ids fixed.

A new service adds one function and a row of SERVICES; a new topic of a service needs nothing here.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas.common import Channel
from schemas.topics import CHATS_SIGNALS, CONVERSATION_CHANGES, CONVERSATIONS_EVENTS, ROUTING_DECISIONS
from services.chassis.accounts import Accounts
from services.chassis.attachments import Attachments
from services.chassis.delivery import HANDLED, BatchHandler, Consumer, Delivery, Outcome
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database
from services.conversation.access import Access
from services.conversation.addresses import Addresses
from services.conversation.domain import lifecycle, replies, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.merges import Merges as ThreadMerges
from services.conversation.store import Store as ConversationStore
from services.conversation.subscribers import consumers as conversation_consumers
from services.identity.audit import Audit
from services.identity.handlers import Customers
from services.identity.lookup.jobs import Jobs
from services.identity.lookup.lookups import Lookups
from services.identity.merges import Merges
from services.identity.settings import IdentitySettings
from services.identity.store import Store as IdentityStore
from services.identity.subscribers import consumers as identity_consumers
from services.identity.suggestions import Suggestions
from services.ingest.fetching import Fetching
from services.ingest.settings import IngestSettings
from services.ingest.store import FetchJobs
from services.ingest.subscribers import consumers as ingest_consumers
from services.notifier.access import Access as NotifierAccess
from services.notifier.consents import Consents
from services.notifier.feed.hub import Hub, Viewer
from services.notifier.feed.positions import PARTITIONS
from services.notifier.handlers import Sends
from services.notifier.store import Store as NotifierStore
from services.notifier.subscribers import consumers as notifier_consumers
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.intake import Intake
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.rules import Endpoint, Secret
from services.router.domain.policy import Policy
from services.router.handlers import Router
from services.router.metrics import Measured
from services.router.store import MongoStore
from tests.contract import examples
from tests.crash import Log

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
CUSTOMER = "5f0c2b7e9d1a4c38b6e47a90d2c3f118"
INBOXES = {
    inbox.name: inbox
    for inbox in (
        Inbox(name="support", pool="main", fallback="fallback"),
        Inbox(name="fallback", pool="main"),
        Inbox(name="sales", pool="east"),
    )
}


@dataclass
class Bench:
    """A service ready to be fed."""

    handlers: Mapping[str, BatchHandler]
    """By topic."""
    prepare: Sequence[Callable[[], Awaitable[None]]] = ()
    commands: Mapping[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)
    """What people do between records: steps of a situation."""
    hidden: frozenset[str] = frozenset()
    """Collections, fields of documents, and topics that are no effect by themselves: a service's memory."""
    shown: Callable[[], Awaitable[list[str]]] | None = None
    """What was shown besides records and documents."""


class Resting:
    """Stands for what fetches: the contract ends with what is to be fetched."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def ingest(database: Database, _log: Log) -> Bench:
    attachments = Attachments(database, Resting())
    fetching = Fetching(
        FetchJobs(attachments), Resting(), Accounts([]), Resting(), IngestSettings(), frozenset(), lambda: NOW
    )
    return Bench(_handlers(ingest_consumers(fetching)), [attachments.prepare])


def identity(database: Database, log: Log) -> Bench:
    store = IdentityStore(database, log)
    suggesting, merges = Suggestions(database, lambda: NOW), Merges(store, lambda: NOW)
    customers = Customers(store, merges, log, lambda: CUSTOMER, lambda: NOW, suggesting.note)
    lookups = Lookups(
        Jobs(database), store, Resting(), suggesting.contradict, IdentitySettings(), lambda: NOW
    )
    consumers = identity_consumers(customers, Audit(database), lookups)
    return Bench(_handlers(consumers), [store.prepare, suggesting.prepare])


def conversation(database: Database, log: Log) -> Bench:
    store = ConversationStore(database, log, lambda: NOW)
    threads = Threads(store, INBOXES, next_due, lambda: NOW)
    sent = examples.record("messages.outbound/message.send")
    taken = examples.record("routing.commands/routing.assign")

    def reply(draft: Draft) -> None:
        replies.reply(
            draft,
            message_id=sent.data.message_id,
            agent="ana",
            channel=Channel.SMS,
            route=draft.thread.routes[Channel.SMS],
            text=sent.personal.text,
        )

    return Bench(
        _handlers(
            conversation_consumers(
                threads,
                Access(store),
                ThreadMerges(threads),
                Addresses(database),
                lambda: NOW,
                lambda *_: None,
            )
        ),
        [store.prepare],
        {
            "reply": lambda: threads.command(CUSTOMER, sent.causation, reply),
            "take": lambda: threads.command(
                CUSTOMER, taken.id, lambda draft: routing.assign(draft, "cleo", "take", force=False)
            ),
            "transfer to another pool": lambda: threads.command(
                CUSTOMER,
                taken.id,
                lambda draft: lifecycle.transfer_to_inbox(draft, INBOXES["sales"], by="lea"),
            ),
        },
        hidden=frozenset({"threads", "state", "counters", CONVERSATION_CHANGES.name}),
    )


def router(database: Database, log: Log) -> Bench:
    store = MongoStore(database)
    pools = Router(
        store=store,
        publisher=log,
        observer=Measured(),
        policy_of=lambda _: Policy(),
        clock=lambda: NOW,
        owner="contract",
    )
    return Bench(
        {"routing.commands": pools.handle},
        [store.prepare],
        hidden=frozenset({"journal", "pools", "snapshots"}),
    )


def notifier(database: Database, log: Log) -> Bench:
    store = NotifierStore(database, log, lambda: NOW)
    sends = Sends(
        store,
        deduplicates=lambda _: False,
        known_account=lambda provider, _: provider in {"twilio-sms", "whatsapp", "mime"},
        clock=lambda: NOW,
    )
    start = dict.fromkeys(PARTITIONS, 0)
    hub = Hub(dict(start), ring_records=10, ring_bytes=100_000, queue=100)
    hub.begin(start, start)
    desk = hub.open(Viewer("lea", inboxes=None), None)

    async def feed(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        for delivery in batch:
            if delivery.topic == CHATS_SIGNALS.name:
                hub.signal(delivery)
            else:
                hub.receive(delivery)
        if batch[0].topic == CONVERSATIONS_EVENTS.name:
            await consents.learn(batch)
        return [HANDLED] * len(batch)

    async def shown() -> list[str]:
        items = []
        while not desk.idle:
            offered = await desk.next(1)
            assert offered is not None
            items.append(desk.viewer.data(offered[0]))
        return items

    endpoints, posts = Endpoints(database, log, lambda: NOW), Posts(database, timedelta(days=30), lambda: NOW)
    subscriber = Endpoint(
        "wh_1", "https://hooks.example/", ("*",), (Secret("whsec_AAAA"),), LONG_AGO, LONG_AGO
    )
    intake = Intake(endpoints, posts, 65_536, lambda: None, lambda: NOW)

    async def subscribe() -> None:
        await endpoints.insert(subscriber)

    access, consents = NotifierAccess(database, hub.moved), Consents(database)
    table = _handlers(notifier_consumers(sends, access, consents, intake))

    async def all_of_them(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        await feed(batch)
        await consents.learn([each for each in batch if each.message.type == "consent.changed"])
        return await intake.accept(batch)

    seen: dict[str, BatchHandler] = {
        CONVERSATIONS_EVENTS.name: all_of_them,
        ROUTING_DECISIONS.name: feed,
        CHATS_SIGNALS.name: feed,
    }
    return Bench(
        {**table, **seen},
        [store.prepare, endpoints.prepare, posts.prepare, subscribe],
        hidden=frozenset({"record", "webhooks"}),
        shown=shown,
    )


SERVICES: dict[str, Callable[[Database, Log], Bench]] = {
    "ingest": ingest,
    "identity": identity,
    "conversation": conversation,
    "router": router,
    "notifier": notifier,
}


def _handlers(consumers: Iterable[Consumer]) -> dict[str, BatchHandler]:
    return {consumer.topic.name: consumer.handle for consumer in consumers}
