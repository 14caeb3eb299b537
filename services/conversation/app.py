"""The composition root of conversation: all its topics, routes and loops."""

from functools import partial

from fastapi import FastAPI

from schemas.topics import MESSAGES_IDENTIFIED
from services.chassis.attachments import Attachments
from services.chassis.audit import Trail
from services.chassis.blobs import blob_store, shared_database
from services.chassis.broker import KafkaPublisher
from services.chassis.clock import Clock, utc_now
from services.chassis.erasures import Erasures
from services.chassis.idempotency import Commands as Once
from services.chassis.inboxes import load_inboxes
from services.chassis.keys import CustomerKeys
from services.chassis.loops import every
from services.chassis.mongo import Database, connect
from services.chassis.sealing import Seals
from services.chassis.service import Service, build
from services.chassis.stage import Stage
from services.conversation.access import Access
from services.conversation.actions import ACTIONS
from services.conversation.addresses import Addresses
from services.conversation.api import Parts, nobody_there, routes
from services.conversation.commands import Commands
from services.conversation.domain.timers import next_due
from services.conversation.erasing import Erasing
from services.conversation.export_api import Export
from services.conversation.export_api import routes as export_routes
from services.conversation.files import Files
from services.conversation.files import routes as file_routes
from services.conversation.handlers import ErasedCustomer, Threads
from services.conversation.history_api import routes as history_routes
from services.conversation.loops import count_current, fire_timers, follow_rules, sweep_outboxes
from services.conversation.merges import Merges
from services.conversation.past import Past
from services.conversation.rules_api import routes as rule_routes
from services.conversation.rules_file import RulesFile
from services.conversation.search_api import routes as search_routes
from services.conversation.settings import ConversationSettings
from services.conversation.signals import Signals
from services.conversation.store import Store
from services.conversation.subscribers import consumers
from services.conversation.task_routes import routes as task_routes
from services.conversation.tasks import Tasks
from services.conversation.tickets import Tickets
from services.conversation.tickets import routes as ticket_routes
from services.conversation.wording import Wordings

NAME = "conversation"


def build_app(
    settings: ConversationSettings | None = None,
    *,
    publisher: KafkaPublisher | None = None,
    database: Database | None = None,
    clock: Clock = utc_now,
) -> FastAPI:
    """Return the service's application. Raises AccountsError, BadRules for a file it cannot use."""
    settings = settings or ConversationSettings()
    shared = shared_database(settings)
    seals = Seals(CustomerKeys(shared, settings.customer_keys_secret.get_secret_value()))
    publisher = publisher or KafkaPublisher(settings, NAME, seals)
    database = database if database is not None else connect(settings, NAME)
    attachments = Attachments(shared, blob_store(settings, shared))
    inboxes = load_inboxes(settings.agents_file)
    wordings = Wordings(settings.accounts_file)
    rules = RulesFile(settings.rules_file, inboxes)
    store = Store(database, publisher, clock)
    threads = Threads(store, inboxes, next_due, clock, lambda: rules.rules)
    access = Access(store)
    files = Files(attachments, store, access)
    once = Once(database, clock)
    erasing, erasures = Erasing(database, store, attachments, once, clock=clock), Erasures(shared, clock)
    trail = Trail(database, publisher, NAME, clock)
    addresses = Addresses(database)
    commands = Commands(threads, settings.decision_wait_seconds, wordings, addresses)

    router = routes(Parts(store, access, commands, once, inboxes, files, Signals(publisher, clock)))
    router.include_router(file_routes(files, once, settings, clock))
    router.include_router(export_routes(Export(database, attachments)))
    past = Past(store.conversations, store.timeline)
    router.include_router(rule_routes(rules, inboxes, past, settings.dry_run_seconds, clock))
    router.include_router(history_routes(store, access))
    router.include_router(search_routes(store, access, files))
    router.include_router(ticket_routes(Tickets(store, threads, access), once))
    tasks = Tasks(store, threads, access, settings.decision_wait_seconds)
    router.include_router(task_routes(tasks, once))
    service: Service

    def stage() -> Stage:
        return service.stages[MESSAGES_IDENTIFIED.name]

    service = Service(
        name=NAME,
        settings=settings,
        router=router,
        publisher=publisher,
        database=database,
        consumers=consumers(threads, access, Merges(threads), addresses, clock, wordings.help_text),
        seals=seals,
        trail=(trail, ACTIONS),
        on_start=[
            store.prepare,
            once.prepare,
            attachments.prepare,
            trail.prepare,
            partial(erasures.prepare, NAME),
        ],
        on_stop=[shared.client.close],
        loops=[
            partial(
                every, settings.timer_interval_seconds, fire_timers(threads, store, stage, settings), "timers"
            ),
            partial(every, 1.0, sweep_outboxes(store, stage, settings, clock), "outbox"),
            partial(every, 0.5, trail.publish, "audit"),
            partial(every, 15.0, count_current(store), "measures"),
            partial(every, 1.0, partial(erasures.carry_out, NAME, erasing.erase), "erasures"),
            partial(every, settings.accounts_reload_seconds, wordings.look, "accounts"),
            partial(every, settings.rules_reload_seconds, follow_rules(rules, store, clock), "rules"),
        ],
    )
    app = build(service)
    app.add_exception_handler(ErasedCustomer, nobody_there)
    return app
