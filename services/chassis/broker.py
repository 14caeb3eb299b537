"""Kafka: publishing with acknowledgement, and subscriptions for the delivery core.

FastStream builds the consumers and their life cycle. The loop that polls is ours (`stage.py`): its own
acknowledgement policies cannot give each record of a batch a fate of its own. The producer is aiokafka's
own: FastStream's way to it takes longer than the producer does, and adds headers that nobody reads.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
)
from aiokafka.partitioner import murmur2
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from prometheus_client import Counter

from schemas.topics import PARTITIONS, TOPICS, Topic
from services.chassis import metrics
from services.chassis.faults import BrokerUnavailable, RecordTooLarge
from services.chassis.logging import log
from services.chassis.settings import Settings
from services.chassis.time_limit import Limit

_BROKEN_PRODUCER = (
    OutOfOrderSequenceNumber,
    InvalidProducerEpoch,
    ProducerFenced,
    ProducerClosed,
    IllegalOperation,
)
"""After these an idempotent producer never recovers; a new one must take its place."""

_CLOSE_SECONDS = 5.0

MAX_RECORD_BYTES = 1_000_000
"""Largest value we ask a broker to take, below its default of 1,048,588 bytes with key and headers;
contents above 256 kB go to the blob store before."""


MOST_UNSEALED_BYTES = 850_000
"""The same of a record that is still to be sealed: sealed, text grows by an eighth at most."""
_SEALED = frozenset(topic.name for topic in TOPICS if topic.sealed)


def most_bytes(topic: str) -> int:
    """Return the largest value of a record of `topic` that `publish` takes."""
    return MOST_UNSEALED_BYTES if topic in _SEALED else MAX_RECORD_BYTES


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish. Records of one key keep their order."""

    topic: str
    key: str
    value: bytes


class Sealing(Protocol):
    """Encrypts personal parts before they leave."""

    async def seal(self, batch: Sequence[Outgoing]) -> list[Outgoing]:
        """Return the batch as it goes out, without what is of erased Customers."""


class Publisher(Protocol):
    """What handlers publish through."""

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Publish all of `batch`, acknowledged by all in-sync replicas.

        Raises BrokerUnavailable unless every record was acknowledged; some may have been. Raises
        RecordTooLarge, and publishes nothing, when a record can never be taken.
        """


def partition_of(key: str, partitions: int = PARTITIONS) -> int:
    """Return the partition Kafka's default partitioner gives `key` (murmur2, as the Java client)."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)


class KafkaPublisher:
    """Publishes through one idempotent producer; replaces it when it is beyond recovery.

    With `seals` personal parts go out sealed; services whose topics are never sealed need none.
    """

    def __init__(self, settings: Settings, client_id: str, seals: Sealing | None = None) -> None:
        self._settings = settings
        self._client_id = client_id
        self._seals = seals
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._limit = Limit(settings.publish_timeout_seconds)

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Publish `batch`; see Publisher."""
        if any(len(record.value) > most_bytes(record.topic) for record in batch):
            raise RecordTooLarge
        if self._seals is not None:
            batch = await self._seals.seal(batch)
        if not batch:
            return
        try:
            producer, results = await self._limit.on(self._sent(batch))
        except (TimeoutError, KafkaError, OSError) as error:
            metrics.PUBLISH_FAILURES.labels(error=type(error).__name__).inc()
            raise BrokerUnavailable(type(error).__name__) from error
        failures = [result for result in results if isinstance(result, BaseException)]
        for record, result in zip(batch, results, strict=False):
            if not isinstance(result, BaseException):
                _published(record.topic).inc()
        if failures:
            await self._give_up(producer, failures[0])

    async def _sent(self, batch: Sequence[Outgoing]) -> tuple[AIOKafkaProducer, list[Any]]:
        producer = self._producer or await self._connected()
        return producer, await _send(producer, batch)

    async def _give_up(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        metrics.PUBLISH_FAILURES.labels(error=type(error).__name__).inc()
        in_use = producer is self._producer
        if in_use and (isinstance(error, _BROKEN_PRODUCER) or _sender_ended(producer)):
            log.error("producer_replaced", error=type(error).__name__)
            self._producer = None
            await producer.stop()
        raise BrokerUnavailable(type(error).__name__) from error

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                await _reach(self._settings)
                producer = _made_producer(self._settings, self._client_id)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def check(self) -> None:
        """Raise unless the broker answers and has every topic."""
        producer = self._producer or await self._connected()
        metadata = await asyncio.wait_for(producer.client.fetch_all_metadata(), 2)
        missing = {topic.name for topic in TOPICS} - set(metadata.topics())
        if missing:
            raise BrokerUnavailable("missing topics: " + ", ".join(sorted(missing)))

    async def stop(self) -> None:
        """Flush and close."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None


@cache
def _published(topic: str) -> Counter:
    return metrics.PUBLISHED.labels(topic)


async def _send(producer: AIOKafkaProducer, batch: Sequence[Outgoing]) -> list[Any]:
    """Return each record's acknowledgement or error; an error of the producer itself comes last."""
    futures: list[asyncio.Future[Any]] = []
    try:
        for record in batch:
            futures.append(  # noqa: PERF401  (a failed send must leave the earlier ones awaited)
                await producer.send(record.topic, record.value, record.key.encode())
            )
        if len(futures) == 1:  # nothing to gather: a webhook is one record, and there are many
            return [await futures[0]]
    except KafkaError as error:
        return [*await asyncio.gather(*futures, return_exceptions=True), error]
    return list(await asyncio.gather(*futures, return_exceptions=True))


class Subscription:
    """A consumer without automatic anything; `kafka` is aiokafka's own once started."""

    def __init__(
        self,
        settings: Settings,
        client_id: str,
        topics: Sequence[Topic],
        *,
        group: str | None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        self._settings = settings
        rebalance_ms = int((settings.drain_timeout_seconds + 10) * 1000)
        # a JoinGroup is answered only when all members have drained, so requests may last longer than that
        self._broker = _consuming_broker(settings, client_id, rebalance_ms + 10_000)
        options: dict[str, Any] = {}
        if listener is not None:
            options["listener"] = listener
        self._subscriber = self._broker.subscriber(
            *(topic.name for topic in topics),
            group_id=group,
            auto_offset_reset="earliest" if group else "latest",
            ack_policy=AckPolicy.MANUAL,
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_seconds * 100),
            rebalance_timeout_ms=rebalance_ms,
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=250,
            **options,
        )

    async def start(self) -> AIOKafkaConsumer:
        """Connect and return the consumer. Raises KafkaError or OSError when no broker answers."""
        await _reach(self._settings)
        await self._broker.start()
        consumer = self._subscriber.consumer
        assert consumer is not None  # noqa: S101  (FastStream's contract after start)
        return consumer

    async def stop(self) -> None:
        """Leave the group and close; a broker that does not answer is not waited for."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._broker.stop()
        except TimeoutError:
            log.warning("close_timed_out")


def _sender_ended(producer: AIOKafkaProducer) -> bool:
    """Return whether aiokafka's sender is gone: then nothing is ever sent again, whatever the error said."""
    sender: Any = getattr(producer, "_sender", None)
    task = getattr(sender, "_sender_task", None)
    return task is not None and bool(task.done())


async def _reach(settings: Settings) -> None:
    """Raise OSError unless some broker takes a connection.

    A client whose start fails is left unclosed by FastStream; while Kafka is away none is made.
    """
    failure: OSError = ConnectionError("no bootstrap server is configured")
    for server in settings.kafka_bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError as error:
            failure = error
            continue
        writer.close()
        return
    raise failure


def _made_producer(settings: Settings, client_id: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers.split(","),
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=2,
        max_request_size=MAX_RECORD_BYTES + 40_000,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
        metadata_max_age_ms=30_000,
    )


def _consuming_broker(settings: Settings, client_id: str, request_timeout_ms: int) -> KafkaBroker:
    return KafkaBroker(
        settings.kafka_bootstrap_servers.split(","),
        client_id=client_id,
        consumer_only=True,
        allow_auto_create_topics=False,
        request_timeout_ms=request_timeout_ms,
        retry_backoff_ms=100,
        metadata_max_age_ms=30_000,
        logger=None,
    )
