"""Which records of a topic have had their effect, read from what came of them: topics and databases."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pymongo import AsyncMongoClient

from schemas.topics import (
    CONVERSATIONS_EVENTS,
    MESSAGES_IDENTIFIED,
    MESSAGES_INBOUND,
    MESSAGES_OUTBOUND,
    ROUTING_COMMANDS,
    Topic,
)
from tests.system.topics import committed, placed, records


@dataclass(frozen=True)
class Stage:
    """A consumer, and how its effects are found."""

    service: str
    group: str
    topic: Topic
    done: Callable[[str, str, str], Awaitable[set[UUID]]]
    """Given Kafka, MongoDB and the prefix of its databases: the ids of all that has had its effect."""
    id_of: Callable[[Any], UUID] = lambda record: record.id
    """A record that is published again has the same id, at another place."""


async def identified(kafka: str, _mongo: str, _prefix: str) -> set[UUID]:
    return {record.id for record in await records(kafka, MESSAGES_IDENTIFIED)}


async def on_timelines(kafka: str, _mongo: str, _prefix: str) -> set[UUID]:
    events = await records(kafka, CONVERSATIONS_EVENTS)
    return {event.data.message_id for event in events if event.type == "message.added"}


async def journaled(_kafka: str, mongo: str, prefix: str) -> set[UUID]:
    async with AsyncMongoClient[dict[str, Any]](mongo) as connected:
        entries = connected[f"{prefix}_router"]["journal"].find({}, {"inputs": 1, "pool": 1})
        inputs = [(entry["pool"], each) async for entry in entries for each in entry["inputs"]]
    commands = [(pool, each) for pool, each in inputs if each["offset"] is not None]
    # one that was published again stands at another place, and is told by its id
    places = [(pool, each["offset"]) for pool, each in commands]
    assert len(places) == len(set(places)), "a command was handled twice"
    return {UUID(json.loads(each["value"])["id"]) for _, each in commands}


async def stored(_kafka: str, mongo: str, prefix: str) -> set[UUID]:
    async with AsyncMongoClient[dict[str, Any]](mongo) as connected:
        sends = connected[f"{prefix}_notifier"]["sends"].find({}, {"_id": 1})
        return {UUID(each["_id"]) async for each in sends}


STAGES = [
    Stage("identity", "identity", MESSAGES_INBOUND, identified),
    Stage("conversation", "conversation.messages.identified", MESSAGES_IDENTIFIED, on_timelines),
    Stage("router", "router", ROUTING_COMMANDS, journaled),
    Stage(
        "notifier",
        "notifier.messages.outbound",
        MESSAGES_OUTBOUND,
        stored,
        lambda record: record.data.message_id,
    ),
]


async def assert_committed_is_done(stage: Stage, kafka: str, mongo: str, prefix: str) -> None:
    """What a group has committed has had its effects, and nothing else has: nobody of it is left."""
    done, offsets = await stage.done(kafka, mongo, prefix), await committed(kafka, stage.group, stage.topic)
    log = [(place, stage.id_of(record)) for place, record in await placed(kafka, stage.topic)]
    below = {own for (partition, offset), own in log if offset < offsets[partition]}
    above = {own for _, own in log} - below
    assert len(below) > 10
    assert below - done == set(), f"{stage.group}: committed and not done"
    assert above & done == set(), f"{stage.group}: done and not committed"
