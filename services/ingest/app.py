"""Composes ingest: topics and routes at a glance."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from services.chassis.accounts_file import AccountsFile
from services.chassis.attachments import Attachments
from services.chassis.blobs import blob_store, shared_database
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasures
from services.chassis.inboxes import load_inboxes
from services.chassis.logging import log
from services.chassis.loops import every
from services.chassis.mongo import connect
from services.chassis.outside import SILENCE_SECONDS, outside_client
from services.chassis.provider_client import provider_client
from services.chassis.service import Service, build
from services.chassis.uploads import refused_types
from services.ingest import api, export_api, webchat_api
from services.ingest.certificates import SnsCertificates
from services.ingest.fetching import Fetching
from services.ingest.front import Front
from services.ingest.handlers import Intake
from services.ingest.loops import count_waiting, forget_uploads
from services.ingest.proofs import Proofs
from services.ingest.settings import IngestSettings
from services.ingest.sources import Downloads
from services.ingest.store import Erasing, FetchJobs, MongoNonces, MongoVisitors
from services.ingest.subscribers import consumers
from services.ingest.taking import Taking
from services.ingest.visitors import Visitors, random_visitor_id
from services.ingest.voice.menus import PLAIN, Menus, load_menus


def build_app(settings: IngestSettings | None = None, clock: Clock = utc_now) -> FastAPI:
    """Return the service's ASGI application. Raises AccountsError or BadMenus for a file it cannot use."""
    settings = settings or IngestSettings()
    database = connect(settings, "ingest")
    shared = shared_database(settings)
    blobs = blob_store(settings, shared)
    attachments = Attachments(shared, blobs)
    accounts = AccountsFile(settings.accounts_file, "ingest", settings.provider_api_base)
    publisher = KafkaPublisher(settings, "ingest")
    store = MongoVisitors(database)
    nonces = MongoNonces(database)
    erasures = Erasures(shared, clock)
    erasing = Erasing(store.collection, attachments, lambda: accounts.accounts)
    client = provider_client(settings.certificate_timeout_seconds)
    certificates = SnsCertificates(client, clock, settings.sns_base_url)
    proofs = Proofs(certificates, nonces, timedelta(seconds=settings.nonce_lifetime_seconds))
    intake = Intake(accounts.accounts, publisher, blobs, clock, uuid4, proofs, menus_of(settings))
    accounts.follow(intake.learn)
    taking = Taking(intake, settings)
    visitors = Visitors(store, timedelta(days=settings.visitor_lifetime_days), random_visitor_id)
    outside, providers = outside_client(settings), provider_client(SILENCE_SECONDS)
    jobs = FetchJobs(attachments)
    fetching = Fetching(
        jobs,
        blobs,
        accounts.accounts,
        Downloads(outside, providers, settings.attachment_most_bytes, settings.fetch_seconds),
        settings,
        refused_types(settings),
        clock,
    )
    accounts.follow(fetching.follow)

    router = export_api.routes(store.collection)
    router.include_router(routes(taking, visitors, attachments, settings))

    def front(app: ASGIApp) -> Front:
        made = Front(app, taking)
        accounts.follow(made.learn)
        return made

    return build(
        Service(
            name="ingest",
            settings=settings,
            router=router,
            front=front,
            publisher=publisher,
            database=database,
            consumers=consumers(fetching),
            on_start=[
                store.prepare,
                nonces.prepare,
                attachments.prepare,
                partial(erasures.prepare, "ingest"),
            ],
            loops=[
                fetching.run,
                partial(every, settings.accounts_reload_seconds, accounts.look, "accounts"),
                partial(every, 15.0, count_waiting(jobs), "files to fetch"),
                partial(every, 1.0, partial(erasures.carry_out, "ingest", erasing.erase), "erasures"),
                partial(every, 600.0, forget_uploads(attachments, settings, clock), "unused uploads"),
            ],
            on_stop=[client.aclose, outside.aclose, providers.aclose, shared.client.close],
        )
    )


def menus_of(settings: IngestSettings) -> Menus:
    """Return what callers are asked. Raises BadMenus; a file that is not there asks for a message."""
    if not settings.ivr_file.exists():
        log.warning("ivr_file_missing", file=str(settings.ivr_file))
        return PLAIN
    known = load_inboxes(settings.agents_file) if settings.agents_file.exists() else None
    return load_menus(settings.ivr_file, known)


def routes(
    taking: Taking, visitors: Visitors, attachments: Attachments, settings: IngestSettings
) -> APIRouter:
    """Return all routes; the visitors' come first, their paths being the narrower ones."""
    router = APIRouter()
    router.include_router(webchat_api.build_router(taking.intake, visitors, attachments, settings))
    router.include_router(api.build_router(taking))
    return router
