"""The composition root of notifier: all its topics, routes, workers and loops."""

from datetime import timedelta
from functools import partial

import httpx
from fastapi import FastAPI

from services.chassis.accounts_file import AccountsFile
from services.chassis.attachments import Attachments
from services.chassis.blobs import blob_store, shared_database
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasures
from services.chassis.keys import CustomerKeys
from services.chassis.loops import every
from services.chassis.mongo import Database, connect
from services.chassis.outside import outside_client
from services.chassis.provider_client import provider_client
from services.chassis.sealing import Seals
from services.chassis.service import Service, build
from services.notifier import metrics
from services.notifier.access import Access
from services.notifier.accounts_api import routes as accounts_routes
from services.notifier.api import Parts, routes
from services.notifier.channels.registry import SENDERS, kind_of
from services.notifier.consents import Consents
from services.notifier.erasing import Erasing, FeedMemory
from services.notifier.export_api import routes as export_routes
from services.notifier.feed.hub import Hub
from services.notifier.feed.items import Item
from services.notifier.feed.log import Log
from services.notifier.feed.positions import Position
from services.notifier.feed.resume import Resume
from services.notifier.feed.stream import Streams
from services.notifier.files import PATH as FILES_PATH
from services.notifier.files import Links, StoredFiles
from services.notifier.files import routes as file_routes
from services.notifier.handlers import Sends
from services.notifier.loops import abandon, observe, recover, sweep
from services.notifier.sending import Sending
from services.notifier.settings import NotifierSettings
from services.notifier.store import Store
from services.notifier.subscribers import consumers, tail
from services.notifier.webhooks.compose import webhooks

NAME = "notifier"


def build_app(
    settings: NotifierSettings | None = None,
    *,
    publisher: KafkaPublisher | None = None,
    database: Database | None = None,
    client: httpx.AsyncClient | None = None,
    outside: httpx.AsyncClient | None = None,
    clock: Clock = utc_now,
) -> FastAPI:
    """Return the service's application. Raises AccountsError for an accounts file it cannot use."""
    settings = settings or NotifierSettings()
    shared = shared_database(settings)
    seals = Seals(CustomerKeys(shared, settings.customer_keys_secret.get_secret_value()))
    publisher = publisher or KafkaPublisher(settings, NAME, seals)
    database = database if database is not None else connect(settings, NAME)
    client = client or provider_client(settings.send_timeout_seconds)
    blobs = blob_store(settings, shared)
    links = Links(
        settings.file_link_secret.get_secret_value(),
        f"{settings.public_url.rstrip('/')}/{NAME}{FILES_PATH.removesuffix('{token}')}",
        timedelta(hours=settings.file_link_hours),
        clock,
    )
    accounts = AccountsFile(settings.accounts_file, NAME, settings.provider_api_base)

    store = Store(database, publisher, clock, timedelta(days=settings.parked_days))
    sends = Sends(
        store,
        deduplicates=lambda provider: provider in SENDERS and SENDERS[provider].deduplicates,
        known_account=lambda provider, account: (
            provider in SENDERS and accounts.accounts.find(provider, account) is not None
        ),
        watermarks=lambda provider: provider in SENDERS and SENDERS[provider].watermarks,
        clock=clock,
        echo_hold=timedelta(seconds=settings.echo_hold_seconds),
        on_receipt=lambda provider, outcome, count: metrics.RECEIPTS.labels(provider, outcome).inc(count),
        kind_of=kind_of,
    )
    consents = Consents(database)
    sending = Sending(
        sends,
        store,
        client,
        (),
        lambda provider: SENDERS[provider].send if provider in SENDERS else None,
        settings,
        clock,
        limit=lambda provider: SENDERS[provider].limit,
        files=StoredFiles(blobs, links.make),
        forbids=consents.forbids,
    )
    accounts.follow(sending.learn)
    sends.on_work, sends.broken = sending.wake, sending.standings.broken

    outside = outside or outside_client(settings)
    hooks = webhooks(settings, database, publisher, outside, clock, seals)

    erasures, erasing = Erasures(shared, clock), Erasing(database, hooks.posts, clock)
    positions: dict[Position, int] = {}
    hub = Hub(
        positions,
        ring_records=settings.ring_records,
        ring_bytes=settings.ring_bytes,
        queue=settings.stream_queue,
        on_heard=partial(_observe_heard, clock),
    )
    log = Log(settings, seals=seals)
    resume = Resume(hub, log, settings.resume_records, settings.resume_seconds, settings.resumes_at_once)
    streams = Streams(hub, resume, settings.stream_ping_seconds, settings.resume_seconds, clock)
    access = Access(database, hub.moved)

    async def begin_feed() -> None:
        bounds = await log.bounds()
        ends = {place: end for place, (_, end) in bounds.items()}
        starts = {place: max(first, end - settings.ring_records) for place, (first, end) in bounds.items()}
        hub.begin(starts, ends)

    router = routes(Parts(streams, access, store, settings.stream_write_seconds, hooks.routes))
    router.include_router(accounts_routes(sending.standings, clock))
    router.include_router(export_routes(database))
    router.include_router(file_routes(Attachments(shared, blobs), links))
    return build(
        Service(
            name=NAME,
            settings=settings,
            router=router,
            publisher=publisher,
            database=database,
            consumers=consumers(sends, access, consents, hooks.intake),
            seals=seals,
            tails=[tail(settings, hub, access, positions, seals)],
            on_start=[
                store.prepare,
                hooks.prepare,
                erasing.prepare,
                partial(erasures.prepare, NAME),
                begin_feed,
            ],
            loops=[
                sending.run,
                partial(every, settings.accounts_reload_seconds, accounts.look, "accounts"),
                partial(every, 1.0, sweep(sends, settings), "outbox"),
                partial(every, 5.0, recover(sends), "interrupted sends"),
                partial(every, 5.0, sends.show_echoes, "unclaimed echoes"),
                partial(every, 60.0, abandon(sends, settings), "hopeless sends"),
                partial(every, 15.0, observe(store), "measures"),
                partial(every, 1.0, partial(erasures.carry_out, NAME, erasing.erase), "erasures"),
                partial(every, 2.0, FeedMemory(erasures, hub.forget, clock).look, "erased from the feed"),
                *hooks.loops,
            ],
            on_stop=[client.aclose, outside.aclose, shared.client.close],
        )
    )


def _observe_heard(clock: Clock, item: Item) -> None:
    if item.heard is not None:
        channel, received_at = item.heard
        seconds = (clock() - received_at).total_seconds()
        metrics.TO_STREAM_SECONDS.labels(channel).observe(max(seconds, 0))
