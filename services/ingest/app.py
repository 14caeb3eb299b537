"""Composes ingest: topics and routes at a glance."""

from datetime import timedelta
from uuid import uuid4

from fastapi import APIRouter, FastAPI

from services.chassis.accounts import Accounts
from services.chassis.blobs import Blobs
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.inboxes import load_inboxes
from services.chassis.logging import log
from services.chassis.mongo import connect
from services.chassis.service import Service, build
from services.ingest import api, webchat_api
from services.ingest.front import Front
from services.ingest.handlers import Intake
from services.ingest.settings import IngestSettings
from services.ingest.store import MongoVisitors
from services.ingest.taking import Taking
from services.ingest.visitors import Visitors, random_visitor_id
from services.ingest.voice.menus import PLAIN, Menus, load_menus


def build_app(settings: IngestSettings | None = None, clock: Clock = utc_now) -> FastAPI:
    """Return the service's ASGI application. Raises AccountsError or BadMenus for a file it cannot use."""
    settings = settings or IngestSettings()
    database = connect(settings, "ingest")
    publisher = KafkaPublisher(settings, "ingest")
    store = MongoVisitors(database)
    accounts, menus = Accounts.load(settings.accounts_file), menus_of(settings)
    intake = Intake(accounts, publisher, Blobs(database), clock, uuid4, menus)
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


def menus_of(settings: IngestSettings) -> Menus:
    """Return what callers are asked. Raises BadMenus; a file that is not there asks for a message."""
    if not settings.ivr_file.exists():
        log.warning("ivr_file_missing", file=str(settings.ivr_file))
        return PLAIN
    known = load_inboxes(settings.agents_file) if settings.agents_file.exists() else None
    return load_menus(settings.ivr_file, known)


def routes(taking: Taking, visitors: Visitors, settings: IngestSettings) -> APIRouter:
    """Return all routes; the visitors' come first, their paths being the narrower ones."""
    router = APIRouter()
    router.include_router(webchat_api.build_router(taking.intake, visitors, settings))
    router.include_router(api.build_router(taking))
    return router
