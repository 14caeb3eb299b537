"""Composes ingest: topics and routes at a glance."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from services.chassis.accounts_file import AccountsFile
from services.chassis.blobs import Blobs
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.loops import every
from services.chassis.mongo import connect
from services.chassis.service import Service, build
from services.ingest import api, webchat_api
from services.ingest.front import Front
from services.ingest.handlers import Intake
from services.ingest.settings import IngestSettings
from services.ingest.store import MongoVisitors
from services.ingest.taking import Taking
from services.ingest.visitors import Visitors, random_visitor_id


def build_app(settings: IngestSettings | None = None, clock: Clock = utc_now) -> FastAPI:
    """Return the service's ASGI application. Raises AccountsError for an accounts file it cannot use."""
    settings = settings or IngestSettings()
    database = connect(settings, "ingest")
    publisher = KafkaPublisher(settings, "ingest")
    store = MongoVisitors(database)
    accounts = AccountsFile(settings.accounts_file, "ingest")
    intake = Intake(accounts.accounts, publisher, Blobs(database), clock, uuid4)
    accounts.follow(intake.learn)
    taking = Taking(intake, settings)
    visitors = Visitors(store, timedelta(days=settings.visitor_lifetime_days), random_visitor_id)

    def front(app: ASGIApp) -> Front:
        made = Front(app, taking)
        accounts.follow(made.learn)
        return made

    return build(
        Service(
            name="ingest",
            settings=settings,
            router=routes(taking, visitors, settings),
            front=front,
            publisher=publisher,
            database=database,
            on_start=[store.prepare],
            loops=[partial(every, settings.accounts_reload_seconds, accounts.look, "accounts")],
        )
    )


def routes(taking: Taking, visitors: Visitors, settings: IngestSettings) -> APIRouter:
    """Return all routes; the visitors' come first, their paths being the narrower ones."""
    router = APIRouter()
    router.include_router(webchat_api.build_router(taking.intake, visitors, settings))
    router.include_router(api.build_router(taking))
    return router
