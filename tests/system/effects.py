"""Which records of a topic have had their effect, read from what came of them: topics and databases."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient

from schemas.topics import (
    CONVERSATIONS_EVENTS,
    MESSAGES_IDENTIFIED,
    MESSAGES_INBOUND,
    MESSAGES_OUTBOUND,
    ROUTING_COMMANDS,
    Topic,
)
from tests.system.topics import Place, committed, placed, records


@dataclass(frozen=True)
class Stage:
    """A consumer, and how its effects are found."""

    service: str
    group: str
    topic: Topic
    done: Callable[[str, str, str], Awaitable[set[Place]]]
    """Given Kafka, MongoDB and the prefix of its databases: the places of all records with their effect."""


async def identified(kafka: str, _mongo: str, _prefix: str) -> set[Place]:
    ids = {record.id for record in await records(kafka, MESSAGES_IDENTIFIED)}
    return {place for place, record in await placed(kafka, MESSAGES_INBOUND) if record.id in ids}


async def on_timelines(kafka: str, _mongo: str, _prefix: str) -> set[Place]:
    events = await records(kafka, CONVERSATIONS_EVENTS)
    ids = {event.data.message_id for event in events if event.type == "message.added"}
    return {place for place, record in await placed(kafka, MESSAGES_IDENTIFIED) if record.id in ids}


async def journaled(_kafka: str, mongo: str, prefix: str) -> set[Place]:
    async with AsyncMongoClient[dict[str, Any]](mongo) as connected:
        entries = connected[f"{prefix}_router"]["journal"].find({}, {"inputs": 1})
        places = [(each["partition"], each["offset"]) async for entry in entries for each in entry["inputs"]]
    of_log = [(partition, offset) for partition, offset in places if offset is not None]
    assert len(of_log) == len(set(of_log)), "a command was handled twice"
    return set(of_log)


async def stored(kafka: str, mongo: str, prefix: str) -> set[Place]:
    async with AsyncMongoClient[dict[str, Any]](mongo) as connected:
        sends = connected[f"{prefix}_notifier"]["sends"].find({}, {"_id": 1})
        ids = {each["_id"] async for each in sends}
    log = await placed(kafka, MESSAGES_OUTBOUND)
    return {place for place, record in log if str(record.data.message_id) in ids}


STAGES = [
    Stage("identity", "identity", MESSAGES_INBOUND, identified),
    Stage("conversation", "conversation.messages.identified", MESSAGES_IDENTIFIED, on_timelines),
    Stage("router", "router", ROUTING_COMMANDS, journaled),
    Stage("notifier", "notifier.messages.outbound", MESSAGES_OUTBOUND, stored),
]


async def assert_committed_is_done(stage: Stage, kafka: str, mongo: str, prefix: str) -> None:
    """What a group has committed has had its effects, and nothing else has: nobody of it is left."""
    done, offsets = await stage.done(kafka, mongo, prefix), await committed(kafka, stage.group, stage.topic)
    below = {(number, offset) for number, end in offsets.items() for offset in range(end)}
    assert len(below) > 10
    assert (sorted(below - done), sorted(done - below)) == ([], []), f"{stage.group}: committed, done"
