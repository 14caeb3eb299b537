"""The composition root of the router: its topic, its routes, its timer."""

from functools import partial
from uuid import uuid4

from fastapi import FastAPI

from schemas.topics import ROUTING_COMMANDS
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import Consumer
from services.chassis.idempotency import Commands
from services.chassis.inboxes import load_inboxes
from services.chassis.loops import every
from services.chassis.mongo import Database, connect
from services.chassis.service import Service, build
from services.router.api import Parts, routes
from services.router.asking import Asking
from services.router.handlers import Router
from services.router.metrics import Measured
from services.router.policies import Policies
from services.router.readmodels import ReadModels
from services.router.settings import RouterSettings
from services.router.store import MongoStore

NAME = "router"


def build_app(
    settings: RouterSettings | None = None,
    *,
    publisher: KafkaPublisher | None = None,
    database: Database | None = None,
    clock: Clock = utc_now,
    owner: str | None = None,
) -> FastAPI:
    """Return the service's application; `owner` names this replica in the journal."""
    settings = settings or RouterSettings()
    publisher = publisher or KafkaPublisher(settings, NAME)
    database = database if database is not None else connect(settings, NAME)
    store, reads, once = MongoStore(database), ReadModels(database), Commands(database, clock)
    inboxes = load_inboxes(settings.agents_file)
    policies = Policies(settings.routing_file, inboxes, settings.policy)
    router = Router(
        store=store,
        publisher=publisher,
        observer=Measured(),
        policy_of=policies.of,
        clock=clock,
        owner=owner or uuid4().hex[:12],
        snapshot_every=settings.snapshot_every,
    )
    asking = Asking(reads, publisher, clock, settings.command_wait_seconds)
    service = Service(
        name=NAME,
        settings=settings,
        router=routes(Parts(asking, reads, once, inboxes, clock)),
        publisher=publisher,
        database=database,
        consumers=[
            Consumer(
                ROUTING_COMMANDS,
                group=NAME,
                handle=router.handle,
                on_assigned=router.assigned,
                on_revoked=router.revoked,
            )
        ],
        on_start=[store.prepare, once.prepare],
        loops=[
            partial(every, settings.tick_seconds, router.tick, "router_ticks"),
            partial(every, settings.routing_reload_seconds, policies.look, "policy_looks"),
        ],
    )
    router.caught_up = service.stages[ROUTING_COMMANDS.name].assignment.caught_up_to
    return build(service)
