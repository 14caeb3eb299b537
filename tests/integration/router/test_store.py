"""Journal, fencing, snapshots and read models on the database's own protocol."""

from collections.abc import AsyncIterator, Sequence

import pytest

from schemas.common import Channel
from schemas.envelope import Envelope
from services.chassis.mongo import connect
from services.chassis.settings import Settings
from services.router.domain.policy import Policy
from services.router.handlers import Router
from services.router.journal import PoolTaken
from services.router.readmodels import ReadModels
from services.router.store import MongoStore
from tests.unit.router.commands import POOL, START, accept, available, profile, release, request
from tests.unit.router.fakes import PARTITION, FakePublisher, Trouble, Uncounted, World, deliveries


class Replica:
    def __init__(self, store: MongoStore, world: World) -> None:
        self.observer = Uncounted()
        self.router = Router(
            store=store,
            publisher=FakePublisher(world, Trouble()),
            observer=self.observer,
            policy_of=lambda _: Policy(),
            clock=lambda: START,
            owner="test",
            snapshot_every=2,
        )
        self.next = 0

    async def send(self, *commands: Envelope) -> Sequence[object]:
        batch = deliveries(commands, self.next)
        self.next += len(commands)
        return await self.router.handle(batch)


@pytest.fixture
async def store(embedded_mongo: str, database_name: str) -> AsyncIterator[MongoStore]:
    database = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "router")
    store = MongoStore(database)
    await store.prepare()
    yield store
    await database.client.drop_database(database.name)
    await database.client.close()


@pytest.fixture
def reads(store: MongoStore) -> ReadModels:
    return ReadModels(store.database)


async def test_a_second_writer_of_an_entry_is_told(store: MongoStore) -> None:
    world = World()
    old, new = Replica(store, world), Replica(store, world)
    await old.send(profile("ana"), available("ana"))
    await new.router.assigned(frozenset({PARTITION}))
    with pytest.raises(PoolTaken):
        await old.send(request("c1"))
    assert old.observer.conflicts == 1


async def test_another_replica_goes_on_from_snapshot_and_journal(store: MongoStore) -> None:
    world = World()
    first = Replica(store, world)
    await first.send(profile("ana", capacity={"messaging": 1}), available("ana"))
    for number in range(5):
        await first.send(request(f"c{number}"))
    assert (await store.history(POOL)).snapshot is not None
    second = Replica(store, world)
    second.next = first.next
    await second.send(release("c0", 1))
    assert second.observer.divergences == 0
    granted = [each.data.conversation_id for each in world.records() if each.type == "routing.granted"]
    assert granted == ["c0", "c1"]


async def test_unpublished_entries_are_published_by_whoever_loads_the_pool(store: MongoStore) -> None:
    world, silent = World(), World()
    first = Replica(store, silent)
    await first.send(profile("ana"), available("ana"), request("c1"))
    assert await store.database["journal"].count_documents({"published": False}) == 0
    await store.database["journal"].update_many({"n": 2}, {"$set": {"published": False}})
    await store.database["snapshots"].delete_many({})
    await Replica(store, world).router.assigned(frozenset({PARTITION}))
    assert world.published == silent.published


async def test_read_models_show_agents_queues_and_the_explained_request(
    store: MongoStore, reads: ReadModels
) -> None:
    replica = Replica(store, World())
    await replica.send(profile("ana", capacity={"messaging": 1}), available("ana"))
    await replica.send(request("c1"), request("c2"), request("c3", priority=1))
    agent = await reads.agent("ana")
    assert agent is not None
    assert agent["load"] == {"total": 1, "voice": 0, "messaging": 1, "email": 0, "tasks": 0}
    granted = await reads.request("c1")
    assert granted is not None
    assert (granted["state"], granted["agent"]) == ("assigned", "ana")
    assert granted["decision"]["explanation"]["why"] == "only_one"
    positions = {}
    for conversation in ("c2", "c3"):
        row = await reads.request(conversation)
        assert row is not None
        positions[conversation] = await reads.position(row)
        assert await reads.expected_wait(row) == positions[conversation] * 300.0
    assert positions == {"c3": 1, "c2": 2}


async def test_the_last_explanation_stays_after_release(store: MongoStore, reads: ReadModels) -> None:
    replica = Replica(store, World())
    await replica.send(profile("ana"), available("ana"), request("c1"))
    await replica.send(release("c1", 1))
    row = await reads.request("c1")
    assert row is not None
    assert (row["state"], row["agent"]) == ("released", None)
    assert row["decision"]["explanation"]["why"] == "only_one"


async def test_an_older_state_never_replaces_a_newer_one(store: MongoStore, reads: ReadModels) -> None:
    replica = Replica(store, World())
    await replica.send(profile("ana"), available("ana"))
    await store.database["agents"].update_one({"_id": "ana"}, {"$set": {"n": 1000, "name": "newer"}})
    await replica.send(profile("ana"))
    agent = await reads.agent("ana")
    assert agent is not None
    assert agent["name"] == "newer"


async def test_offers_and_outcomes_are_found_by_id(store: MongoStore, reads: ReadModels) -> None:
    replica = Replica(store, World())
    await replica.send(profile("ana"), available("ana"), request("call", channel=Channel.VOICE))
    [offer] = await reads.open_offers("ana")
    yes = accept("ana", offer["id"])
    await replica.send(yes)
    outcome = await reads.outcome(yes.id)
    assert outcome is not None
    assert (outcome["status"], outcome["body"]["state"]) == (200, "accepted")
    assert await store.answered([str(yes.id), "another"]) == {str(yes.id)}
    assert await reads.open_offers("ana") == []


async def test_an_agent_who_left_for_another_pool_is_there_only(store: MongoStore, reads: ReadModels) -> None:
    replica = Replica(store, World())
    await replica.send(profile("ana"))
    await replica.send(profile("ana", moved_to="other"))
    assert await reads.agent("ana") is None
    await replica.send(profile("ana", pool="other"))
    agent = await reads.agent("ana")
    assert agent is not None
    assert agent["pool"] == "other"
