"""The control: a relay by hand with the pipeline's hops and database writes, and no logic.

`python -m tests.bench.relay identity|conversation|router|notifier`, a process each, as the services are.
The settings of Kafka and of batches are those of the services. JSON is read by orjson, written by hand and
never validated; each hop publishes one record for one. The writes are those that the services were seen to
make for a message (`tests.bench.counted`): the same statements on collections with the same indexes, with
documents of about the same size, in the same bulks, the same effects kept and taken off after publishing.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pymongo import InsertOne, UpdateOne

from services.chassis.broker import KafkaPublisher
from services.chassis.mongo import Database, Document, connect
from services.chassis.settings import Settings
from services.conversation.store import Store as Threads
from services.identity.store import Store as Customers
from services.router.store import MongoStore as Pools

TOPICS = {
    name: f"relay.{name}"
    for name in ("inbound", "identified", "customers", "commands", "decisions", "events")
}
AGENTS = 20
Record = dict[str, Any]
Handler = Callable[[list[Record]], Awaitable[None]]


class Relay:
    """What the four processes share: a producer, a database, and the loop of a consumer."""

    def __init__(self, settings: Settings, database: Database, producer: AIOKafkaProducer) -> None:
        self._settings, self._db, self._producer = settings, database, producer
        self._entry = 0

    async def consume(self, topic: str, handle: Handler) -> None:
        """Hand on batches of 500, and commit after each."""
        consumer = AIOKafkaConsumer(
            TOPICS[topic],
            bootstrap_servers=self._settings.kafka_bootstrap_servers,
            group_id=f"relay.{topic}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=30_000,
            heartbeat_interval_ms=3_000,
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=250,
        )
        await consumer.start()
        while True:
            polled = await consumer.getmany(timeout_ms=250, max_records=500)
            records = [orjson.loads(record.value) for of_one in polled.values() for record in of_one]
            if records:
                await handle(records)
                ends = {place: of_one[-1].offset + 1 for place, of_one in polled.items()}
                await consumer.commit(ends)

    async def _publish(self, topic: str, records: Sequence[Record], key: str = "customer_id") -> None:
        futures = [
            await self._producer.send(TOPICS[topic], orjson.dumps(record), key=record[key].encode())
            for record in records
        ]
        await asyncio.gather(*futures)

    async def _bulk(self, collection: str, operations: Sequence[Any]) -> None:
        if operations:
            await self._db[collection].bulk_write(list(operations), ordered=False)

    async def _found(self, collection: str, names: Sequence[str]) -> dict[str, Document]:
        rows = self._db[collection].find({"_id": {"$in": list(names)}})
        return {row["_id"]: row async for row in rows}

    async def _save(self, collection: str, saved: Mapping[str, Document], effects: int, size: int) -> None:
        """Save with effects, each under a version check."""
        now = datetime.now(UTC)
        await self._bulk(
            collection,
            [
                UpdateOne(
                    {"_id": name, "version": fields.pop("known")},
                    {"$set": fields, "$push": {"outbox": {"$each": _effects(now, effects, size)}}},
                    upsert=True,
                )
                for name, fields in saved.items()
            ],
        )

    async def _take_off(self, collection: str, names: Sequence[str], effects: int) -> None:
        ids = [f"effect-{number}" for number in range(effects)]
        pulled = {"$pull": {"outbox": {"id": {"$in": ids}}}}
        await self._bulk(collection, [UpdateOne({"_id": name}, pulled) for name in names])

    # --- identity -------------------------------------------------------------------------------

    async def identify(self, records: list[Record]) -> None:
        """Give each sender a Customer."""
        now = datetime.now(UTC)
        senders = {f"phone:{record['personal']['sender']['value']}": record for record in records}
        owners = await self._found("identifiers", list(senders))
        fresh = {name: uuid4().hex for name in senders if name not in owners}
        claims = [
            InsertOne({"_id": name, "customer_id": who, "verified": True, "at": now})
            for name, who in fresh.items()
        ]
        await self._bulk("identifiers", claims)
        owner_of = fresh | {name: row["customer_id"] for name, row in owners.items()}
        await self._found("customers", list(owner_of.values()))
        profiles = {who: _profile(name, now) for name, who in fresh.items()}
        await self._save("customers", profiles, 1, 500)
        await self._publish("customers", [{"customer_id": who, "type": "met"} for who in profiles])
        await self._take_off("customers", list(profiles), 1)
        for record in records:
            record["customer_id"] = owner_of[f"phone:{record['personal']['sender']['value']}"]
        await self._publish("identified", records)

    # --- conversation ---------------------------------------------------------------------------

    async def meet(self, records: list[Record]) -> None:
        """Remember each Customer."""
        rows = [InsertOne({"_id": record["customer_id"], "known": True}) for record in records]
        await self._bulk("known", rows)

    async def attach(self, records: list[Record]) -> None:
        """Put each message into its thread; ask for an Agent where there was none."""
        threads = await self._found("threads", list({record["customer_id"] for record in records}))
        wanted = [record["id"] for record in records]
        await self._found("timeline", wanted)
        new = [record for record in records if record["customer_id"] not in threads]
        rows = [*_rows(records, ""), *_rows(new, "-opened")]
        await self._change(records, threads, rows, effects=7 if new else 3)
        for record in records:
            record["type"] = "message.added"
        await self._publish("events", records)
        asked = [{**_short(record), "pool": "main"} for record in new]
        await self._publish("commands", asked, key="pool")
        await self._take_off("threads", list({record["customer_id"] for record in records}), 7)

    async def open(self, records: list[Record]) -> None:
        """Let each thread have its Agent."""
        threads = await self._found("threads", list({record["customer_id"] for record in records}))
        rows = [*_rows(records, "-status"), *_rows(records, "-assigned")]
        await self._change(records, threads, rows, effects=5)
        for record in records:
            record["type"] = "conversation.assigned"
        await self._publish("events", records)
        await self._take_off("threads", list({record["customer_id"] for record in records}), 5)

    async def _change(
        self, records: Sequence[Record], threads: Mapping[str, Document], rows: list[Any], effects: int
    ) -> None:
        now = datetime.now(UTC)
        versions = {
            who: threads.get(who, {}).get("version", 0) for who in {r["customer_id"] for r in records}
        }
        await self._save(
            "threads", {who: _thread(who, version, now) for who, version in versions.items()}, effects, 850
        )
        conversations = [
            UpdateOne({"_id": f"of-{who}"}, _conversation(who, version + 1, now), upsert=True)
            for who, version in versions.items()
        ]
        await self._bulk("conversations", conversations)
        await self._bulk("timeline", rows)

    # --- router ---------------------------------------------------------------------------------

    async def grant(self, records: list[Record]) -> None:
        """Write the batch down, then what Agents and requests look like, and answer."""
        now = datetime.now(UTC)
        if not self._entry:
            self._entry = await self._db["journal"].count_documents({})
        self._entry += 1
        name = f"main/{self._entry}"
        given = [{"value": "x" * 600, "partition": 1, "offset": 1} for _ in records]
        answers = [{"topic": "t", "key": "k", "value": b"x" * 700} for _ in records]
        entry = {"_id": name, "pool": "main", "n": self._entry, "inputs": given, "outgoing": answers}
        await self._db["journal"].insert_one({**entry, "at": now, "published": False})
        agents = [_shown(f"agent{number}", self._entry, now) for number in range(min(AGENTS, len(records)))]
        await self._bulk("agents", agents)
        requests = [_shown(f"main/of-{record['customer_id']}", self._entry, now) for record in records]
        await self._bulk("requests", requests)
        await self._publish("decisions", records)
        await self._db["journal"].update_many({"_id": {"$in": [name]}}, {"$set": {"published": True}})

    # --- notifier -------------------------------------------------------------------------------

    async def tail(self) -> None:
        """Read all events, as a live feed does."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap_servers,
            enable_auto_commit=False,
            fetch_max_wait_ms=250,
            auto_offset_reset="latest",
        )
        await consumer.start()
        consumer.assign([TopicPartition(TOPICS["events"], number) for number in range(12)])
        while True:
            for records in (await consumer.getmany(timeout_ms=250, max_records=2000)).values():
                for record in records:
                    orjson.loads(record.value)


def _effects(now: datetime, count: int, size: int) -> list[Document]:
    return [
        {"id": f"effect-{number}", "at": now, "topic": "topic", "key": "key", "value": b"x" * size}
        for number in range(count)
    ]


def _profile(name: str, now: datetime) -> Document:
    known = [{"kind": "phone", "value": name, "verified": True}]
    return {"known": 0, "version": 1, "name": None, "words": [], "identifiers": known, "created_at": now}


def _state(who: str, now: datetime) -> Document:
    contact = {"id": who, "channel": "sms", "account": "demo", "address": who, "started_at": str(now)}
    routing = {"pool": "main", "epoch": 1, "current": 1, "n": 1, "classes": ["messaging"], "tries": 0}
    route = {"provider": "twilio-sms", "account": "demo", "address": {"kind": "phone", "value": who}}
    return {
        "id": who,
        "inbox": "support",
        "contacts": [contact],
        "routing": routing,
        "routes": {"sms": route},
    }


def _thread(who: str, version: int, now: datetime) -> Document:
    return {
        "known": version,
        "version": version + 1,
        "seq": version,
        "partition": 1,
        "state": _state(who, now),
    }


def _conversation(who: str, version: int, now: datetime) -> list[Document]:
    document = {
        "_id": f"of-{who}",
        "version": version,
        "customer_id": who,
        "open": True,
        "status": "new",
        "inbox": "support",
        "agent": None,
        "topics": [],
        "opened_at": now,
        "state": _state(who, now),
    }
    newer = {"$lt": ["$version", version]}
    return [{"$replaceWith": {"$cond": [newer, {"$literal": document}, "$$ROOT"]}}]


def _rows(records: Sequence[Record], suffix: str) -> list[Any]:
    now = datetime.now(UTC)
    return [
        InsertOne(
            {
                "_id": record["id"] + suffix,
                "home": record["customer_id"],
                "at": now,
                "received_at": now,
                "seq": 1,
                "kind": "message",
                "conversation_id": f"of-{record['customer_id']}",
                "channel": "sms",
                "account": "demo",
                "text": record.get("personal", {}).get("text", ""),
                "status": "received",
            }
        )
        for record in records
    ]


def _short(record: Record) -> Record:
    kept = ("id", "correlation", "customer_id", "occurred_at")
    return {name: record[name] for name in kept} | {"data": {"inbox": "support", "channel": "sms"}}


def _shown(name: str, n: int, now: datetime) -> UpdateOne:
    view = {"n": n, "state": "assigned", "inbox": "support", "channel_class": "messaging", "agent": "agent1"}
    why = {"policy": "least_loaded", "why": "longest_idle", "candidates": ["a", "b", "c", "d"]}
    fields = {**view, "conversation_id": name, "requested_at": now, "decision": {"explanation": why}}
    return UpdateOne({"_id": name, "pool": "main", "n": {"$lt": n}}, {"$set": fields}, upsert=True)


async def main(role: str) -> None:
    """Run one of the four, for ever."""
    settings = Settings()
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, enable_idempotence=True, acks="all", linger_ms=2
    )
    await producer.start()
    database = connect(settings, "relay")
    publisher = KafkaPublisher(settings, "relay")
    relay = Relay(settings, database, producer)
    match role:
        case "identity":
            await Customers(database, publisher).prepare()
            await relay.consume("inbound", relay.identify)
        case "conversation":
            await Threads(database, publisher).prepare()
            await asyncio.gather(
                relay.consume("identified", relay.attach),
                relay.consume("customers", relay.meet),
                relay.consume("decisions", relay.open),
            )
        case "router":
            await Pools(database).prepare()
            await relay.consume("commands", relay.grant)
        case _:
            await relay.tail()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
