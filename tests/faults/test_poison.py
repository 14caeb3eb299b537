"""Poison of every kind, and builds that fail for everything, among people who write and are answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.ports import free_port
from schemas.deadletters import DeadLetter, DeadLetterData
from schemas.topics import (
    AGENTS_EVENTS,
    CONVERSATIONS_EVENTS,
    CUSTOMERS_EVENTS,
    DEADLETTERS,
    MESSAGES_DELIVERY,
    MESSAGES_IDENTIFIED,
    MESSAGES_INBOUND,
    MESSAGES_OUTBOUND,
    MESSAGES_STATUS,
    PARTITIONS,
    ROUTING_COMMANDS,
    ROUTING_DECISIONS,
    Topic,
)
from services.chassis.broker import MAX_RECORD_BYTES, partition_of
from services.chassis.deadletters.__main__ import DONE, main
from services.chassis.settings import Settings
from tests.servers.apache_kafka import Cluster
from tests.system.checker import faults
from tests.system.client import Client, client_of
from tests.system.evidence import Evidence
from tests.system.gather import gather
from tests.system.launch import Process, System, running_system
from tests.system.play import Diary, number, profile, shown, sign_on, write
from tests.system.poison import WORD, Planted, Poison, golden, plant, unreadable
from tests.system.stream import listening
from tests.system.topics import records
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(240)

BROKEN = "tests.system.broken_conversation"
IDENTIFIED = f"conversation.{MESSAGES_IDENTIFIED.name}"
GROUPS = {
    MESSAGES_INBOUND: ["identity"],
    MESSAGES_IDENTIFIED: [IDENTIFIED],
    ROUTING_DECISIONS: [f"conversation.{ROUTING_DECISIONS.name}"],
    MESSAGES_STATUS: [f"conversation.{MESSAGES_STATUS.name}"],
    CUSTOMERS_EVENTS: [f"conversation.{CUSTOMERS_EVENTS.name}", f"notifier.webhooks.{CUSTOMERS_EVENTS.name}"],
    AGENTS_EVENTS: [f"conversation.{AGENTS_EVENTS.name}", f"notifier.{AGENTS_EVENTS.name}"],
    ROUTING_COMMANDS: ["router"],
    MESSAGES_OUTBOUND: [f"notifier.{MESSAGES_OUTBOUND.name}"],
    MESSAGES_DELIVERY: [f"notifier.{MESSAGES_DELIVERY.name}"],
    CONVERSATIONS_EVENTS: [f"notifier.webhooks.{CONVERSATIONS_EVENTS.name}"],
}


@pytest.fixture(scope="module")
def system(
    own_kafka: Cluster, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Give one replica of each service; dead letters wait two seconds for company."""
    settings = {
        "MONGO_DATABASE": "t_poison",
        "SESSION_TIMEOUT_SECONDS": "6",
        "DRAIN_TIMEOUT_SECONDS": "5",
        "SUSPICION_SECONDS": "2",
        "LOG_LEVEL": "DEBUG",
    }
    directory = tmp_path_factory.mktemp("poison")
    with running_system(directory, own_kafka.bootstrap, embedded_mongo, each=1, **settings) as running:
        yield running


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    await system.ready()
    async with client_of(system.site) as made:
        yield made


# --- poison ---------------------------------------------------------------------------------------


async def test_poison_is_set_aside_and_everybody_else_is_served(client: Client, system: System) -> None:
    diary, senders = Diary(), [number(each) for each in range(12)]
    await profile(client, "rosa")
    await sign_on(client, "rosa")
    await asyncio.gather(*(write(client, diary, sender, f"before, {sender}") for sender in senders))
    await asyncio.gather(*(shown(client, sender, f"before, {sender}") for sender in senders))
    neighbour = (await client.customers(f"sms:{senders[0]}"))[0]
    stream = f"{system.site.bases['notifier'][0]}/notifier/v1/stream"

    async with listening(stream, client.site.token("lea")) as live:
        planting = asyncio.create_task(plant_everywhere(system.kafka, senders[0], neighbour))
        for turn in range(8):
            await asyncio.gather(*(write(client, diary, each, f"during {turn}, {each}") for each in senders))
        planted = await planting
        began = monotonic()
        await asyncio.gather(*(write(client, diary, sender, f"after, {sender}") for sender in senders))
        await asyncio.gather(*(shown(client, sender, f"after, {sender}") for sender in senders))
        served = monotonic() - began
        letters = await until(
            lambda: letters_of(system.kafka), lambda found: not missing(planted, found), seconds=30
        )
        texts = [f"after, {sender}" for sender in senders]
        await live.until(lambda heard: set(texts) <= {data.get("text") for _, data in heard.events})

    evidence = await gather(client, system.kafka, diary)
    print(f"\n{len(planted)} planted, {len(letters)} dead letters, served in {served:.1f} s")
    assert unexpected(planted, letters) == []
    assert wrong(planted, letters) == []
    assert judged(evidence) == []
    await system.ready()
    assert served < 15
    said = {process.name for process in system.processes if WORD in logged(process)}
    assert said == set()


async def plant_everywhere(kafka: str, sender: str, customer: str) -> list[Planted]:
    """Write poison of every kind to all topics, into the partitions where `customer` is served."""
    address, own, pool = partition_of(sender), partition_of(customer), partition_of("main")
    places = {MESSAGES_INBOUND: address, ROUTING_COMMANDS: pool, AGENTS_EVENTS: partition_of("rosa")}
    found: list[Planted] = []
    async with AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=1_100_000) as producer:
        for topic in GROUPS:
            poisons = [*unreadable(topic), *SHAPED.get(topic, ())]
            if topic.compact:
                poisons = [poison for poison in poisons if poison.keyed]  # the broker refuses others
            found += await plant(producer, topic, places.get(topic, own), poisons)
    return found


def _large(record: dict[str, Any]) -> None:
    record["id"] = str(uuid4())
    record["personal"]["text"] = WORD
    record["personal"]["text"] += "x" * (MAX_RECORD_BYTES - len(json.dumps(record)))


def _late_for_ever(record: dict[str, Any]) -> None:
    record["id"] = str(uuid4())
    record["data"]["received_at"] = "9999-12-31T23:59:59.000Z"


SHAPED: dict[Topic, list[Poison]] = {
    MESSAGES_INBOUND: [
        # identified, it would be too large for Kafka
        Poison("no room left", golden("messages.inbound/message.received-sms", _large), "RecordTooLarge", 3),
    ],
    MESSAGES_IDENTIFIED: [
        Poison(
            "an unknown Inbox",
            golden(
                "messages.identified/message.identified-sms",
                lambda record: (
                    record.update(id=str(uuid4()), customer_id="nobody", home="nobody"),
                    record["data"].update(inbox=WORD),
                ),
            ),
            "Refused:UnknownInboxError",
        ),
        Poison(
            "a time no timer reaches",
            golden("messages.identified/message.identified-sms", _late_for_ever),
            "OverflowError",
            3,
        ),
    ],
    MESSAGES_STATUS: [
        Poison(
            "an unknown message",
            golden(
                "messages.status/message.status-delivered",
                lambda record: record["data"].update(message_id=str(uuid4())),
            ),
            "Refused:UnknownMessageError",
        )
    ],
    ROUTING_COMMANDS: [
        Poison(
            "U+0000 in a name of a field",
            golden(
                "routing.commands/agent.profile", lambda record: record["data"].update(skills={"a\x00": 1})
            ),
        ),
        Poison(
            "an unknown Agent",
            golden(
                "routing.commands/agent.availability",
                lambda record: (record.update(id=str(uuid4())), record["data"].update(agent=WORD)),
            ),
            None,
        ),
    ],
    MESSAGES_DELIVERY: [
        Poison(
            "a receipt for nothing of ours",
            golden(
                "messages.delivery/delivery.reported-delivered",
                lambda record: record["data"].update(provider_message_id=WORD, message_id=None),
            ),
            None,
        )
    ],
}


# --- builds that fail for everything --------------------------------------------------------------


async def test_a_bad_build_halts_and_the_mended_one_takes_up_where_it_stopped(
    client: Client, system: System
) -> None:
    diary, senders = Diary(), [number(100 + each) for each in range(30)]
    (conversation,) = system.replicas["conversation"]
    conversation.stop()
    before, done = fates(await letters_of(system.kafka)), await committed(system.kafka, IDENTIFIED)
    for turn in range(2):
        await asyncio.gather(*(write(client, diary, each, f"bad {turn}, {each}") for each in senders))
    with built_as(conversation, BROKEN, SUSPICION_SECONDS="60"):
        conversation.start()
        took = await halted(conversation)
        assert await status(conversation, "livez") == 200
        assert fates(await letters_of(system.kafka)) == before
        assert await committed(system.kafka, IDENTIFIED) == done
        assert WORD not in logged(conversation)
        assert "bad 0" not in logged(conversation)
        conversation.stop()
    conversation.start()
    await system.ready()
    evidence = await gather(client, system.kafka, diary)
    print(f"\nhalted {took:.1f} s after its start")
    assert judged(evidence) == []
    assert fates(await letters_of(system.kafka)) == before


async def test_what_a_bad_build_gave_up_at_a_trickle_comes_back_by_retry(
    client: Client, system: System
) -> None:
    diary, senders = Diary(), [number(200 + each) for each in range(8)]
    (conversation,) = system.replicas["conversation"]
    conversation.stop()
    with built_as(conversation, BROKEN):
        conversation.start()
        await system.ready()
        for sender in senders:
            await write(client, diary, sender, f"given up, {sender}", by="whatsapp")
        await until(lambda: letters_by(system.kafka, "LookupError"), lambda found: len(found) == 8)
        assert await status(conversation, "readyz") == 200
        conversation.stop()
    conversation.start()
    await system.ready()
    await asyncio.sleep(1.1)  # the provider's times have whole seconds, and are to differ
    await asyncio.gather(*(write(client, diary, each, f"later, {each}", by="whatsapp") for each in senders))
    await asyncio.gather(*(shown(client, sender, f"later, {sender}") for sender in senders))

    settings = Settings(kafka_bootstrap_servers=system.kafka)
    command = ["retry", "--all", "--group", IDENTIFIED, "--error", "LookupError", "--yes"]
    assert await asyncio.to_thread(main, command, settings) == DONE
    assert await asyncio.to_thread(main, command, settings) == DONE  # nothing is left to retry

    evidence = await gather(client, system.kafka, diary)
    assert judged(evidence) == []
    for sender in senders:
        found = [item["text"] for item in await client.messages(f"sms:{sender}")]
        assert found == [f"later, {sender}", f"given up, {sender}"]  # the newest first


async def test_a_bad_canary_halts_alone_and_its_customers_are_served_once_it_is_gone(
    client: Client, system: System
) -> None:
    diary, senders = Diary(), [number(300 + each) for each in range(80)]
    (stable,) = system.replicas["conversation"]
    before = fates(await letters_of(system.kafka))
    canary = replace(stable, name="canary", port=free_port(), log=stable.log.with_name("canary.log"))
    canary.running = None
    with built_as(canary, BROKEN, SUSPICION_SECONDS="60"):
        canary.start()
        async with httpx.AsyncClient(trust_env=False) as http:
            await canary.ready(http)
        try:
            await asyncio.gather(*(write(client, diary, each, f"canary, {each}") for each in senders))
            await halted(canary)
            served = await until(lambda: how_many_shown(client, senders), lambda count: count > 20)
            assert await status(stable, "readyz") == 200
            assert served < len(senders)
        finally:
            canary.stop()
    evidence = await gather(client, system.kafka, diary)
    assert judged(evidence) == []
    assert fates(await letters_of(system.kafka)) == before


@contextmanager
def built_as(process: Process, module: str, **variables: str) -> Iterator[None]:
    """Let starts within the block run another build, with other settings."""
    usual, process.module = (process.module, process.environment), module
    process.environment = {**process.environment, **variables}
    try:
        yield
    finally:
        process.module, process.environment = usual


# --- what is looked at ----------------------------------------------------------------------------


def judged(evidence: Evidence) -> list[str]:
    """Return what is wrong besides dead letters."""
    return faults(replace(evidence, set_aside=()))


async def letters_of(kafka: str) -> list[DeadLetterData]:
    found = [each for each in await records(kafka, DEADLETTERS) if isinstance(each, DeadLetter)]
    return [each.data for each in found]


async def letters_by(kafka: str, error: str) -> list[DeadLetterData]:
    return [each for each in await letters_of(kafka) if each.error_class == error]


Fate = tuple[str, str, int, int]
"""Group, topic, partition and offset."""


def expected(planted: Sequence[Planted]) -> dict[Fate, Poison]:
    groups = {topic.name: names for topic, names in GROUPS.items()}
    return {
        (group, each.topic, each.partition, each.offset): each.poison
        for each in planted
        if each.poison.error is not None
        for group in groups[each.topic]
    }


def fates(letters: Sequence[DeadLetterData]) -> dict[Fate, DeadLetterData]:
    return {(each.group, each.topic, each.partition, each.offset): each for each in letters}


def missing(planted: Sequence[Planted], letters: Sequence[DeadLetterData]) -> list[str]:
    found = fates(letters)
    return [f"{poison.name}: {fate}" for fate, poison in expected(planted).items() if fate not in found]


def unexpected(planted: Sequence[Planted], letters: Sequence[DeadLetterData]) -> list[str]:
    wanted = expected(planted)
    return [str(letter) for fate, letter in fates(letters).items() if fate not in wanted]


def wrong(planted: Sequence[Planted], letters: Sequence[DeadLetterData]) -> list[str]:
    found = fates(letters)
    return [
        f"{poison.name}: {found[fate]}"
        for fate, poison in expected(planted).items()
        if not found[fate].error_class.startswith(str(poison.error))
        or found[fate].attempts != poison.attempts
    ]


def logged(process: Process) -> str:
    before = process.log.with_suffix(".before")
    return process.log.read_text() + (before.read_text() if before.exists() else "")


async def committed(kafka: str, group: str) -> dict[int, int | None]:
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=group, enable_auto_commit=False
    ) as consumer:
        tps = [TopicPartition(MESSAGES_IDENTIFIED.name, number) for number in range(PARTITIONS)]
        return {tp.partition: await consumer.committed(tp) for tp in tps}


async def status(process: Process, probe: str) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        return (await http.get(f"{process.url}/{probe}")).status_code


async def halted(process: Process) -> float:
    """Wait until a consumer of the process has halted, which readiness shows; return the seconds."""
    started = monotonic()

    async def look() -> str:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            try:
                return (await http.get(f"{process.url}/readyz")).text
            except httpx.TransportError as error:
                return repr(error)

    text = await until(look, lambda found: "halted" in found, seconds=90)
    assert json.loads(text)["checks"][f"consumer {MESSAGES_IDENTIFIED.name}"].startswith("halted")
    assert await status(process, "readyz") == 503
    return monotonic() - started


async def how_many_shown(client: Client, senders: Sequence[str]) -> int:
    found = await asyncio.gather(*(client.messages(f"sms:{sender}") for sender in senders))
    return sum(bool(messages) for messages in found)
