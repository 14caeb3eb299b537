"""A copy of what identity tells: by what Customers are known."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from schemas import ids
from schemas.common import Identifier, IdentifierKind
from schemas.customers import CustomerData, CustomerPersonal, CustomerUpdated
from services.chassis.delivery import Delivery
from services.chassis.mongo import connect
from services.chassis.settings import Settings
from services.conversation.addresses import Addresses
from tests.unit.conversation.builders import START

PHONE = Identifier(kind=IdentifierKind.PHONE, value="+15551230001", verified=True)
EMAIL = Identifier(kind=IdentifierKind.EMAIL, value="zoe@mail.example")


@pytest.fixture
async def addresses(embedded_mongo: str, database_name: str) -> AsyncIterator[Addresses]:
    database = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "addresses")
    yield Addresses(database)
    await database.client.close()


def told(seq: int, *identifiers: Identifier, customer: str = "c-1") -> Delivery:
    own = ids.derive("event", customer, seq)
    event = CustomerUpdated(
        id=own,
        occurred_at=START,
        correlation=own,
        customer_id=customer,
        home=customer,
        seq=seq,
        data=CustomerData(customer_id=customer),
        personal=CustomerPersonal(identifiers=identifiers),
    )
    return Delivery("customers.events", 0, seq, event)


async def known(addresses: Addresses, *homes: str) -> Sequence[tuple[str, str]]:
    return sorted((each.home, each.identifier.value) for each in await addresses.of(homes))


async def test_the_newest_event_counts_whatever_comes_after_it(addresses: Addresses) -> None:
    await addresses.learn([told(3, PHONE, EMAIL), told(2, PHONE)])
    await addresses.learn([told(1)])
    assert await known(addresses, "c-1") == [("c-1", PHONE.value), ("c-1", EMAIL.value)]
    await addresses.learn([told(4, EMAIL)])
    assert await known(addresses, "c-1") == [("c-1", EMAIL.value)]


async def test_who_stands_for_several_has_the_addresses_of_all_each_with_its_home(
    addresses: Addresses,
) -> None:
    await addresses.learn([told(1, PHONE), told(1, EMAIL, customer="c-2")])
    assert await known(addresses, "c-1", "c-2") == [("c-1", PHONE.value), ("c-2", EMAIL.value)]


async def test_who_was_just_made_is_waited_for_and_nobody_else_for_long(addresses: Addresses) -> None:
    waiting = asyncio.create_task(addresses.wait_for("c-1", 30))
    await addresses.learn([told(1, PHONE)])
    await asyncio.wait_for(waiting, 30)
    await addresses.wait_for("nobody", 0.05)
    assert await addresses.of(["nobody"]) == ()
