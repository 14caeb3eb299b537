"""The composition root of identity: its topic, routes and loop."""

from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

from fastapi import FastAPI

from schemas.inbound import MessageReceived
from services.chassis.audit import Trail
from services.chassis.blobs import shared_database
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasures
from services.chassis.idempotency import Commands as Once
from services.chassis.keys import CustomerKeys
from services.chassis.loops import every
from services.chassis.mongo import Database, connect
from services.chassis.sealing import Seals
from services.chassis.service import Service, build
from services.identity.api import Parts, routes
from services.identity.audit import ACTIONS, Audit
from services.identity.audit import routes as audit_routes
from services.identity.commands import Commands
from services.identity.domain.claims import Resolution
from services.identity.erasing import ErasedIdentifiers, Erasing
from services.identity.erasure_api import routes as erasure_routes
from services.identity.export_api import Export, exporting_client
from services.identity.export_api import routes as export_routes
from services.identity.handlers import Customers, Notice
from services.identity.lookup.asking import asking_of
from services.identity.lookup.jobs import Jobs
from services.identity.lookup.lookups import Lookups
from services.identity.loops import sweep_outboxes
from services.identity.merges import Merges
from services.identity.settings import IdentitySettings
from services.identity.store import Store
from services.identity.subscribers import consumers
from services.identity.suggestions import Suggestions
from services.identity.suggestions_api import routes as suggestion_routes

NAME = "identity"
LOOK_SECONDS = 0.2
"""Pause between looks whose data is to be asked for."""


def random_customer() -> str:
    """Return an id for a new Customer; random, since one made from an identifier would give it away."""
    return uuid4().hex


def _noticing(suggesting: Suggestions, lookups: Lookups | None) -> Notice:
    async def notice(found: Sequence[tuple[MessageReceived, Resolution]]) -> None:
        await suggesting.note(found)
        if lookups is not None:
            await lookups.seen(resolution.home for _, resolution in found)

    return notice


def build_app(
    settings: IdentitySettings | None = None,
    *,
    publisher: KafkaPublisher | None = None,
    database: Database | None = None,
    clock: Clock = utc_now,
    new_customer: Callable[[], str] = random_customer,
) -> FastAPI:
    """Return the service's application. Raises BadSecret for a signing secret that cannot be used."""
    settings = settings or IdentitySettings()
    shared = shared_database(settings)
    keys = CustomerKeys(shared, settings.customer_keys_secret.get_secret_value())
    seals = Seals(keys)
    publisher = publisher or KafkaPublisher(settings, NAME, seals)
    database = database if database is not None else connect(settings, NAME)
    store = Store(database, publisher)
    suggesting = Suggestions(database, clock)
    merges = Merges(store, clock)
    jobs, asking = Jobs(database), asking_of(settings, clock)
    lookups = Lookups(jobs, store, asking, suggesting.contradict, settings, clock) if asking else None
    notice = _noticing(suggesting, lookups)
    when_erased = ErasedIdentifiers(database, keys)
    customers = Customers(store, merges, publisher, new_customer, clock, notice, when_erased)
    once = Once(database, clock)
    erasing = Erasing(database, store, keys, Erasures(shared, clock), once, clock)
    audit = Audit(database)
    trail = Trail(database, publisher, NAME, clock, audit.keep)
    parts = Parts(store, Commands(store, clock), merges, once, settings.default_region)
    router = routes(parts)
    router.include_router(suggestion_routes(suggesting, parts.homes))
    router.include_router(audit_routes(audit, parts.homes))
    router.include_router(erasure_routes(erasing, once))
    client = exporting_client()
    urls = {
        "conversation": settings.conversation_url,
        "notifier": settings.notifier_url,
        "ingest": settings.ingest_url,
    }
    router.include_router(export_routes(Export(database, erasing, client, urls, clock)))
    return build(
        Service(
            name=NAME,
            settings=settings,
            router=router,
            publisher=publisher,
            database=database,
            consumers=consumers(customers, audit, lookups),
            seals=seals,
            trail=(trail, ACTIONS),
            on_start=[
                store.prepare,
                once.prepare,
                suggesting.prepare,
                audit.prepare,
                trail.prepare,
                jobs.prepare,
                erasing.prepare,
            ],
            on_stop=[
                client.aclose,
                shared.client.close,
                *([asking.client.aclose] if asking else []),
            ],
            loops=[
                partial(every, 1.0, sweep_outboxes(store, settings, clock), "outbox"),
                partial(every, 0.5, trail.publish, "audit"),
                partial(every, 1.0, erasing.round, "erasures"),
                *([partial(every, LOOK_SECONDS, lookups.round, "lookups")] if lookups else []),
            ],
        )
    )
