"""The store made again from `customers.events`, on the protocols of Kafka and MongoDB."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from deploy.local.servers import kafka_server
from schemas.common import Identifier, IdentifierKind
from services.chassis import rebuilding
from services.chassis.broker import KafkaPublisher
from services.chassis.delivery import Delivery
from services.chassis.mongo import connect
from services.chassis.settings import Settings
from services.chassis.topics import create_topics
from services.identity.commands import Patch
from services.identity.domain.attributes import Source
from services.identity.domain.claims import key
from services.identity.domain.profile import MOST_TOLD
from services.identity.rebuild import PLAN
from tests.integration.identity.conftest import Identity
from tests.unit.identity.messages import EMAIL, NOW, OTHER_PHONE, PHONE, WHATSAPP, batch, shown

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a Kafka whose events nobody else writes to."""
    with kafka_server(tmp_path_factory.mktemp("events") / "data") as bootstrap:
        yield bootstrap


class World:
    """A store that publishes to Kafka, and a place to make it again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.publisher = KafkaPublisher(settings, "test")
        self.live = connect(settings, "identity")
        self.into = connect(settings, "again")
        self.identity = Identity(self.live, self.publisher)  # type: ignore[arg-type]

    async def live_a_life(self) -> None:
        """Let people write, be changed, merged and parted."""
        identity = self.identity
        first = shown(PHONE, number=1, name="Zoë Quill")
        await identity.customers.identify(batch(first, shown(OTHER_PHONE, number=2), shown(EMAIL, number=3)))
        await identity.customers.identify(batch(shown(WHATSAPP, PHONE, number=4)))
        one, two, three = [row["_id"] async for row in self.live["customers"].find(sort=[("_id", 1)])]
        owner = (await identity.store.owners([key(WHATSAPP)]))[key(WHATSAPP)].customer_id
        await identity.commands.detach(owner, uuid4(), WHATSAPP)
        await identity.commands.patch(
            owner, uuid4(), Patch("Zoë Q.", {"tier": "gold"}, Source("agent:lea", NOW))
        )
        undone = await identity.merges.merge(uuid4(), one, two, by="lea")
        await identity.merges.undo(uuid4(), undone.id)
        await identity.merges.merge(uuid4(), one, three, by="lea")
        await identity.customers.identify(batch(shown(EMAIL, number=5, name="Z. Quill")))

    async def rebuilt(self) -> rebuilding.Outcome:
        await self.into.client.drop_database(self.into.name)
        return await rebuilding.rebuild(PLAN, self.settings, self.live, self.into, check=True)


@pytest.fixture
async def world(kafka: str, embedded_mongo: str, database_name: str) -> AsyncIterator[World]:
    made = World(
        Settings(kafka_bootstrap_servers=kafka, mongo_url=embedded_mongo, mongo_database=database_name)
    )
    await create_topics(made.settings)
    await made.identity.store.prepare()
    yield made
    await made.publisher.stop()
    await made.live.client.close()
    await made.into.client.close()


async def test_a_store_made_again_from_its_events_equals_the_live_one(world: World) -> None:
    await world.live_a_life()
    outcome = await world.rebuilt()
    assert outcome.equal, rebuilding.report(outcome, check=True)
    assert not any(outcome.in_flight.values())
    counts = {each.collection: each.equal for each in outcome.found}
    assert counts == {"customers": 3, "identifiers": 3, "merges": 2}


@pytest.mark.parametrize("collection", ["customers", "identifiers", "merges"])
async def test_what_was_changed_or_lost_by_hand_is_named(world: World, collection: str) -> None:
    await world.live_a_life()
    one, other = [row["_id"] async for row in world.live[collection].find(sort=[("_id", 1)], limit=2)]
    await world.live[collection].update_one({"_id": one}, {"$set": {"tampered": True}})
    await world.live[collection].delete_one({"_id": other})
    outcome = await world.rebuilt()
    wrong = {each.collection: outcome.wrong(each) for each in outcome.found if each.differing}
    assert wrong == {collection: {one: "differs in tampered", other: "only rebuilt"}}


async def test_identifiers_beyond_those_that_events_tell_are_left_out_and_no_difference(world: World) -> None:
    visits = [
        Identifier(kind=IdentifierKind.VISITOR, value=f"visitor-{number}", verified=True)
        for number in range(MOST_TOLD + 20)
    ]
    for start in range(0, len(visits), 90):
        some = visits[start : start + 90]
        await world.identity.customers.identify(
            [Delivery("t", 0, n, shown(PHONE, each, number=start + n)) for n, each in enumerate(some)]
        )
    outcome = await world.rebuilt()
    assert outcome.equal, rebuilding.report(outcome, check=True)
    untold = {name: len(some) for name, some in outcome.in_flight.items()}
    assert untold["identifiers"] == 21
    assert untold["customers"] == 1
