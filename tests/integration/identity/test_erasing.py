"""A person is erased: at once, whole, and for good, whoever else writes and whatever crashes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo.errors import PyMongoError

from schemas.customers import CustomerErased
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis.delivery import ERASED, HANDLED
from services.chassis.erasures import Erasure, Erasures
from services.chassis.idempotency import Commands as Once
from services.chassis.keys import CustomerKeys
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.identity.commands import Commands, Patch
from services.identity.erasing import ErasedIdentifiers, Erasing
from services.identity.errors import UnknownCustomerError, UnknownMergeError
from services.identity.handlers import Customers
from services.identity.merges import Merges
from services.identity.store import Store
from tests import crash
from tests.unit.identity.messages import EMAIL, NOW, OTHER_PHONE, PHONE, WHATSAPP, batch, shown

LATER = NOW + timedelta(minutes=5)


class Place:
    """identity, with a fuse, and a clock at LATER."""

    def __init__(self, database: Database, shared: Database, fuse: crash.Fuse | None = None) -> None:
        self.fuse = fuse or crash.Fuse(None)
        self.database, self.shared, self.log = database, shared, crash.Log(self.fuse)
        wrapped: Any = crash.Database(database, self.fuse)
        self.keys = CustomerKeys(shared, "a secret of at least 32 bytes, invented")
        self.store = Store(wrapped, self.log)
        self.erasing = Erasing(
            wrapped, self.store, self.keys, Erasures(shared, lambda: LATER), Once(database), lambda: LATER
        )
        self.merges = Merges(self.store, lambda: NOW)
        when = ErasedIdentifiers(database, self.keys)
        self.customers = Customers(
            self.store,
            self.merges,
            self.log,
            lambda: uuid4().hex,
            lambda: NOW,
            when_erased=when,
        )
        self.commands = Commands(self.store, lambda: NOW)

    async def meet(self, *identifiers: Any, name: str | None = "Ada Lovelace", **fields: Any) -> str:
        done = await self.customers.identify(batch(shown(*identifiers, name=name, **fields)))
        assert done.outcomes == [HANDLED]
        return str(
            (await self.store.owners([f"{identifiers[0].kind}:{identifiers[0].value}"]))
            .popitem()[1]
            .customer_id
        )

    async def everything(self) -> str:
        found = []
        for database in (self.database, self.shared):
            for name in await database.list_collection_names():
                found += [str(row) async for row in database[name].find({})]
        return "\n".join(found)

    def told(self) -> list[CustomerErased]:
        records = [
            CUSTOMERS_EVENTS.adapter.validate_json(each.value)
            for each in self.log.records
            if each.topic == CUSTOMERS_EVENTS.name
        ]
        return [each for each in records if isinstance(each, CustomerErased)]


@pytest.fixture
async def shared(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "files")
    yield found
    await found.client.close()


@pytest.fixture
def place(database: Database, shared: Database) -> Place:
    return Place(database, shared)


def received(message: Any, at: datetime) -> Any:
    return message.model_copy(update={"data": message.data.model_copy(update={"received_at": at})})


async def test_nothing_that_identifies_the_person_is_left(place: Place) -> None:
    customer = await place.meet(PHONE, WHATSAPP)
    await place.commands.patch(customer, uuid4(), Patch(None, {"city": "Greenwich"}))
    await place.keys.have([customer])
    await place.erasing.erase(customer, uuid4())
    left = await place.everything()
    for word in ("Ada", "Lovelace", "ada", "Greenwich", "15551230001"):
        assert word not in left, word
    assert (await place.keys.find([customer]))[customer].destroyed
    (event,) = place.told()
    assert event.data.homes == (customer,)


async def test_an_erased_customer_is_unknown_to_every_command(place: Place) -> None:
    customer = await place.meet(PHONE)
    await place.erasing.erase(customer, uuid4())
    with pytest.raises(UnknownCustomerError):
        await place.erasing.erase(customer, uuid4())
    with pytest.raises(UnknownCustomerError):
        await place.commands.patch(customer, uuid4(), Patch("Bea"))
    with pytest.raises(UnknownCustomerError):
        await place.commands.attach(customer, uuid4(), EMAIL)
    with pytest.raises(UnknownCustomerError):
        await place.erasing.erase("nobody", uuid4())
    assert len(place.told()) == 1


async def test_a_message_from_before_is_dropped_and_a_later_one_makes_a_new_customer(place: Place) -> None:
    customer = await place.meet(PHONE)
    await place.erasing.erase(customer, uuid4())
    before, after = shown(PHONE, name="Ada"), received(shown(PHONE, number=2), LATER + timedelta(seconds=1))
    place.log.records.clear()
    done = await place.customers.identify(batch(before, after, before))
    assert done.outcomes == [ERASED, HANDLED, ERASED]
    (owner,) = (await place.store.owners(["phone:+15551230001"])).values()
    assert owner.customer_id != customer
    assert all(b"message 1" not in record.value for record in place.log.records)
    assert (await place.customers.identify(batch(before))).outcomes == [ERASED]


async def test_all_customers_who_are_one_person_go_together(place: Place) -> None:
    absorbed, survivor = await place.meet(PHONE), await place.meet(EMAIL)
    await place.merges.merge(uuid4(), survivor, absorbed, by="lea")
    erasure = await place.erasing.erase(absorbed, uuid4())
    assert erasure.customer_id == survivor
    assert set(erasure.homes) == {absorbed, survivor}
    assert all(key.destroyed for key in (await place.keys.find(erasure.homes)).values())
    assert await place.store.owners(["phone:+15551230001", "email:ada@example.org"]) == {}


async def test_an_erased_customer_is_neither_merged_nor_parted(place: Place) -> None:
    absorbed, survivor, other = [await place.meet(each) for each in (PHONE, EMAIL, OTHER_PHONE)]
    merge = await place.merges.merge(uuid4(), survivor, absorbed, by="lea")
    await place.erasing.erase(survivor, uuid4())
    with pytest.raises(UnknownMergeError):
        await place.merges.undo(uuid4(), merge.id)
    for one, two in ((other, survivor), (survivor, other), (absorbed, other)):
        with pytest.raises(UnknownCustomerError):
            await place.merges.merge(uuid4(), one, two, by="lea")
    assert (await place.store.load([other]))[other].profile.exists


async def test_who_is_merged_into_somebody_just_being_erased_is_erased_too(
    place: Place,
) -> None:
    survivor, other = await place.meet(PHONE), await place.meet(EMAIL)
    family = await place.erasing.family(survivor)
    await place.merges.merge(uuid4(), survivor, other, by="lea")
    assert await place.erasing._forgotten(family, uuid4()) is None  # noqa: SLF001  (between reading and writing)
    erasure = await place.erasing.erase(survivor, uuid4())
    assert set(erasure.homes) == {survivor, other}


@pytest.mark.parametrize("number", range(5))
async def test_merges_and_an_erasure_at_once_leave_nobody_half(place: Place, number: int) -> None:
    survivor, other = await place.meet(PHONE, number=number), await place.meet(EMAIL, number=number)
    done = await asyncio.gather(
        place.merges.merge(uuid4(), survivor, other, by="lea"),
        place.erasing.erase(survivor, uuid4()),
        return_exceptions=True,
    )
    merged, erasure = done
    assert isinstance(erasure, Erasure)
    loaded = await place.store.load([survivor, other])
    assert loaded[survivor].profile.erased
    assert loaded[other].profile.erased is (other in erasure.homes) is not isinstance(merged, Exception)
    assert loaded[other].profile.merged_into is None


async def test_a_writer_in_between_is_seen_and_nothing_is_half_done(place: Place) -> None:
    customer = await place.meet(PHONE)
    family = await place.erasing.family(customer)
    await place.commands.patch(customer, uuid4(), Patch("Bea"))
    assert await place.erasing._forgotten(family, uuid4()) is None  # noqa: SLF001  (between reading and writing)
    assert await place.database["erased_identifiers"].count_documents({}) == 0
    assert (await place.store.load([customer]))[customer].profile.name == "Bea"
    await place.erasing.erase(customer, uuid4())
    assert not (await place.store.load([customer]))[customer].profile.exists


async def test_messages_that_come_while_a_person_is_erased_bring_nothing_back(place: Place) -> None:
    customer = await place.meet(PHONE)

    async def writing(number: int) -> None:
        while True:
            try:
                await place.customers.identify(batch(shown(PHONE, WHATSAPP, number=number)))
            except (TimeoutError, PyMongoError):  # the stage tries again
                continue
            return

    await asyncio.gather(*(writing(number) for number in range(2, 8)), place.erasing.erase(customer, uuid4()))
    assert await place.store.owners(["phone:+15551230001", "whatsapp:15551230001"]) == {}
    assert "15551230001" not in await place.everything()


async def test_an_identifier_claimed_for_somebody_just_erased_is_given_back(place: Place) -> None:
    customer = await place.meet(PHONE)
    await place.erasing.erase(customer, uuid4())
    await place.database["identifiers"].insert_one(
        {"_id": "phone:+15551230001", "customer_id": customer, "verified": True, "at": NOW}
    )
    message = received(shown(PHONE, number=2), LATER + timedelta(seconds=1))
    with pytest.raises(TimeoutError):
        await place.customers.identify(batch(message))
    assert (await place.customers.identify(batch(message))).outcomes == [HANDLED]


async def test_an_erasure_goes_on_after_a_crash_at_any_step(database: Database, shared: Database) -> None:
    counted = Place(database, shared)
    customer = await counted.meet(PHONE)
    before = counted.fuse.steps
    await counted.erasing.erase(customer, uuid4())
    steps = counted.fuse.steps - before
    assert steps > 3
    for step in range(1, steps + 1):
        place = Place(database, shared)
        await database["erased_identifiers"].delete_many({})
        customer, command = await place.meet(PHONE, number=step + 10), uuid4()
        await place.keys.have([customer])
        place.fuse.at = place.fuse.steps + step
        with pytest.raises(crash.Crash):
            await place.erasing.erase(customer, command)
        again = Place(database, shared)
        await again.erasing.resume()
        try:
            await again.erasing.erase(customer, command)
        except UnknownCustomerError:
            pytest.fail(f"step {step}: the repeated command does not know its own effect")
        assert (await again.keys.find([customer]))[customer].destroyed, step
        assert await shared["erasures"].find_one({"_id": customer}) is not None
        assert await database["customers"].count_documents({"erasing": {"$exists": True}}) == 0
