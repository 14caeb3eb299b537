"""The whole delivery of a message batch on the Kafka and MongoDB protocols, dying where no write is.

After decoding, after the handler, and just before the commit: the next process gets the batch again.
(`test_crashes.py` dies before and after every write.)
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import uuid4

import pytest

from schemas.topics import CONVERSATIONS_EVENTS, MESSAGES_IDENTIFIED
from services.chassis.broker import KafkaPublisher, Outgoing
from services.chassis.delivery import Consumer, Delivery, Outcome
from services.chassis.mongo import connect
from services.chassis.settings import Settings
from services.chassis.stage import Stage
from services.chassis.topics import create_topics
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.store import Store
from tests.crash import Crash, Log
from tests.suites.delivery import until
from tests.unit.conversation.builders import INBOXES, message

MESSAGES = 12


class DiesAfterDecoding(Stage):
    def _decode(self, record: Any, value: Any) -> Any:
        super()._decode(record, value)
        raise Crash


class DiesAfterHandling(Stage):
    async def _decide(self, *given: Any) -> Any:
        await super()._decide(*given)
        raise Crash


class DiesBeforeCommitting(Stage):
    async def _commit(self, *_: Any) -> None:
        raise Crash


@pytest.mark.parametrize("dying", [DiesAfterDecoding, DiesAfterHandling, DiesBeforeCommitting])
async def test_a_batch_whose_process_died_is_handled_once_by_the_next(
    dying: type[Stage], embedded_kafka: str, embedded_mongo: str, database_name: str
) -> None:
    settings = Settings(
        kafka_bootstrap_servers=embedded_kafka,
        mongo_url=embedded_mongo,
        mongo_database=database_name,
        session_timeout_seconds=6,
    )
    await create_topics(settings)
    database = connect(settings, "dying")
    publisher, log, mark = KafkaPublisher(settings, "test"), Log(), uuid4().hex
    threads = Threads(Store(database, log), INBOXES, next_due)

    async def attach(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        return await threads.apply(ATTACH, batch)

    consumer = Consumer(MESSAGES_IDENTIFIED, f"dying-{mark}", attach)
    written = [message(f"{mark}-{number}", seconds=number, customer=mark) for number in range(MESSAGES)]
    try:
        await publisher.publish(
            [Outgoing(MESSAGES_IDENTIFIED.name, mark, item.json_bytes()) for item in written]
        )
        with pytest.raises(Crash):
            await dying(consumer, settings, publisher).run()
        await handled_by(Stage(consumer, settings, publisher), lambda: count(database, mark))
        rows = database["timeline"].find({"home": mark, "kind": "message"}, sort=[("at", 1), ("seq", 1)])
        assert [row["_id"] async for row in rows] == [str(item.id) for item in written]
        assert await database["conversations"].count_documents({"customer_id": mark}) == 1
        assert numbers_of_first_events(log, mark) == list(range(1, MESSAGES + 3))
    finally:
        await publisher.stop()
        await database.client.close()


def count(database: Any, customer: str) -> Coroutine[Any, Any, int]:
    found: Coroutine[Any, Any, int] = database["timeline"].count_documents(
        {"home": customer, "kind": "message"}
    )
    return found


async def handled_by(stage: Stage, stored: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run a healthy stage until all is stored and the log is at its end."""
    task = asyncio.create_task(stage.run())
    try:
        async with asyncio.timeout(30):
            while await stored() < MESSAGES:
                await asyncio.sleep(0.02)
        await until(
            lambda: (
                all(stage.assignment.caught_up_to(number) for number in stage.assignment.owned)
                and stage.assignment.owned
            )
        )
    finally:
        await stage.stop()
        await asyncio.wait_for(task, 30)


def numbers_of_first_events(log: Log, customer: str) -> list[int]:
    """Return the `seq` of each event when it was first published: opened, Contact, then the messages."""
    events = [json.loads(record.value) for record in log.records if record.topic == CONVERSATIONS_EVENTS.name]
    first = {event["id"]: event["seq"] for event in reversed(events) if event["customer_id"] == customer}
    return list(first.values())[::-1]
