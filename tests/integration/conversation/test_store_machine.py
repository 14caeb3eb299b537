"""The thread store on the MongoDB protocol, against a simple model, with crashes at any write.

Every action may die at any of its steps. It is then done again, as Kafka or the caller would: the
same records, or the same command id.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from schemas import ids
from schemas.changes import ThreadSaved
from schemas.common import Channel
from schemas.conversations import Status
from schemas.customers import CustomerMerged, CustomerSplit, MergeData
from schemas.inbound import MessageIdentified
from schemas.routing import RoutingUnassigned, UnassignData
from services.chassis.attachments import Attachments
from services.chassis.auth import Principal, Role
from services.chassis.blobs import GridFsBlobs
from services.chassis.delivery import Delivery
from services.chassis.erasures import Erasure
from services.chassis.idempotency import Commands as Once
from services.chassis.mongo import Database, connect
from services.chassis.outbox import write
from services.chassis.problems import Problem
from services.chassis.settings import Settings
from services.conversation import changes
from services.conversation.addresses import Addresses
from services.conversation.commands import Commands
from services.conversation.domain import lifecycle
from services.conversation.domain.model import Thread
from services.conversation.domain.rules import ATTACH, ROUTE, Rule
from services.conversation.domain.table import Action
from services.conversation.domain.timers import next_due
from services.conversation.erasing import Erasing
from services.conversation.handlers import Threads
from services.conversation.merges import Merges
from services.conversation.permission import Reply
from services.conversation.rebuild import PLAN
from services.conversation.store import Store
from services.conversation.wording import Wordings
from tests import crash
from tests.unit.conversation.builders import INBOXES, START, at, grant, message

WORDINGS = Wordings(Settings().accounts_file)
ANA = Principal("ana", frozenset({Role.LEAD}))
Act = Callable[[Commands, Any, UUID], Awaitable[Any]]
CRASHES = st.one_of(st.none(), st.integers(1, 16))
WHO = st.integers(0, 2)
CHANNELS = (Channel.SMS, Channel.WHATSAPP, Channel.EMAIL, Channel.CHAT)
NUMBERS = ("+15551230001", "+15551230002", "+15551230003")


@dataclass
class World:
    """Behind a function: hypothesis looks into a machine's attributes; a collection answers to any name."""

    loop: asyncio.AbstractEventLoop
    database: Database


WORLD: list[World] = []


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.mark = uuid4().hex[:8]
        self.log = crash.Log()
        self.seconds = 0.0
        self.count = 0
        self.sent: dict[str, list[MessageIdentified]] = defaultdict(list)
        self.replies: set[str] = set()
        self.parents: dict[str, str] = {}
        self.merges: dict[str, int] = defaultdict(int)
        self.erased: set[str] = set()

    # --- plumbing -------------------------------------------------------------------------------

    def threads(self, fuse: crash.Fuse) -> Threads:
        self.log.fuse = fuse
        clock = lambda: START + timedelta(seconds=self.seconds)  # noqa: E731
        store = Store(crash.Database(WORLD[0].database, fuse), self.log, clock)  # type: ignore[arg-type]
        return Threads(store, INBOXES, next_due, clock)

    def surviving(self, crash_at: int | None, work: Callable[[Threads], Awaitable[Any]]) -> Any:
        """Do `work`; when it dies on the way, do it again without a crash."""
        try:
            return WORLD[0].loop.run_until_complete(work(self.threads(crash.Fuse(crash_at))))
        except crash.Crash:
            return WORLD[0].loop.run_until_complete(work(self.threads(crash.Fuse(None))))

    def customer(self, who: int) -> str:
        return f"{self.mark}-{who}"

    def root(self, customer: str) -> str:
        while customer in self.parents:
            customer = self.parents[customer]
        return customer

    def thread(self, customer: str) -> Thread:
        store = Store(WORLD[0].database, self.log)
        return WORLD[0].loop.run_until_complete(store.load([customer]))[customer].thread

    def apply(self, crash_at: int | None, rule_: Rule, items: list[Any]) -> None:
        batch = [Delivery("t", 0, number, item) for number, item in enumerate(items)]
        self.surviving(crash_at, lambda threads: threads.apply(rule_, batch))

    def command(self, crash_at: int | None, who: int, act: Act) -> bool:
        """Give a command; a refusal changes nothing."""
        current = self.thread(self.customer(who)).current
        if current is None:
            return False
        self.count += 1
        own = ids.derive("command", self.mark, self.count)
        try:
            self.surviving(
                crash_at,
                lambda threads: act(
                    Commands(threads, 1, WORDINGS, Addresses(WORLD[0].database)), current, own
                ),
            )
        except Problem as refusal:
            if refusal.status != 409:
                raise
            return False
        return True

    # --- what can happen ------------------------------------------------------------------------

    @rule(
        batch=st.lists(st.tuples(WHO, st.sampled_from(CHANNELS)), min_size=1, max_size=4),
        twice=st.booleans(),
        crash_at=CRASHES,
    )
    def customers_write(self, batch: list[tuple[int, Channel]], *, twice: bool, crash_at: int | None) -> None:
        items = []
        for who, channel in batch:
            self.count += 1
            customer = self.customer(who)
            item = message(
                f"{self.mark}{self.count}",
                seconds=self.seconds,
                customer=customer,
                number=NUMBERS[who],
                channel=channel,
            )
            if customer not in self.erased:
                self.sent[customer].append(item)
            items.append(item)
        self.apply(crash_at, ATTACH, items * 2 if twice else items)

    @rule(who=WHO, crash_at=CRASHES, rarely=st.integers(0, 3))
    def somebody_is_erased(self, who: int, crash_at: int | None, rarely: int) -> None:
        root = self.root(self.customer(who))
        if rarely or root in self.erased:
            return
        homes = [each for each in self.all() if self.root(each) == root]
        self.erased.update(homes)
        erasure = Erasure(root, tuple(homes), at(self.seconds))

        async def erase(threads: Threads) -> None:
            database: Any = crash.Database(WORLD[0].database, self.log.fuse)
            files = Attachments(WORLD[0].database, GridFsBlobs(WORLD[0].database))
            once = Once(WORLD[0].database)
            await Erasing(database, threads.store, files, once, clock=threads.clock).erase(erasure)

        self.surviving(crash_at, erase)

    @rule(who=WHO, crash_at=CRASHES)
    def an_old_message_comes_again(self, who: int, crash_at: int | None) -> None:
        if self.sent[self.customer(who)]:
            self.apply(crash_at, ATTACH, [self.sent[self.customer(who)][0]])

    @rule(who=WHO, crash_at=CRASHES)
    def the_router_grants(self, who: int, crash_at: int | None) -> None:
        thread = self.thread(self.customer(who))
        if thread.current is not None and thread.current.status is Status.NEW:
            self.count += 1
            self.apply(crash_at, ROUTE, [grant(thread, n=self.count)] * 2)

    @rule(who=WHO, crash_at=CRASHES)
    def the_agent_signs_off(self, who: int, crash_at: int | None) -> None:
        thread = self.thread(self.customer(who))
        if thread.current is not None and thread.current.status is Status.OPEN and thread.current.agent:
            self.count += 1
            own = ids.derive("decision", self.mark, self.count)
            decision = RoutingUnassigned(
                id=own,
                occurred_at=at(self.seconds),
                correlation=own,
                customer_id=thread.customer_id,
                home=thread.customer_id,
                data=UnassignData(
                    pool="main",
                    n=self.count,
                    conversation_id=thread.current.id,
                    epoch=thread.current.routing.current,
                    agent=thread.current.agent,
                    reason="signed_off",
                ),
            )
            self.apply(crash_at, ROUTE, [decision])

    @rule(who=WHO, crash_at=CRASHES)
    def ana_replies(self, who: int, crash_at: int | None) -> None:
        if self.thread(self.customer(who)).routes and self.command(
            crash_at, who, lambda commands, found, own: commands.reply(found, ANA, own, Reply("Hello"))
        ):
            self.replies.add(str(ids.derive("reply", ids.derive("command", self.mark, self.count))))

    @rule(survivor=WHO, absorbed=WHO, crash_at=CRASHES)
    def two_are_found_to_be_one(self, survivor: int, absorbed: int, crash_at: int | None) -> None:
        into, gone = self.root(self.customer(survivor)), self.root(self.customer(absorbed))
        if into != gone and not {into, gone} & self.erased:
            self.parents[gone] = into
            self.tell(CustomerMerged, into, gone, crash_at)

    @rule(who=WHO, crash_at=CRASHES)
    def they_were_not_after_all(self, who: int, crash_at: int | None) -> None:
        gone = self.customer(who)
        if gone in self.parents and gone not in self.erased:
            self.tell(CustomerSplit, self.parents.pop(gone), gone, crash_at)

    def tell(
        self, model: type[CustomerMerged | CustomerSplit], into: str, gone: str, crash_at: int | None
    ) -> None:
        self.merges[gone] += 1
        own = ids.derive("merge", gone, self.merges[gone])
        event = model(
            id=own,
            occurred_at=at(self.seconds),
            correlation=own,
            customer_id=gone,
            home=gone,
            seq=self.merges[gone],
            data=MergeData(
                customer_id=gone,
                merge_id=str(own),
                survivor=into,
                n=self.merges[gone],
                by="lea",
                reason="asked",
            ),
        )
        batch = [Delivery("t", 0, 0, event)] * 2
        self.surviving(crash_at, lambda threads: Merges(threads).apply(batch))

    @rule(who=WHO, crash_at=CRASHES)
    def ana_closes(self, who: int, crash_at: int | None) -> None:
        self.command(crash_at, who, lambda commands, found, own: commands.close(found, own, confirmed=None))

    @rule(who=WHO, crash_at=CRASHES)
    def ana_reopens(self, who: int, crash_at: int | None) -> None:
        reopen = lambda draft: lifecycle.reopen(draft, agent="ana")  # noqa: E731
        self.command(
            crash_at, who, lambda commands, found, own: commands.change(found, own, Action.REOPEN, reopen)
        )

    @rule(seconds=st.sampled_from([10, 1000, 90_000]), crash_at=CRASHES)
    def time_passes_and_timers_fire(self, seconds: int, crash_at: int | None) -> None:
        self.seconds += seconds
        bounds = dict.fromkeys(range(12), at(self.seconds))

        async def fire(threads: Threads) -> None:
            store: Any = threads.store
            due = [customer for customer in await store.due(bounds, 50) if customer.startswith(self.mark)]
            loaded = await store.load(due)
            await threads.tick(list(loaded.values()))

        self.surviving(crash_at, fire)

    # --- what must hold -------------------------------------------------------------------------

    def teardown(self) -> None:
        WORLD[0].loop.run_until_complete(self.check())

    async def check(self) -> None:
        store = Store(WORLD[0].database, self.log, lambda: at(self.seconds))
        self.log.fuse = crash.Fuse(None)
        mine = list((await store.load([self.customer(who) for who in range(3)])).values())
        await store.drain([item for item in mine if item.pending])
        events = self.records("conversations.events")
        outbound = self.records("messages.outbound")
        sends = [item["data"]["message_id"] for item in outbound.values()]
        assert sorted(sends) == sorted(self.replies)
        customers = [self.customer(who) for who in range(3)]
        rows = WORLD[0].database["timeline"].find({"home": {"$in": customers}, "direction": "outbound"})
        assert {row["_id"] async for row in rows} == self.replies
        for customer in customers:
            await self.check_customer(customer, events)
        await self.check_rooms(customers)
        await self.check_log([each for each in customers if each not in self.erased])

    def records(self, topic: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for record in self.log.records:
            if record.topic == topic:
                content = json.loads(record.value)
                assert found.setdefault(content["id"], content) == content, "one id, two contents"
        return found

    async def check_customer(self, customer: str, events: dict[str, Any]) -> None:
        database = WORLD[0].database
        rows = database["timeline"].find({"home": customer, "direction": "inbound"})
        assert {row["_id"] async for row in rows} == {str(item.id) for item in self.sent[customer]}
        seqs = [event["seq"] for event in events.values() if event["customer_id"] == customer]
        document = await database["threads"].find_one({"_id": customer})
        if document is None:
            assert seqs == []
            return
        assert document["outbox"] == []
        if customer in self.erased:
            await self.check_erased(customer)
            return
        # after a merge a thread counts on from the higher of two numbers
        assert seqs == sorted(set(seqs))
        assert max(seqs, default=0) <= document["seq"]
        thread = (await Store(database, self.log).own([customer]))[customer].thread
        assert thread.merged_into == self.parents.get(customer) or customer in self.parents
        opened = await database["conversations"].count_documents({"customer_id": customer, "open": True})
        if customer in self.parents:
            assert opened == 0
            assert document.get("next_due") is None
            return
        family = {each for each in self.all() if self.root(each) == customer}
        assert set(thread.homes) == family
        belongings = (*thread.ways, *thread.standings, *thread.mailed)
        assert {each.home or customer for each in belongings} <= family
        current = thread.current
        assert opened == int(current is not None and current.status is not Status.CLOSED)
        if current is not None:
            assert {contact.home or customer for contact in current.contacts} <= family
            stored = await database["conversations"].find_one({"_id": current.id})
            assert stored is not None
            assert stored["state"] == document["state"]["current"]

    async def check_erased(self, customer: str) -> None:
        """What happened is known, and no word of it; nothing is open, and nobody is waited for."""
        database = WORLD[0].database
        thread = (await Store(database, self.log).own([customer]))[customer].thread
        assert thread.erased
        assert (thread.current, thread.ways, thread.standings, thread.mailed) == (None, (), (), ())
        assert await database["conversations"].count_documents({"home": customer, "open": True}) == 0
        async for row in database["timeline"].find({"home": customer}):
            assert not {"text", "address", "to", "words", "subject"} & row.keys(), row["kind"]

    def all(self) -> list[str]:
        return [self.customer(who) for who in range(3)]

    async def check_rooms(self, customers: list[str]) -> None:
        """What nobody works on holds nothing at the router, and what waits for an Agent is asked for."""
        asked, given_back = defaultdict[str, int](int), defaultdict[str, int](int)
        for record in self.records("routing.commands").values():
            data = record["data"]
            which = given_back if record["type"] == "routing.release" else asked
            which[data["conversation_id"]] = max(which[data["conversation_id"]], data["epoch"])
        found = WORLD[0].database["conversations"].find({"home": {"$in": customers}})
        async for document in found:
            name, status = document["_id"], document["status"]
            if status in ("closed", "waiting"):
                assert given_back[name] >= asked[name], f"{name} is {status} and still asked for"
            else:
                assert asked[name] > given_back[name], f"{name} is {status} and not asked for"

    async def check_log(self, customers: list[str]) -> None:
        """The changelog, read partition by partition, makes the store again, but for who is erased."""
        live = WORLD[0].database
        again = live.client.get_database(f"{live.name}_again", codec_options=live.codec_options)
        told = sorted(
            self.records("conversation.changes").values(), key=itemgetter("customer_id"), reverse=True
        )
        for record in told:
            await write(again, changes.rows_of(ThreadSaved.model_validate(record)))
        for name in PLAN.collections:
            query = {"_id" if name == "threads" else "home": {"$in": customers}}
            found = [
                {row["_id"]: row async for row in database[name].find(query, {"outbox": 0})}
                for database in (live, again)
            ]
            assert found[0] == found[1], name


@pytest.mark.timeout(240)
def test_the_store_agrees_with_the_model_through_crashes(embedded_mongo: str, database_name: str) -> None:
    loop = asyncio.new_event_loop()
    database = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    WORLD[:] = [World(loop, database)]
    loop.run_until_complete(Store(database, crash.Log()).prepare())
    try:
        machine = StoreMachine.TestCase
        machine.settings = settings(
            max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        )
        machine("runTest").runTest()
    finally:
        loop.run_until_complete(database.client.close())
        loop.close()
