"""What the benches rely on: counts that are exact, and copies that differ in names and ids alone."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, UpdateOne

from tests.bench.counted import Counts
from tests.bench.seeds import Seeds
from tests.bench.traffic import message, phone


def counted(counts: Counts, path: Path) -> dict[str, dict[str, int]]:
    counts.write(path)
    found: dict[str, dict[str, int]] = json.loads(path.read_text())
    return found


def test_statements_and_documents_are_counted_one_by_one_and_only_once(
    embedded_mongo: str, database_name: str, tmp_path: Path
) -> None:
    counts = Counts()
    with MongoClient[dict[str, Any]](embedded_mongo, event_listeners=[counts]) as client:
        things = client[database_name]["things"]
        things.insert_many([{"_id": number} for number in range(3)])
        things.bulk_write([UpdateOne({"_id": number}, {"$set": {"a": 1}}) for number in range(2)])
        assert len(list(things.find({"_id": {"$lt": 2}}))) == 2
        found = counted(counts, tmp_path / "counts.json")
        assert {name: count["commands"] for name, count in found.items()} == {
            "things.insert": 1,
            "things.update": 1,
            "things.find": 1,
        }
        assert found["things.insert"]["statements"] == 3
        assert found["things.update"]["statements"] == 2
        assert found["things.find"]["documents"] == 2
        assert counted(counts, tmp_path / "counts.json") == {}


def test_seeded_customers_are_the_model_under_other_names(embedded_mongo: str, database_name: str) -> None:
    with MongoClient[dict[str, Any]](embedded_mongo) as client:
        identity = client[f"{database_name}_identity"]
        conversation = client[f"{database_name}_conversation"]
        identity["identifiers"].insert_one({"_id": f"phone:{phone(0)}", "customer_id": "someone"})
        identity["customers"].insert_one({"_id": "someone", "version": 1})
        conversation["conversations"].insert_one({"_id": "talk", "customer_id": "someone"})
        row = {"_id": "row", "home": "someone", "conversation_id": "talk", "kind": "message", "seq": 3}
        conversation["timeline"].insert_one(row)

        seeds = Seeds(client, database_name, 0)
        seeds.write(range(1, 4))
        seeds.lengthen(2, 10)

        owners = {each["_id"]: each["customer_id"] for each in identity["identifiers"].find({})}
        assert set(owners) == {f"phone:{phone(number)}" for number in range(4)}
        assert len(set(owners.values())) == 4
        talks = {each["customer_id"]: each["_id"] for each in conversation["conversations"].find({})}
        rows = list(conversation["timeline"].find({"seq": 3}))
        assert {row["home"]: row["conversation_id"] for row in rows} == talks
        assert len(rows) == 4 + 10
        assert conversation["timeline"].count_documents({"home": owners[f"phone:{phone(2)}"]}) == 11


def test_each_message_of_a_customer_is_another_and_the_same_in_every_run() -> None:
    assert message(1, 1).id == message(1, 1).id
    assert len({message(customer, number).id for customer in range(5) for number in range(5)}) == 25


def test_nobody_is_copied_while_effects_wait(embedded_mongo: str, database_name: str) -> None:
    with MongoClient[dict[str, Any]](embedded_mongo) as client:
        threads = client[f"{database_name}_conversation"]["threads"]
        threads.insert_one(
            {"_id": "someone", "outbox": [{"id": "e", "at": datetime(2026, 3, 1, tzinfo=UTC)}]}
        )
        with pytest.raises(ValueError, match="effects wait"):
            Seeds(client, database_name, 0)
