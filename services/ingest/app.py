"""Composes ingest: topics and routes at a glance."""

from datetime import timedelta
from uuid import uuid4

from fastapi import APIRouter, FastAPI

from services.chassis.accounts import Accounts
from services.chassis.blobs import Blobs
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
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
    intake = Intake(Accounts.load(settings.accounts_file), publisher, Blobs(database), clock, uuid4)
    taking = Taking(intake, settings)
    visitors = Visitors(store, timedelta(days=settings.visitor_lifetime_days), random_visitor_id)
    return build(
        Service(
            name="ingest",
            settings=settings,
            router=routes(taking, visitors, settings),
            front=lambda app: Front(app, taking),
            publisher=publisher,
            database=database,
            on_start=[store.prepare],
        )
    )


def routes(taking: Taking, visitors: Visitors, settings: IngestSettings) -> APIRouter:
    """Return all routes; the visitors' come first, their paths being the narrower ones."""
    router = APIRouter()
    router.include_router(webchat_api.build_router(taking.intake, visitors, settings))
    router.include_router(api.build_router(taking))
    return router
