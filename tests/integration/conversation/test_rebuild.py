"""The store made again from its changelog, on the protocols of Kafka and MongoDB."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from deploy.local.servers import kafka_server
from schemas import ids
from schemas.calls import CallEnd, CallStatus
from schemas.common import DeliveryStatus
from schemas.customers import CustomerMerged, CustomerSplit, MergeData
from schemas.outbound import MessageStatus, StatusData
from schemas.topics import CONVERSATION_CHANGES
from services.chassis import rebuilding
from services.chassis.broker import KafkaPublisher, Outgoing, partition_of
from services.chassis.delivery import HANDLED, Delivery
from services.chassis.mongo import connect
from services.chassis.settings import Settings
from services.chassis.topics import create_topics
from services.conversation.addresses import Addresses
from services.conversation.commands import Commands
from services.conversation.domain import lifecycle
from services.conversation.domain.rules import ATTACH, ROUTE, SHOW_DELIVERY
from services.conversation.domain.table import Action
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.merges import Merges
from services.conversation.permission import Reply
from services.conversation.rebuild import PLAN
from services.conversation.store import Store
from tests import crash
from tests.integration.conversation.test_store_machine import ANA, WORDINGS
from tests.unit.conversation.builders import CUSTOMER, INBOXES, at, grant, message
from tests.unit.conversation.test_calling import word

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a Kafka whose changelog nobody else writes to."""
    with kafka_server(tmp_path_factory.mktemp("changes") / "data") as bootstrap:
        yield bootstrap


class World:
    """A store that publishes to Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.publisher = KafkaPublisher(settings, "test")
        self.live = connect(settings, "conversation")
        self.into = connect(settings, "again")
        self.seconds = 0.0

    def threads(self, publisher: Any = None, fuse: crash.Fuse | None = None) -> Threads:
        clock = lambda: at(self.seconds)  # noqa: E731
        database: Any = crash.Database(self.live, fuse) if fuse else self.live
        return Threads(Store(database, publisher or self.publisher, clock), INBOXES, next_due, clock)

    async def apply(self, rule: Any, *items: Any, threads: Threads | None = None) -> None:
        self.seconds += 1
        await (threads or self.threads()).apply(
            rule, [Delivery("t", 0, n, item) for n, item in enumerate(items)]
        )

    async def live_a_life(self) -> None:
        """Let one Customer go through everything that writes rows of some kind."""
        await self.apply(ATTACH, *(message(number, seconds=number) for number in range(3)))
        store = Store(self.live, self.publisher)
        thread = (await store.load([CUSTOMER]))[CUSTOMER].thread
        await self.apply(ROUTE, grant(thread, n=1))
        commands = Commands(self.threads(), 1, WORDINGS, Addresses(self.live))
        found = await store.conversation(thread.current.id if thread.current else "")
        assert found is not None
        written = await commands.reply(found, ANA, ids.derive("c", 1), Reply("On its way"))
        for seq, status in enumerate((DeliveryStatus.SENT, DeliveryStatus.DELIVERED), start=1):
            await self.apply(SHOW_DELIVERY, _status(written, found.id, seq, status))
        await commands.note(found, ANA, ids.derive("c", 2), "Ring the depot")
        await self.apply(ATTACH, word("start", seconds=10))
        over = CallEnd(status=CallStatus.COMPLETED, at=at(12))
        await self.apply(ATTACH, word("end", seconds=12, end=over), word("said", seconds=13, text="a parcel"))
        await commands.close(found, ids.derive("c", 3), confirmed=True)
        await self.apply(ATTACH, message("later", seconds=200_000))
        await self.apply(ATTACH, message("ben", customer="ben"), message("cy", customer="cy"))

    async def rebuilt(self, *, check: bool = True) -> rebuilding.Outcome:
        await self.into.client.drop_database(self.into.name)
        return await rebuilding.rebuild(PLAN, self.settings, self.live, self.into, check=check)


def _status(message_id: Any, conversation: str, seq: int, status: DeliveryStatus) -> MessageStatus:
    own = ids.derive("status", message_id, seq)
    return MessageStatus(
        id=own,
        occurred_at=at(5),
        correlation=own,
        customer_id=CUSTOMER,
        home=CUSTOMER,
        seq=seq,
        data=StatusData(message_id=message_id, conversation_id=conversation, status=status, at=at(5)),
    )


@pytest.fixture
async def world(kafka: str, embedded_mongo: str, database_name: str) -> AsyncIterator[World]:
    made = World(
        Settings(kafka_bootstrap_servers=kafka, mongo_url=embedded_mongo, mongo_database=database_name)
    )
    await create_topics(made.settings)
    await Store(made.live, made.publisher).prepare()
    yield made
    await made.publisher.stop()
    await made.live.client.close()
    await made.into.client.close()


async def test_a_store_made_again_from_its_log_equals_the_live_one(world: World) -> None:
    await world.live_a_life()
    outcome = await world.rebuilt()
    assert outcome.equal, rebuilding.report(outcome, check=True)
    counts = {each.collection: each.equal for each in outcome.found}
    assert counts["threads"] == 3
    assert counts["conversations"] == 4
    assert counts["timeline"] > 10
    assert counts["history"] > 5
    kinds = await world.into["timeline"].distinct("kind")
    assert {"message", "note", "call", "status", "assignment"} <= set(kinds)
    assert (await world.into["timeline"].find_one({"kind": "call"}) or {})["text"] == "a parcel"


async def test_a_service_goes_on_with_the_rebuilt_store(world: World) -> None:
    await world.live_a_life()
    await world.rebuilt(check=False)
    store = Store(world.into, world.publisher)
    await store.prepare()
    threads = Threads(store, INBOXES, next_due, lambda: at(world.seconds))
    again, new = message(1, seconds=1), message("and now", seconds=200_100)
    outcomes = await threads.apply(ATTACH, [Delivery("t", 0, 0, again), Delivery("t", 0, 1, new)])
    assert outcomes == ["duplicate", "handled"]


@pytest.mark.parametrize("collection", ["threads", "conversations", "timeline", "history"])
async def test_what_was_changed_lost_or_added_by_hand_is_named(world: World, collection: str) -> None:
    await world.live_a_life()
    one, other = [row["_id"] async for row in world.live[collection].find(sort=[("_id", 1)], limit=2)]
    await world.live[collection].update_one({"_id": one}, {"$set": {"tampered": "Hello Ada"}})
    await world.live[collection].delete_one({"_id": other})
    await world.live[collection].insert_one({"_id": "strange"})
    outcome = await world.rebuilt()
    assert not outcome.equal
    wrong = {each.collection: outcome.wrong(each) for each in outcome.found if each.differing}
    assert wrong == {collection: {one: "differs in tampered", other: "only rebuilt", "strange": "only live"}}
    assert "Hello" not in "".join(rebuilding.report(outcome, check=True))


async def test_what_is_on_its_way_is_no_difference_until_it_is_there(world: World) -> None:
    await world.live_a_life()
    fuse = crash.Fuse(1)
    with pytest.raises(crash.Crash):
        await world.apply(ATTACH, message("stuck", customer="dee"), threads=world.threads(crash.Log(fuse)))
    outcome = await world.rebuilt()
    assert outcome.equal
    assert any(outcome.in_flight.values())
    store = Store(world.live, world.publisher)
    await store.drain(list((await store.load(["dee"])).values()))
    outcome = await world.rebuilt()
    assert outcome.equal
    assert not any(outcome.in_flight.values())


async def test_merged_and_parted_customers_are_made_again_in_whatever_order_partitions_are_read(
    world: World,
) -> None:
    await world.live_a_life()
    commands, store = (
        Commands(world.threads(), 1, WORDINGS, Addresses(world.live)),
        Store(world.live, world.publisher),
    )
    found = (await store.load([CUSTOMER]))[CUSTOMER].thread.current
    assert found is not None
    written = await commands.reply(found, ANA, ids.derive("c", 9), Reply("One more"))
    await _merged(world, CustomerMerged, 1)
    for seq, status in enumerate((DeliveryStatus.SENT, DeliveryStatus.READ), start=1):
        await world.apply(SHOW_DELIVERY, _status(written, found.id, seq, status))
    assert (await store.rows([str(written)]))[str(written)].status_seq == 2
    await world.apply(ATTACH, message("as one", customer="ben"))
    outcome = await world.rebuilt()
    assert outcome.equal, rebuilding.report(outcome, check=True)
    await _merged(world, CustomerSplit, 2)
    await world.apply(ATTACH, message("as two", customer="ben"))
    outcome = await world.rebuilt()
    assert outcome.equal, rebuilding.report(outcome, check=True)


async def _merged(world: World, event: type[CustomerMerged | CustomerSplit], n: int) -> None:
    """Let ben absorb the Customer, or let them part; their threads are in different partitions."""
    assert partition_of("ben") != partition_of(CUSTOMER)
    own = ids.derive("merge", n)
    data = MergeData(
        customer_id=CUSTOMER, survivor="ben", merge_id="merge-1", n=n, by="lea", reason="by hand"
    )
    told = event(
        id=own,
        occurred_at=at(world.seconds),
        correlation=own,
        customer_id=CUSTOMER,
        home=CUSTOMER,
        seq=n,
        data=data,
    )
    assert await Merges(world.threads()).apply([Delivery("t", 0, n, told)]) == [HANDLED]


async def test_records_that_crashes_repeat_change_nothing(world: World) -> None:
    class Half:
        """Publishes, and dies before it says so."""

        def __init__(self) -> None:
            self.left = 2

        async def publish(self, batch: list[Outgoing]) -> None:
            await world.publisher.publish(batch)
            self.left -= 1
            if self.left >= 0:
                raise crash.Crash

    half = Half()
    for _ in range(2):
        with pytest.raises(crash.Crash):
            await world.apply(ATTACH, message("twice"), message("again"), threads=world.threads(half))
    await world.apply(ATTACH, message("twice"), message("again"), threads=world.threads(half))
    commands = Commands(world.threads(), 1, WORDINGS, Addresses(world.live))
    store = Store(world.live, world.publisher)
    found = (await store.load([CUSTOMER]))[CUSTOMER].thread.current
    assert found is not None
    await commands.change(
        found, ids.derive("c"), Action.PRIORITY, lambda draft: lifecycle.set_priority(draft, 3)
    )
    outcome = await world.rebuilt()
    assert outcome.equal, rebuilding.report(outcome, check=True)
    assert outcome.records > 3


async def test_a_record_that_nobody_can_read_is_named(world: World) -> None:
    await world.live_a_life()
    await world.publisher.publish([Outgoing(CONVERSATION_CHANGES.name, CUSTOMER, b"{}")])
    outcome = await world.rebuilt()
    assert not outcome.equal
    assert len(outcome.unreadable) == 1


def test_the_command_says_what_it_found(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert rebuilding.main(PLAN, [], world.settings) == rebuilding.EQUAL
    assert "equals the live one" in capsys.readouterr().out
    assert rebuilding.main(PLAN, ["--into", world.live.name], world.settings) == rebuilding.USAGE
    away = world.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    assert rebuilding.main(PLAN, [], away) == rebuilding.UNREACHABLE
