"""Merging on the real database protocol: proofs, refusals, circles, crashes, undoing."""

import asyncio
from uuid import uuid4

import pytest

from schemas.common import Identifier, IdentifierKind
from schemas.customers import MERGES_KEY, CustomerMerged, CustomerSplit
from schemas.topics import CUSTOMERS_EVENTS
from services.chassis.mongo import Database
from services.identity.commands import Patch
from services.identity.domain.merging import united
from services.identity.errors import (
    DisputedError,
    SameCustomerError,
    UndoneError,
    UnknownCustomerError,
    UnknownMergeError,
)
from tests.crash import Crash, Fuse, Log
from tests.integration.identity.conftest import Identity
from tests.integration.identity.test_identify import identified
from tests.unit.identity.messages import EMAIL, MAIL_FROM, OTHER_PHONE, PHONE, USER, WHATSAPP, batch, shown


def external(value: str) -> Identifier:
    return Identifier(kind=IdentifierKind.EXTERNAL, value=value, verified=True)


async def two(identity: Identity) -> tuple[str, str]:
    """Return two Customers, each with a number."""
    await identity.customers.identify(batch(shown(PHONE, number=1, name="Ada"), shown(OTHER_PHONE, number=2)))
    first, second = (record.customer_id for record in identified(identity.log)[-2:])
    return first, second


def merges(log: Log) -> list[CustomerMerged | CustomerSplit]:
    records = [record for record in log.records if record.topic == CUSTOMERS_EVENTS.name]
    events = {
        event.id: event
        for record in records
        if record.key == MERGES_KEY
        for event in [CUSTOMERS_EVENTS.adapter.validate_json(record.value)]
    }
    return list(events.values())


async def test_the_survivor_has_what_both_had_and_gets_what_comes_for_both(identity: Identity) -> None:
    first, second = await two(identity)
    await identity.merges.merge(uuid4(), first, second, by="lea")
    person = united(await identity.store.family(second))
    assert (person.customer_id, person.name) == (first, "Ada")
    assert {each.value for each in person.identifiers} == {PHONE.value, OTHER_PHONE.value}
    await identity.customers.identify(batch(shown(OTHER_PHONE, number=3)))
    last = identified(identity.log)[-1]
    assert (last.customer_id, last.home) == (first, second)
    (event,) = merges(identity.log)
    assert (event.data.survivor, event.data.customer_id, event.data.n, event.data.by) == (
        first,
        second,
        1,
        "lea",
    )


async def test_an_undo_brings_back_both_with_what_came_since(identity: Identity) -> None:
    first, second = await two(identity)
    merge = await identity.merges.merge(uuid4(), first, second, by="lea")
    await identity.customers.identify(batch(shown(WHATSAPP, OTHER_PHONE, number=3)))
    await identity.merges.undo(uuid4(), merge.id)
    families = [await identity.store.family(each) for each in (first, second)]
    shown_now = [{each.value for each in united(family).identifiers} for family in families]
    assert shown_now == [{PHONE.value}, {OTHER_PHONE.value, WHATSAPP.value}]
    assert [type(event).__name__ for event in merges(identity.log)] == ["CustomerMerged", "CustomerSplit"]
    with pytest.raises(UndoneError):
        await identity.merges.undo(uuid4(), merge.id)
    again = await identity.merges.merge(uuid4(), second, first, by="lea")
    assert (again.survivor, merges(identity.log)[-1].data.n) == (second, 1)


async def test_what_cannot_be_is_refused_and_changes_nothing(identity: Identity) -> None:
    first, second = await two(identity)
    with pytest.raises(UnknownCustomerError):
        await identity.merges.merge(uuid4(), first, "nobody", by="lea")
    with pytest.raises(UnknownMergeError):
        await identity.merges.undo(uuid4(), "nothing")
    await identity.commands.attach(first, uuid4(), external("crm:1"))
    await identity.commands.attach(second, uuid4(), external("crm:2"))
    with pytest.raises(DisputedError):
        await identity.merges.merge(uuid4(), first, second, by="lea")
    await identity.commands.detach(second, uuid4(), external("crm:2"))
    await identity.commands.attach(second, uuid4(), external("shop:2"))
    await identity.merges.merge(uuid4(), first, second, by="lea")
    for survivor, absorbed in ((first, second), (second, first)):
        with pytest.raises(SameCustomerError):
            await identity.merges.merge(uuid4(), survivor, absorbed, by="lea")
    assert len(merges(identity.log)) == 1


async def test_a_message_that_proves_two_to_be_one_merges_them_into_the_older(
    identity: Identity, database: Database
) -> None:
    await identity.customers.identify(batch(shown(WHATSAPP, number=1)))
    await identity.customers.identify(batch(shown(PHONE, number=2)))
    first, second = (record.customer_id for record in identified(identity.log))
    done = await identity.customers.identify(batch(shown(WHATSAPP, PHONE, number=3)))
    last = identified(identity.log)[-1]
    older = min(first, second)  # they are of the same moment here
    assert (last.customer_id, last.home, done.conflicts) == (older, first, 0)
    assert await database["conflicts"].count_documents({}) == 0
    (event,) = merges(identity.log)
    assert (event.data.reason, event.data.by) == ("proof", None)


async def test_a_proof_that_source_systems_contradict_merges_nobody_and_is_noted(
    identity: Identity, database: Database
) -> None:
    await identity.customers.identify(batch(shown(WHATSAPP, number=1), shown(PHONE, number=2)))
    first, second = (record.customer_id for record in identified(identity.log))
    await identity.commands.attach(first, uuid4(), external("crm:1"))
    await identity.commands.attach(second, uuid4(), external("crm:2"))
    for _ in range(2):
        done = await identity.customers.identify(batch(shown(WHATSAPP, PHONE, number=3)))
        assert done.conflicts == 1
    assert identified(identity.log)[-1].customer_id == second
    assert await database["conflicts"].count_documents({}) == 1
    assert merges(identity.log) == []


async def test_what_nobody_vouches_for_proves_nothing(identity: Identity) -> None:
    await identity.customers.identify(batch(shown(EMAIL, number=1), shown(USER, number=2)))
    await identity.customers.identify(batch(shown(MAIL_FROM, USER, number=3)))
    assert merges(identity.log) == []


async def test_three_who_are_merged_in_a_circle_at_once_stand_for_no_circle(identity: Identity) -> None:
    numbers = [
        Identifier(kind=IdentifierKind.PHONE, value=f"+1555123{n:04}", verified=True) for n in range(6)
    ]
    await identity.customers.identify(batch(*(shown(each, number=n) for n, each in enumerate(numbers))))
    ids = [record.customer_id for record in identified(identity.log)]
    wishes = [(ids[n], ids[(n + 1) % 6]) for n in range(6)]
    done = await asyncio.gather(
        *(identity.merges.merge(uuid4(), into, gone, by="lea") for into, gone in wishes),
        return_exceptions=True,
    )
    refused = [each for each in done if isinstance(each, Exception)]
    assert [type(each) for each in refused] == [SameCustomerError]
    survivors = set((await identity.store.survivors(ids)).values())
    assert len(survivors) == 1
    assert len(await identity.store.family(ids[0])) == 6


async def test_a_crash_between_any_two_steps_of_a_merge_and_its_undo_loses_nothing(
    database: Database,
) -> None:
    steps = 0
    for at in range(1, 40):
        identity = Identity(database)
        first = (await identity.commands.create(uuid4(), _named("Ada"), [])).customer_id
        second = (await identity.commands.create(uuid4(), _named("Max"), [])).customer_id
        merge_id, undo_id = uuid4(), uuid4()
        dying = Identity(database, identity.log, Fuse(at))
        try:
            done = await dying.merges.merge(merge_id, first, second, by="lea")
            await dying.merges.undo(undo_id, done.id)
        except Crash:
            steps += 1
        alive = Identity(database, identity.log)
        done = await alive.merges.merge(merge_id, first, second, by="lea")
        if done.undone_at is None:
            await alive.merges.undo(undo_id, done.id)
        await alive.store.settle_outbox([first, second])
        assert await alive.store.survivors([first, second]) == {first: first, second: second}
        told = [event for event in merges(alive.log) if event.data.customer_id == second]
        assert [(event.type, event.data.n) for event in told] == [
            ("customer.merged", 1),
            ("customer.split", 2),
        ]
    assert steps > 8


def _named(name: str) -> Patch:
    return Patch(name)
