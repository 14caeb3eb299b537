"""Creates the topics of `schemas.topics` where they are missing, with their retention.

`python -m services.chassis.topics [--check]` is the deployment's command: it waits for Kafka, creates what
is missing and names what differs from `schemas.topics`. It changes nothing that exists and may run as often
as you like. With `--check` it creates nothing, and exits with 1 when something is missing or differs.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from pydantic import ValidationError

from schemas.topics import TOPICS, Topic
from services.chassis.settings import Settings, TopicSettings

_READY_SECONDS = 30.0
_USAGE = "usage: python -m services.chassis.topics [--check]\n"


async def create_topics(
    settings: Settings,
    topics: Sequence[Topic] = TOPICS,
    *,
    replication_factor: int = 1,
    configs: Mapping[str, str] | None = None,
) -> list[str]:
    """Create those of `topics` that do not exist, wait for all leaders, and return the names of the new ones.

    `configs` are Kafka's settings of every new topic, beside its retention. Partitions and settings of
    existing topics are left alone. Raises KafkaError when the cluster is away or refuses a topic,
    TimeoutError when leaders are not elected in time.
    """
    admin = await _admin(settings)
    try:
        missing = await _missing(admin, topics)
        answer = await admin.create_topics(
            [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    replication_factor,
                    topic_configs=topic_configs(topic) | dict(configs or {}),
                )
                for topic in missing
            ]
        )
        for name, code, *reason in answer.topic_errors:
            _raise_for(name, code, reason[0] if reason else None)
        async with asyncio.timeout(_READY_SECONDS):
            while not await _led(admin, topics):  # noqa: ASYNC110 - the broker sends no event to wait for
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    return [topic.name for topic in missing]


async def differences(settings: TopicSettings, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Return a line for each way in which the cluster's topics are not as `topics` and `settings` say.

    Raises KafkaError when the cluster is away.
    """
    admin = await _admin(settings)
    try:
        described = {topic["topic"]: topic for topic in await admin.describe_topics()}
        there = [topic for topic in topics if topic.name in described]
        configs = await _configs(admin, there)
    finally:
        await admin.close()
    lines = [f"{topic.name}: is missing" for topic in topics if topic.name not in described]
    for topic in there:
        partitions = described[topic.name]["partitions"]
        actual = configs[topic.name] | {
            "partitions": str(len(partitions)),
            "replication": str(min(len(partition["replicas"]) for partition in partitions)),
        }
        wanted = topic_configs(topic) | settings.topic_configs
        wanted |= {"partitions": str(topic.partitions), "replication": str(settings.topic_replication)}
        lines += [
            f"{topic.name}: {name} is {actual.get(name)}, not {value}"
            for name, value in wanted.items()
            if actual.get(name) != value
        ]
    return lines


def topic_configs(topic: Topic) -> dict[str, str]:
    """Return Kafka's topic settings (`retention.ms` in milliseconds, -1 for ever) of `topic`."""
    retention = -1 if topic.retention is None else topic.retention // timedelta(milliseconds=1)
    policy = "compact" if topic.compact else "delete"
    return {"cleanup.policy": policy, "retention.ms": str(retention)}


async def _admin(settings: Settings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers, request_timeout_ms=20_000)
    try:
        await admin.start()
    except BaseException:
        await admin.close()
        raise
    return admin


async def _missing(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> list[Topic]:
    existing = set(await admin.list_topics())
    return [topic for topic in topics if topic.name not in existing]


async def _configs(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, dict[str, str]]:
    """Return Kafka's settings of `topics` by name, defaults included."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    answers: list[Any] = await admin.describe_configs(resources) if resources else []
    found = {}
    for answer in answers:
        for code, reason, _, name, entries in answer.resources:
            _raise_for(name, code, reason)
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _raise_for(name: str, code: int, reason: str | None) -> None:
    if code in {0, TopicAlreadyExistsError.errno}:
        return
    error: type[KafkaError] = for_code(code)
    message = f"topic {name}: {reason or error.__name__}"
    raise error(message)


async def _led(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> bool:
    described = await admin.describe_topics([topic.name for topic in topics])
    led = {
        topic["topic"]
        for topic in described
        if topic["error_code"] == 0 and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }
    return led >= {topic.name for topic in topics}


async def _create(settings: TopicSettings) -> list[str]:
    return await create_topics(
        settings, replication_factor=settings.topic_replication, configs=settings.topic_configs
    )


async def _command(settings: TopicSettings, *, check: bool) -> int:
    """Try until the deadline: brokers of a new cluster come one after another."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.topic_wait_seconds
    while True:
        try:
            async with asyncio.timeout_at(max(deadline, loop.time() + 1)):
                created = [] if check else await _create(settings)
                differing = await differences(settings)
        except (KafkaError, OSError) as error:
            if loop.time() > deadline:
                sys.stderr.write(
                    f"error: Kafka at {settings.kafka_bootstrap_servers} could not be used within "
                    f"{settings.topic_wait_seconds:g} s: {_reason(error)}\n"
                )
                return 1
            await asyncio.sleep(0.5)
        else:
            return _report(created, differing, check=check)


def _reason(error: Exception) -> str:
    if isinstance(error, KafkaConnectionError):
        return "no broker answers"  # its text lists addresses as Python sees them
    return str(error) or type(error).__name__


def _report(created: Sequence[str], differing: Sequence[str], *, check: bool) -> int:
    for name in created:
        sys.stdout.write(f"{name}: created\n")
    for line in differing:
        sys.stdout.write(f"{line}\n")
    if differing and not check:
        sys.stdout.write("what exists is left as it is; Kafka's own tools change it\n")
    sys.stdout.write(f"{len(TOPICS)} topics, {len(created)} created, {len(differing)} differences\n")
    return 1 if differing and check else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write(_USAGE)
        return 2
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each failed try; we tell the last
    try:
        settings = TopicSettings()
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            where = ".".join(map(str, problem["loc"])).upper()
            sys.stderr.write(f"error: {where}: {problem['msg']}\n".replace("error: : ", "error: "))
        return 2
    return asyncio.run(_command(settings, check=bool(arguments)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
