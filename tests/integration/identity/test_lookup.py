"""Customers' data from the operator's system, on the real database protocol."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from schemas.common import Identifier, IdentifierKind
from schemas.ids import derive
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database
from services.identity.commands import Patch
from services.identity.domain.attributes import Source
from services.identity.domain.breaker import FAILURES_TO_OPEN, PAUSE
from services.identity.lookup.answers import CustomerData, Said
from services.identity.lookup.jobs import Jobs
from services.identity.lookup.lookups import Lookups
from services.identity.settings import IdentitySettings
from services.identity.store import Store
from services.identity.suggestions import Suggestions
from tests import crash
from tests.integration.identity.conftest import Identity
from tests.unit.identity.messages import EMAIL, MAIL_FROM, NOW, PHONE, batch, shown

GOLD = Said("found", CustomerData(name="Ada Lovelace", attributes={"tier": "gold"}))
SETTINGS = IdentitySettings(
    customer_data_name="shop",
    customer_data_ttl_seconds=600,
    customer_data_unknown_ttl_seconds=60,
    customer_data_tries=3,
)
SHOP_7 = Identifier(kind=IdentifierKind.EXTERNAL, value="shop:7", verified=True)


class Shop:
    """The operator's system: answers in turn, the last one for ever."""

    def __init__(self, *answers: Said) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.ids: list[str] = []

    async def __call__(self, question_id: str, body: dict[str, Any]) -> Said:
        self.asked.append(body["data"])
        self.ids.append(question_id)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class World:
    def __init__(self, identity: Identity, database: Database) -> None:
        self.identity, self.database = identity, database
        self.now = NOW
        self.suggesting = Suggestions(database, self.clock)

    def clock(self) -> datetime:
        return self.now

    def lookups(self, shop: Shop, fuse: crash.Fuse | None = None) -> Lookups:
        wrapped: Any = crash.Database(self.database, fuse or crash.Fuse(None))
        store = Store(wrapped, self.identity.log)
        contradict = self.suggesting.contradict
        return Lookups(Jobs(wrapped), store, shop, contradict, SETTINGS, self.clock)

    async def says(self, *identifiers: Identifier, **options: Any) -> str:
        await self.identity.customers.identify(batch(shown(*identifiers, **options)))
        name = f"{identifiers[0].kind}:{identifiers[0].value}"
        owner = await self.database["identifiers"].find_one({"_id": name})
        assert owner is not None
        return str(owner["customer_id"])

    async def told(self, lookups: Lookups) -> None:
        """Let lookups read all events that there are."""
        events = [
            CUSTOMERS_EVENTS.adapter.validate_json(record.value)
            for record in self.identity.log.records
            if record.topic == CUSTOMERS_EVENTS.name
        ]
        await lookups.learn([Delivery("t", 0, n, event) for n, event in enumerate(events)])

    async def customer(self, customer: str) -> Mapping[str, Any]:
        found = await self.database["customers"].find_one({"_id": customer})
        assert found is not None
        return found

    async def job(self, customer: str) -> Mapping[str, Any]:
        found = await self.database["lookups"].find_one({"_id": customer})
        assert found is not None
        return found


@pytest.fixture
async def world(identity: Identity, database: Database) -> World:
    made = World(identity, database)
    await Jobs(database).prepare()
    await made.suggesting.prepare()
    return made


async def test_who_is_new_is_asked_for_once_and_gets_what_the_system_knows(world: World) -> None:
    customer = await world.says(PHONE, name="ada77")
    shop = Shop(GOLD)
    lookups = world.lookups(shop)
    for _ in range(2):
        await world.told(lookups)
        await lookups.round()
    assert [each["customer_id"] for each in shop.asked] == [customer]
    found = await world.customer(customer)
    assert (found["name"], found["attributes"]) == ("Ada Lovelace", {"tier": "gold"})
    assert found["sources"]["tier"]["by"] == "system:shop"


async def test_an_agent_s_word_stays(world: World) -> None:
    customer = await world.says(PHONE)
    source = Source("agent:ana", NOW)
    await world.identity.commands.patch(customer, derive("t"), Patch(None, {"tier": "vip"}, source))
    lookups = world.lookups(Shop(GOLD))
    await world.told(lookups)
    await lookups.round()
    assert (await world.customer(customer))["attributes"] == {"tier": "vip"}


async def test_who_is_known_by_something_new_is_asked_for_again(world: World) -> None:
    customer = await world.says(PHONE)
    shop = Shop(Said("unknown"), GOLD)
    lookups = world.lookups(shop)
    await world.told(lookups)
    await lookups.round()
    assert (await world.job(customer))["outcome"] == "unknown"
    await world.identity.commands.attach(customer, derive("t"), MAIL_FROM)
    await world.told(lookups)
    await lookups.round()
    assert [len(each["identifiers"]) for each in shop.asked] == [1, 2]
    assert (await world.customer(customer))["attributes"] == {"tier": "gold"}


@pytest.mark.parametrize(("answer", "seconds"), [(GOLD, 600), (Said("unknown"), 60)])
async def test_old_data_is_asked_for_anew_once_its_customer_is_heard_of(
    world: World, answer: Said, seconds: float
) -> None:
    customer = await world.says(PHONE)
    shop = Shop(answer)
    lookups = world.lookups(shop)
    await world.told(lookups)
    await lookups.round()
    world.now = NOW + timedelta(seconds=seconds - 1)
    await world.lookups(shop).seen([customer, "nobody"])
    await lookups.round()
    assert len(shop.asked) == 1
    world.now = NOW + timedelta(seconds=seconds)
    await world.lookups(shop).seen([customer, "nobody"])
    await lookups.round()
    assert len(shop.asked) == 2
    assert len(set(shop.ids)) == 2


async def test_a_failure_is_tried_again_with_growing_pauses_and_then_left(world: World) -> None:
    customer = await world.says(PHONE)
    shop = Shop(Said("timeout"))
    lookups = world.lookups(shop)
    await world.told(lookups)
    pauses = []
    for _ in range(2):
        await lookups.round()
        due = (await world.job(customer))["due"]
        pauses.append((due - world.now).total_seconds())
        world.now = due
    assert pauses == [1, 2]
    await lookups.round()
    left = await world.job(customer)
    assert ("due" in left, left["outcome"], len(shop.asked)) == (False, "timeout", 3)
    assert (await world.customer(customer))["attributes"] == {}


async def test_a_system_that_is_down_is_not_asked_for_everybody(world: World) -> None:
    for number in range(12):
        await world.says(PHONE.model_copy(update={"value": f"+1555123{number:04d}"}))
    shop = Shop(Said("not_connected"))
    lookups = world.lookups(shop)
    await world.told(lookups)
    await lookups.round()
    asked = len(shop.asked)
    assert FAILURES_TO_OPEN <= asked <= SETTINGS.customer_data_at_once
    await lookups.round()
    assert len(shop.asked) == asked
    world.now = NOW + PAUSE
    shop.answers = [GOLD]
    await lookups.round()
    await lookups.round()
    assert await world.database["customers"].count_documents({"attributes.tier": "gold"}) == 12


async def test_an_external_id_is_attached_and_does_not_lead_to_another_question(world: World) -> None:
    customer = await world.says(PHONE)
    shop = Shop(Said("found", CustomerData(external_ids={"shop": "7"})))
    lookups = world.lookups(shop)
    for _ in range(3):
        await world.told(lookups)
        await lookups.round()
    assert len(shop.asked) == 1
    owner = await world.database["identifiers"].find_one({"_id": "external:shop:7"})
    assert owner is not None
    assert (owner["customer_id"], owner["verified"]) == (customer, True)


async def test_an_external_id_for_who_merely_says_who_they_are_is_not_verified(world: World) -> None:
    await world.says(MAIL_FROM)
    lookups = world.lookups(Shop(Said("found", CustomerData(external_ids={"shop": "7"}))))
    await world.told(lookups)
    await lookups.round()
    owner = await world.database["identifiers"].find_one({"_id": "external:shop:7"})
    assert owner is not None
    assert owner["verified"] is False


async def test_an_external_id_of_another_suggests_them_and_links_nobody(world: World) -> None:
    other = await world.says(SHOP_7, number=2)
    customer = await world.says(PHONE)
    lookups = world.lookups(Shop(Said("found", CustomerData(external_ids={"shop": "7"}))))
    await world.told(lookups)
    await lookups.round()
    owner = await world.database["identifiers"].find_one({"_id": "external:shop:7"})
    assert owner is not None
    assert owner["customer_id"] == other
    (suggested,) = await world.suggesting.of([customer])
    assert (suggested.customer_id, suggested.reason) == (other, "contradicting_identifier")


async def test_a_second_id_of_the_same_system_is_not_taken(world: World) -> None:
    customer = await world.says(SHOP_7)
    lookups = world.lookups(Shop(Said("found", CustomerData(external_ids={"shop": "8"}))))
    await world.told(lookups)
    await lookups.round()
    assert [each["value"] for each in (await world.customer(customer))["identifiers"]] == ["shop:7"]


@pytest.mark.parametrize("step", range(1, 9))
async def test_a_crash_at_any_step_costs_a_question_and_nothing_else(world: World, step: int) -> None:
    customer = await world.says(EMAIL)
    shop = Shop(Said("found", CustomerData(attributes={"tier": "gold"}, external_ids={"shop": "7"})))
    try:
        doomed = world.lookups(shop, crash.Fuse(step))
        await world.told(doomed)
        await doomed.round()
    except crash.Crash:
        pass
    world.now = NOW + timedelta(minutes=1)
    after = world.lookups(shop)
    await world.told(after)
    await after.round()
    found = await world.customer(customer)
    assert found["attributes"] == {"tier": "gold"}
    assert [each["value"] for each in found["identifiers"]] == ["ada@example.org", "shop:7"]
    assert "due" not in await world.job(customer)
