"""Messages become Customers' on the real database protocol: races, crashes, links."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import pytest

from schemas.common import Channel
from schemas.customers import AnyCustomerEvent
from schemas.inbound import MessageIdentified
from schemas.topics import CUSTOMERS_EVENTS, MESSAGES_IDENTIFIED
from services.chassis.delivery import DUPLICATE, HANDLED
from services.chassis.mongo import Database
from services.identity.handlers import Loaded
from tests.crash import Crash, Fuse, Log
from tests.integration.identity.conftest import Identity
from tests.unit.identity.messages import (
    EMAIL,
    MAIL_FROM,
    NOW,
    OTHER_PHONE,
    PHONE,
    USER,
    WHATSAPP,
    batch,
    shown,
)


def identified(log: Log) -> list[MessageIdentified]:
    return [
        MESSAGES_IDENTIFIED.adapter.validate_json(record.value)
        for record in log.records
        if record.topic == MESSAGES_IDENTIFIED.name
    ]


def told(log: Log) -> list[AnyCustomerEvent]:
    """Return the events by id: a repeat is one."""
    events = [
        CUSTOMERS_EVENTS.adapter.validate_json(record.value)
        for record in log.records
        if record.topic == CUSTOMERS_EVENTS.name
    ]
    return list({event.id: event for event in events}.values())


async def customers(database: Database) -> list[dict[str, object]]:
    return [row async for row in database["customers"].find({})]


async def test_a_new_number_becomes_a_customer_and_its_message_theirs(identity: Identity) -> None:
    message = shown(PHONE, name="Ada Lovelace")
    done = await identity.customers.identify(batch(message))
    assert (done.outcomes, done.created, done.conflicts) == ([HANDLED], 1, 0)
    (record,) = identified(identity.log)
    (stored,) = await customers(identity.database)
    assert record.customer_id == record.home == stored["_id"]
    assert (record.id, record.causation, record.correlation) == (message.id, message.id, message.correlation)
    assert (record.data, record.personal) == (message.data, message.personal)
    (event,) = told(identity.log)
    assert event.type == "customer.created"
    assert (event.personal.name, event.personal.identifiers) == ("Ada Lovelace", (PHONE,))
    assert [record.key for record in identity.log.records] == [stored["_id"]] * 2
    assert stored["outbox"] == []


async def test_twenty_handlers_at_once_make_one_customer(database: Database) -> None:
    replicas = [Identity(database) for _ in range(20)]
    await asyncio.gather(
        *(one.customers.identify(batch(shown(PHONE, number=number))) for number, one in enumerate(replicas))
    )
    (stored,) = await customers(database)
    assert {record.customer_id for one in replicas for record in identified(one.log)} == {stored["_id"]}
    assert len({event.id for one in replicas for event in told(one.log)}) == 1
    assert len([row async for row in database["identifiers"].find({})]) == 1


async def test_whatsapp_with_a_number_and_sms_from_it_are_one_customer(identity: Identity) -> None:
    await identity.customers.identify(batch(shown(PHONE)))
    await identity.customers.identify(batch(shown(WHATSAPP, USER, PHONE, channel=Channel.WHATSAPP)))
    await identity.customers.identify(batch(shown(USER, number=2, channel=Channel.WHATSAPP)))
    (stored,) = await customers(identity.database)
    assert {record.customer_id for record in identified(identity.log)} == {stored["_id"]}
    assert told(identity.log)[-1].personal.identifiers == (PHONE, WHATSAPP, USER)


async def test_whatsapp_and_sms_of_one_new_number_at_once_are_one_customer(database: Database) -> None:
    ways = [shown(PHONE), shown(WHATSAPP, PHONE, channel=Channel.WHATSAPP)] * 5
    replicas = [Identity(database) for _ in ways]
    await asyncio.gather(
        *(one.customers.identify(batch(way)) for one, way in zip(replicas, ways, strict=True))
    )
    (stored,) = await customers(database)
    assert [known["kind"] for known in stored["identifiers"]] == ["phone", "whatsapp"]


async def test_a_name_comes_with_a_later_message(identity: Identity) -> None:
    await identity.customers.identify(batch(shown(PHONE)))
    await identity.customers.identify(batch(shown(PHONE, number=2, name="Ada")))
    await identity.customers.identify(batch(shown(PHONE, number=3, name="Countess")))
    assert [(event.type, event.personal.name, event.seq) for event in told(identity.log)] == [
        ("customer.created", None, 1),
        ("customer.updated", "Ada", 2),
    ]


async def test_what_we_sent_from_the_providers_app_names_nobody(identity: Identity) -> None:
    await identity.customers.identify(batch(shown(PHONE, name="Our own shop", direction="outbound")))
    (stored,) = await customers(identity.database)
    assert stored["name"] is None


async def test_an_unverified_mail_is_resolved_by_its_address_and_vouched_for_later(
    identity: Identity,
) -> None:
    await identity.customers.identify(batch(shown(MAIL_FROM, channel=Channel.EMAIL)))
    await identity.customers.identify(batch(shown(EMAIL, number=2, channel=Channel.EMAIL)))
    await identity.customers.identify(batch(shown(MAIL_FROM, number=3, channel=Channel.EMAIL)))
    (stored,) = await customers(identity.database)
    assert stored["identifiers"] == [{"kind": "email", "value": "ada@example.org", "verified": True}]
    assert [event.personal.identifiers[0].verified for event in told(identity.log)] == [False, True]
    (kept,) = [row async for row in identity.database["identifiers"].find({})]
    assert kept["verified"] is True


async def test_a_repeat_in_a_batch_is_passed_on_once_and_a_redelivery_the_same_again(
    identity: Identity,
) -> None:
    message = shown(PHONE)
    done = await identity.customers.identify(batch(message, message))
    assert done.outcomes == [HANDLED, DUPLICATE]
    await identity.customers.identify(batch(message))
    first, again = (record for record in identity.log.records if record.topic == MESSAGES_IDENTIFIED.name)
    assert first == again


async def test_a_batch_costs_the_same_few_round_trips_however_large(identity: Identity) -> None:
    steps = []
    for size in (1, 100):
        identity.fuse.steps = 0
        fresh = [PHONE.model_copy(update={"value": f"+1555{size:03}{number:04}"}) for number in range(size)]
        await identity.customers.identify(
            batch(*(shown(one, number=number, name="Ada") for number, one in enumerate(fresh)))
        )
        published = 2 * size
        steps.append(identity.fuse.steps - published)
    assert steps[0] == steps[1]


STORY = [
    shown(PHONE, name="Ada"),
    shown(OTHER_PHONE, number=2),
    shown(WHATSAPP, USER, PHONE, number=3),
    shown(MAIL_FROM, number=4),
    shown(PHONE, number=5),
    shown(USER, number=6),
]


async def _steps(database: Database) -> int:
    identity = Identity(database)
    await identity.customers.identify(batch(*STORY))
    return identity.fuse.steps


async def test_a_crash_at_every_step_loses_nothing_and_keeps_the_order(
    database: Database,
) -> None:
    total = await _steps(database)
    assert total > 15
    for step in range(1, total + 1):
        for name in ("customers", "identifiers", "conflicts"):
            await database[name].delete_many({})
        log = Log()
        with pytest.raises(Crash):
            await Identity(database, log, Fuse(step)).customers.identify(batch(*STORY))
        await Identity(database, log).customers.identify(batch(*STORY))
        await _assert_right(database, log, f"crash at step {step} of {total}")


async def _assert_right(database: Database, log: Log, when: str) -> None:
    stored = {row["_id"]: row async for row in database["customers"].find({})}
    assert len(stored) == 3, when
    assert all(row["outbox"] == [] for row in stored.values()), when
    owners = {row["_id"]: row["customer_id"] async for row in database["identifiers"].find({})}
    assert set(owners.values()) == set(stored), when
    listed = {f"{i['kind']}:{i['value']}": who for who, row in stored.items() for i in row["identifiers"]}
    assert listed == owners, when
    passed = {record.id: record for record in identified(log)}
    assert set(passed) == {message.id for message in STORY}, when
    order = defaultdict(list)
    for record in passed.values():
        order[record.customer_id].append(record.id)
    ada = owners["phone:+15551230001"]
    assert order[ada] == [STORY[index].id for index in (0, 2, 4, 5)], when
    newest = {event.customer_id: event for event in sorted(told(log), key=lambda event: event.seq or 0)}
    assert {who: len(event.personal.identifiers) for who, event in newest.items()} == {
        who: len(row["identifiers"]) for who, row in stored.items()
    }, when
    created = [event for event in told(log) if event.type == "customer.created"]
    assert sorted(event.customer_id for event in created) == sorted(stored), when


async def test_an_event_left_behind_goes_out_by_the_sweeper(database: Database) -> None:
    log = Log()
    crashed = Identity(database, log)
    total = await _steps(database)
    await database["customers"].delete_many({})
    await database["identifiers"].delete_many({})
    for step in range(1, total + 1):
        crashed = Identity(database, log, Fuse(step))
        try:
            await crashed.customers.identify(batch(shown(PHONE)))
        except Crash:
            if await database["customers"].find_one({"outbox.0": {"$exists": True}}):
                break
    assert told(log) == []
    swept = Identity(database, log)
    assert await swept.store.left(NOW, 10) == []
    (left,) = await swept.store.left(NOW.replace(minute=1), 10)
    await swept.store.drain([], [left])
    assert [event.type for event in told(log)] == ["customer.created"]
    assert await swept.store.left(NOW.replace(minute=1), 10) == []


async def test_an_identifier_detached_while_its_message_is_handled_stays_detached(database: Database) -> None:
    identity = Identity(database)
    await identity.customers.identify(batch(shown(WHATSAPP, PHONE)))
    (ada,) = await customers(database)
    late = Identity(database)
    load = late.store.load

    async def load_after_a_split(customer_ids: Sequence[str]) -> dict[str, Loaded]:
        if identity.fuse.steps:
            await identity.commands.detach(str(ada["_id"]), UUID(int=1), PHONE)
            identity.fuse.steps = 0
        return await load(customer_ids)

    late.store.load = load_after_a_split  # type: ignore[method-assign]
    await late.customers.identify(batch(shown(WHATSAPP, PHONE, number=2)))
    (stored,) = await customers(database)
    assert [known["kind"] for known in stored["identifiers"]] == ["whatsapp"]
    assert await database["identifiers"].count_documents({}) == 1
    assert identified(late.log)[0].customer_id == ada["_id"]


async def test_mail_to_a_reply_address_from_somebody_else_joins_the_thread_and_links_nobody(
    identity: Identity,
) -> None:
    await identity.customers.identify(batch(shown(MAIL_FROM, name="Ada")))
    (ada,) = await customers(identity.database)
    stranger = MAIL_FROM.model_copy(update={"value": "mallory@example.org"})
    answers = [
        shown(MAIL_FROM, number=2, thread=str(ada["_id"])),
        shown(stranger, number=3, name="Mallory", thread=str(ada["_id"])),
    ]
    done = await identity.customers.identify(batch(*answers))
    assert (done.outcomes, done.created, done.conflicts) == ([HANDLED, HANDLED], 0, 0)
    own, guest = identified(identity.log)[-2:]
    assert [own.customer_id, guest.customer_id] == [ada["_id"]] * 2
    assert (own.data.guest, guest.data.guest) == (None, True)
    (after,) = await customers(identity.database)
    assert (after["name"], after["identifiers"]) == (ada["name"], ada["identifiers"])
    assert [row["_id"] async for row in identity.database["identifiers"].find({})] == [
        f"email:{MAIL_FROM.value}"
    ]


async def test_a_reply_address_that_names_nobody_changes_nothing(identity: Identity) -> None:
    message = shown(MAIL_FROM, thread="0" * 32)
    assert (await identity.customers.identify(batch(message))).created == 1
    (record,) = identified(identity.log)
    assert record.data.guest is None
    assert record.customer_id != "0" * 32


async def test_somebody_elses_own_customer_is_left_alone(identity: Identity) -> None:
    stranger = MAIL_FROM.model_copy(update={"value": "mallory@example.org"})
    await identity.customers.identify(batch(shown(MAIL_FROM), shown(stranger, number=2)))
    ada, mallory = (record.customer_id for record in identified(identity.log))
    await identity.customers.identify(batch(shown(stranger, number=3, thread=ada), shown(stranger, number=4)))
    to_ada, own = identified(identity.log)[-2:]
    assert sorted(
        [(to_ada.customer_id, to_ada.data.guest), (own.customer_id, own.data.guest)], key=str
    ) == sorted([(ada, True), (mallory, None)], key=str)
