"""Keys, and what is sealed with them, on the database's real protocol."""

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.topics import CONVERSATIONS_EVENTS, MESSAGES_OUTBOUND, ROUTING_COMMANDS, TOPICS
from services.chassis.broker import MAX_RECORD_BYTES, MOST_UNSEALED_BYTES, Outgoing
from services.chassis.keys import COLLECTION, CustomerKeys, KeyFault
from services.chassis.mongo import Database, connect
from services.chassis.sealing import Seals, Unopened
from services.chassis.settings import Settings
from tests.contract import examples

SECRET = "a secret of at least 32 bytes, invented"
NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
SEALED = [
    name
    for topic in TOPICS
    if topic.sealed
    for name in examples.names(topic)
    if b'"personal"' in examples.text(name)
]


@pytest.fixture
async def shared(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "files")
    yield found
    await found.client.close()


@pytest.fixture
def seals(shared: Database) -> Seals:
    return Seals(CustomerKeys(shared, SECRET))


def outgoing(name: str) -> Outgoing:
    record = examples.record(name)
    return Outgoing(examples.topic_of(name), record.customer_id, record.json_bytes())


def other(shared: Database, secret: str = SECRET) -> Seals:
    """Return the seals of another process."""
    return Seals(CustomerKeys(shared, secret))


@pytest.mark.parametrize("name", SEALED)
async def test_whatever_is_sealed_is_opened_elsewhere_as_it_was(
    name: str, seals: Seals, shared: Database
) -> None:
    before = outgoing(name)
    (sealed,) = await seals.seal([before])
    shown = json.loads(sealed.value)
    assert "personal" not in shown
    assert shown["sealed"].keys() == {"key", "data"}
    (opened,) = await other(shared).open([(sealed.topic, sealed.value)])
    assert isinstance(opened, bytes)
    assert json.loads(opened) == json.loads(before.value)
    assert list(json.loads(sealed.value))[-1] == "sealed"


async def test_nothing_personal_is_readable_in_a_sealed_record(seals: Seals) -> None:
    (sealed,) = await seals.seal([outgoing("messages.outbound/message.send")])
    personal = examples.record("messages.outbound/message.send").personal
    assert personal.text.encode() not in sealed.value
    assert personal.to.value.encode() not in sealed.value


async def test_a_long_part_is_packed_and_comes_back_whole(seals: Seals) -> None:
    record = json.loads(outgoing("messages.outbound/message.send").value)
    record["personal"]["text"] = "where is my parcel? \u2603 " * 30_000
    value = json.dumps(record, ensure_ascii=False).encode()
    (sealed,) = await seals.seal([Outgoing(MESSAGES_OUTBOUND.name, "c", value)])
    assert len(sealed.value) < len(value) / 10
    (opened,) = await seals.open([(sealed.topic, sealed.value)])
    assert isinstance(opened, bytes)
    assert json.loads(opened) == record


async def test_text_of_the_most_bytes_fits_into_a_record_whatever_it_says(seals: Seals) -> None:
    record = json.loads(outgoing("messages.outbound/message.send").value)
    letters = "".join(chr(33 + (7 * n * n + 13 * n + n // 89) % 94) for n in range(60_000))
    noise = "".join(chr(35 + byte % 56) for byte in os.urandom(400_000))
    for text in (letters.replace('"', "'").replace("\\", "/") * 12, noise * 2):
        record["personal"]["text"] = text[: MOST_UNSEALED_BYTES - 2_000]
        value = json.dumps(record, ensure_ascii=False).encode()
        assert len(value) <= MOST_UNSEALED_BYTES
        (sealed,) = await seals.seal([Outgoing(MESSAGES_OUTBOUND.name, "c", value)])
        assert len(sealed.value) < MAX_RECORD_BYTES


async def test_other_topics_and_records_without_a_personal_part_pass_untouched(seals: Seals) -> None:
    batch = [
        outgoing("conversations.events/conversation.opened"),
        Outgoing(ROUTING_COMMANDS.name, "main", b'{"personal":{"name":"ana"}}'),
    ]
    assert await seals.seal(batch) == batch


async def test_a_record_of_an_earlier_release_is_read_as_it_is(seals: Seals) -> None:
    plain = outgoing("messages.outbound/message.send")
    assert await seals.open([(plain.topic, plain.value)]) == [plain.value]


@pytest.mark.parametrize("change", ["another topic", "another id", "another customer", "a flipped bit"])
async def test_a_sealed_part_fits_nowhere_else(change: str, seals: Seals) -> None:
    (sealed,) = await seals.seal([outgoing("messages.outbound/message.send")])
    topic, record = sealed.topic, json.loads(sealed.value)
    if change == "another topic":
        topic = CONVERSATIONS_EVENTS.name
    elif change == "another id":
        record["id"] = "00000000-0000-5000-8000-000000000000"
    elif change == "another customer":
        record["customer_id"] = "somebody"
    else:
        data = record["sealed"]["data"]
        record["sealed"]["data"] = ("B" if data[0] != "B" else "C") + data[1:]
    value = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    assert await seals.open([(topic, value)]) == [Unopened.BROKEN]


async def test_each_customer_has_a_key_and_two_processes_have_the_same(
    seals: Seals, shared: Database
) -> None:
    keys = await seals.keys.have(["one", "two"])
    assert await shared[COLLECTION].count_documents({}) == 2
    theirs = await other(shared).keys.find(["one", "two", "three"])
    assert theirs.keys() == {"one", "two"}
    nonce = bytes(12)
    assert [theirs[name].cipher.encrypt(nonce, b"x", None) for name in keys] == [  # type: ignore[union-attr]
        keys[name].cipher.encrypt(nonce, b"x", None)  # type: ignore[union-attr]
        for name in keys
    ]


async def test_what_is_of_an_erased_customer_is_neither_opened_nor_sealed(
    seals: Seals, shared: Database
) -> None:
    plain = outgoing("messages.outbound/message.send")
    (sealed,) = await seals.seal([plain])
    await other(shared).keys.destroy([examples.record("messages.outbound/message.send").home], NOW)
    fresh = other(shared)
    assert await fresh.open([(sealed.topic, sealed.value)]) == [Unopened.ERASED]
    assert await fresh.open([(plain.topic, plain.value)]) == [Unopened.ERASED]
    assert await fresh.seal([plain]) == []
    (row,) = [row async for row in shared[COLLECTION].find({})]
    assert row.keys() == {"_id", "erased_at"}


async def test_a_destroyed_key_is_out_of_use_once_the_memory_of_it_ends(
    seals: Seals, shared: Database
) -> None:
    seals.keys.cache_seconds = 0.0
    (sealed,) = await seals.seal([outgoing("messages.outbound/message.send")])
    await other(shared).keys.destroy([json.loads(sealed.value)["home"]], NOW)
    assert await seals.open([(sealed.topic, sealed.value)]) == [Unopened.ERASED]


async def test_a_missing_key_without_a_tombstone_is_a_fault(seals: Seals, shared: Database) -> None:
    (sealed,) = await seals.seal([outgoing("messages.outbound/message.send")])
    await shared[COLLECTION].delete_many({})
    with pytest.raises(KeyFault):
        await other(shared).open([(sealed.topic, sealed.value)])


async def test_keys_of_another_secret_are_a_fault_and_none_is_made_anew(
    seals: Seals, shared: Database
) -> None:
    await seals.keys.have(["one"])
    with pytest.raises(KeyFault):
        await other(shared, "another secret").keys.have(["one"])


async def test_a_record_that_names_its_personal_part_elsewhere_too_is_sealed_all_the_same(
    seals: Seals,
) -> None:
    record: dict[str, Any] = json.loads(outgoing("messages.outbound/message.send").value)
    odd = {"data": {"a": 1, "personal": {"b": 2}}, "personal": {"text": "zanzibar"}, "home": "c", "id": "x"}
    for content in (
        odd,
        {"a": 1, "personal": {"text": "zanzibar"}, "home": "c", "z": [1]},
        {**record, "z": 1},
    ):
        value = json.dumps(content, separators=(",", ":")).encode()
        (sealed,) = await seals.seal([Outgoing(MESSAGES_OUTBOUND.name, "c", value)])
        assert b"zanzibar" not in sealed.value
        (opened,) = await seals.open([(sealed.topic, sealed.value)])
        assert isinstance(opened, bytes)
        assert json.loads(opened) == content


async def test_a_personal_part_without_a_home_is_a_bug_that_shows(seals: Seals) -> None:
    record: dict[str, Any] = json.loads(outgoing("messages.outbound/message.send").value)
    del record["home"]
    with pytest.raises(ValueError, match="no home"):
        await seals.seal([Outgoing(MESSAGES_OUTBOUND.name, "c", json.dumps(record).encode())])
