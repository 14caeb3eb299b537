"""The composition root of identity: its topic, routes and loop."""

from collections.abc import Callable
from functools import partial
from uuid import uuid4

from fastapi import FastAPI

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
from services.identity.commands import Commands
from services.identity.erasing import ErasedIdentifiers, Erasing
from services.identity.erasure_api import routes as erasure_routes
from services.identity.export_api import Export, exporting_client
from services.identity.export_api import routes as export_routes
from services.identity.handlers import Customers
from services.identity.loops import sweep_outboxes
from services.identity.merges import Merges
from services.identity.settings import IdentitySettings
from services.identity.store import Store
from services.identity.subscribers import consumers

NAME = "identity"


def random_customer() -> str:
    """Return an id for a new Customer; random, since one made from an identifier would give it away."""
    return uuid4().hex


def build_app(
    settings: IdentitySettings | None = None,
    *,
    publisher: KafkaPublisher | None = None,
    database: Database | None = None,
    clock: Clock = utc_now,
    new_customer: Callable[[], str] = random_customer,
) -> FastAPI:
    """Return the service's application."""
    settings = settings or IdentitySettings()
    shared = shared_database(settings)
    keys = CustomerKeys(shared, settings.customer_keys_secret.get_secret_value())
    seals = Seals(keys)
    publisher = publisher or KafkaPublisher(settings, NAME, seals)
    database = database if database is not None else connect(settings, NAME)
    store = Store(database, publisher)
    merges = Merges(store, clock)
    when_erased = ErasedIdentifiers(database, keys)
    customers = Customers(store, merges, publisher, new_customer, clock, when_erased)
    once = Once(database, clock)
    erasing = Erasing(database, store, keys, Erasures(shared, clock), once, clock)
    router = routes(Parts(store, Commands(store, clock), merges, once, settings.default_region))
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
            consumers=consumers(customers),
            seals=seals,
            on_start=[store.prepare, once.prepare, erasing.prepare],
            on_stop=[client.aclose, shared.client.close],
            loops=[
                partial(every, 1.0, sweep_outboxes(store, settings, clock), "outbox"),
                partial(every, 1.0, erasing.round, "erasures"),
            ],
        )
    )
