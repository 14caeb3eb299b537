"""The outbox on the MongoDB protocol: what cannot be published must not hold up the rest."""

from collections.abc import AsyncIterator, Sequence

import pytest

from services.chassis import outbox
from services.chassis.broker import MAX_RECORD_BYTES, Outgoing
from services.chassis.clock import utc_now
from services.chassis.mongo import Collection, Database, bulk, connect
from services.chassis.outbox import Effect, Outbox, Publish, Row, to_document
from services.chassis.settings import Settings
from tests.crash import Log


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "outbox")
    yield found
    await found.client.close()


async def saved(database: Database, owner: str, effects: Sequence[Effect]) -> dict[str, Sequence[Effect]]:
    document = {"_id": owner, "outbox": [to_document(effect) for effect in effects]}
    await database["things"].replace_one({"_id": owner}, document, upsert=True)
    return {owner: effects}


def publish(number: int, size: int = 10) -> Publish:
    return Publish(f"p{number}", utc_now(), "topic", "key", b"x" * size)


async def test_effects_go_out_in_order_and_leave_the_document(database: Database) -> None:
    log = Log()
    effects = [publish(1), Row("r", utc_now(), "rows", {"_id": 1, "a": 1}), publish(2)]
    await Outbox(database, "things", log).drain(await saved(database, "one", effects))
    assert [record.value for record in log.records] == [b"x" * 10] * 2
    assert await database["rows"].find_one({"_id": 1}) == {"_id": 1, "a": 1}
    assert await database["things"].find_one({"_id": "one"}) == {"_id": "one", "outbox": []}


async def test_a_record_that_no_broker_takes_is_set_aside_and_the_others_go_out(database: Database) -> None:
    log = Log()
    poison = await saved(database, "poison", [publish(1), publish(2, MAX_RECORD_BYTES + 1), publish(3)])
    fine = await saved(database, "fine", [publish(4)])
    await Outbox(database, "things", log).drain({**poison, **fine})
    assert len(log.records) == 3
    aside = await database["things_stuck"].find_one({"_id": "p2"})
    assert aside is not None
    assert (aside["topic"], len(aside["value"])) == ("topic", MAX_RECORD_BYTES + 1)
    assert await database["things"].count_documents({"outbox": []}) == 2


async def test_nothing_leaves_the_document_when_the_broker_is_away(database: Database) -> None:
    class Away:
        async def publish(self, _: Sequence[Outgoing]) -> None:
            raise ConnectionError

    pending = await saved(database, "one", [publish(1)])
    with pytest.raises(ConnectionError):
        await Outbox(database, "things", Away()).drain(pending)
    kept = await database["things"].find_one({"_id": "one"})
    assert kept is not None
    assert [entry["id"] for entry in kept["outbox"]] == ["p1"]


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
async def test_of_two_versions_of_a_row_the_newer_stays_in_either_order(
    database: Database, first: int, second: int
) -> None:
    outbox = Outbox(database, "things", Log())
    for version in (first, second, first):
        row = Row(f"r{version}", utc_now(), "rows", {"_id": 1, "seq": version}, how="replace")
        await outbox.drain(await saved(database, "one", [row]))
    assert await database["rows"].find_one({"_id": 1}) == {"_id": 1, "seq": 2}


async def test_of_several_states_of_a_row_in_one_drain_the_newest_stays(database: Database) -> None:
    rows = [
        Row(f"r{version}", utc_now(), "rows", {"_id": 1, "seq": version}, how="replace", wave=wave)
        for version, wave in ((2, 0), (3, 0), (1, 1))
    ]
    await Outbox(database, "things", Log()).drain(await saved(database, "one", rows))
    assert await database["rows"].find_one({"_id": 1}) == {"_id": 1, "seq": 3}


async def test_a_row_keeps_words_that_look_like_expressions(database: Database) -> None:
    document = {"_id": 1, "seq": 1, "text": "$seq", "more": {"$literal": "$$ROOT"}}
    for how in ("insert", "replace"):
        row = Row(how, utc_now(), f"rows_{how}", document, how=how)
        await Outbox(database, "things", Log()).drain(await saved(database, "one", [row]))
        assert await database[f"rows_{how}"].find_one({"_id": 1}) == document


async def test_an_inserted_row_that_is_there_stays_as_it_is(database: Database) -> None:
    outbox = Outbox(database, "things", Log())
    for text in ("first", "second"):
        await outbox.drain(await saved(database, "one", [Row("r", utc_now(), "rows", {"_id": 1, "a": text})]))
    assert await database["rows"].find_one({"_id": 1}) == {"_id": 1, "a": "first"}


async def test_what_waits_is_found_by_an_index_however_many_documents_there_are(database: Database) -> None:
    await Outbox(database, "things", Log()).prepare()
    await database["things"].insert_many([{"_id": f"t{number}", "outbox": []} for number in range(50)])
    await saved(database, "one", [publish(1)])
    plan = await database["things"].find({"outbox.at": {"$lt": utc_now()}}).explain()
    assert "outbox_waiting" in str(plan["queryPlanner"]["winningPlan"])


async def test_a_newer_state_is_not_lost_to_an_older_one_written_in_between(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []

    async def losing_once(
        collection: Collection, operations: Sequence[object], **how: bool
    ) -> frozenset[int]:
        if collection.name == "rows" and operations and not lost:
            lost.append(await collection.insert_one({"_id": 1, "seq": 1}))  # another replica's
            return frozenset({0})
        return await bulk(collection, operations, **how)

    monkeypatch.setattr(outbox, "bulk", losing_once)
    row = Row("r2", utc_now(), "rows", {"_id": 1, "seq": 2}, how="replace")
    await Outbox(database, "things", Log()).drain(await saved(database, "one", [row]))
    assert lost
    assert await database["rows"].find_one({"_id": 1}) == {"_id": 1, "seq": 2}
