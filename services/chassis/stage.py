"""Runs a consumer: batches from Kafka, a fate for each record, offsets committed after their effects.

The stage decodes, retries what is a fault of ours while partitions are paused and polling goes on,
isolates and dead-letters what fails by itself, halts when nearly everything fails, and commits explicit
offsets once per batch. While many records fail it holds dead letters and commits back, and goes on.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from services.chassis import metrics
from services.chassis.assignment import Assignment, put_back
from services.chassis.broker import Publisher, Subscription
from services.chassis.clock import Clock, utc_now
from services.chassis.deadletters.letter import Failure, Record, dead_letter, meant_for
from services.chassis.delivery import (
    DUPLICATE,
    ERASED,
    HANDLED,
    Consumer,
    Delivery,
    Outcome,
    Refused,
)
from services.chassis.faults import is_transient
from services.chassis.halting import HaltRule
from services.chassis.holding import Failed, HeldBack
from services.chassis.logging import log
from services.chassis.progress import Progress
from services.chassis.sealing import Seals, Unopened
from services.chassis.settings import Settings

DEAD_LETTERED = "dead_lettered"
ATTEMPTS = 3
"""Tries of a record that fails by itself before it is dead-lettered."""
_POLL_MS = 250
_REBALANCE_PAUSE = 0.02
_BACKOFF_FIRST, _BACKOFF_MOST = 0.1, 5.0
_COMMIT_SECONDS = 10.0

T = TypeVar("T")
_FOR_OTHERS = "for_others"
"""Outcome of a record that was published again for another group."""


class _AbandonedError(Exception):
    """The batch is given up uncommitted: its partitions go elsewhere, or we stop."""


@dataclass
class Stage(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """Runs one Consumer."""

    consumer: Consumer
    settings: Settings
    publisher: Publisher
    clock: Clock = utc_now
    seals: Seals | None = None
    """Opens what is sealed; for topics that are not, none is needed."""
    connected: bool = False
    halted: bool = False
    progress: Progress = field(default_factory=Progress)
    retrying_since: float | None = None
    """`time.monotonic()` of the first failed try of the batch at hand."""
    _kafka: AIOKafkaConsumer | None = None
    _working: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _batch_generation: int = 0

    def __post_init__(self) -> None:
        self._names = (self.consumer.group, self.consumer.topic.name)
        self._validate = self.consumer.topic.adapter.validate_json
        self._rule = HaltRule()
        self.assignment = Assignment(*self._names)
        self.progress.seen = self.assignment.note_lag
        metrics.HALTED.labels(*self._names).set(0)
        for outcome in (HANDLED, DUPLICATE, DEAD_LETTERED):
            metrics.OUTCOMES.labels(*self._names, outcome)  # a counter that is born at 1 shows no increase
        self._held = HeldBack(self.settings.suspicion_seconds)
        self._ends: dict[TopicPartition, int] = {}
        """Up to where records were handled or failed, where that is not committed yet."""

    # --- what others ask ------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """`ok`, or why the consumer is not ready."""
        if self.halted:
            return "halted: most records failed"
        if not self.connected:
            return "not connected"
        waited = time.monotonic() - self.retrying_since if self.retrying_since is not None else 0.0
        return (
            f"one batch has been retried for {waited:.0f} s"
            if waited > self.settings.retrying_seconds
            else "ok"
        )

    @property
    def _outlived(self) -> bool:
        """The assignment that the batch at hand belongs to is over."""
        return self.assignment.generation != self._batch_generation

    # --- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Consume until `stop`; connects again after any failure."""
        attempt = 0
        while not self._stopping.is_set():
            self.progress.came_round()
            subscription = Subscription(
                self.settings,
                f"{self.consumer.group}-{self.consumer.topic.name}",
                [self.consumer.topic],
                group=self.consumer.group,
                listener=self,
            )
            try:
                self._kafka = await subscription.start()
                self.connected = True
                attempt = 0
                await self._consume(self._kafka)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning(
                    "consumer_disconnected",
                    group=self._names[0],
                    topic=self._names[1],
                    error=type(error).__name__,
                )
            finally:
                self.connected = False
                self.assignment.release()
                self.progress.came_round()
                await subscription.stop()
            await self._sleep(_backoff(attempt))
            attempt += 1

    async def stop(self) -> None:
        """Stop polling; the batch in flight is finished and committed, or given up if it cannot be."""
        self._stopping.set()
        async with self._working:
            pass

    async def _consume(self, kafka: AIOKafkaConsumer) -> None:
        watcher = asyncio.create_task(self.progress.watch(kafka, self._working.locked))
        try:
            while not self._stopping.is_set():
                self.progress.came_round()
                if self.assignment.changing:
                    await asyncio.sleep(_REBALANCE_PAUSE)
                    continue
                polled = await kafka.getmany(timeout_ms=_POLL_MS, max_records=self.consumer.max_records)
                self.progress.came_round()
                if polled or self._held.due(time.monotonic(), suspicious=self._rule.suspicious):
                    async with self._working:
                        await self._process_or_abandon(kafka, polled)
                self.assignment.note_progress(kafka)
        finally:
            watcher.cancel()

    # --- one batch ------------------------------------------------------------------------------

    async def _process_or_abandon(
        self, kafka: AIOKafkaConsumer, polled: Mapping[TopicPartition, list[Record]]
    ) -> None:
        self._batch_generation = self.assignment.generation
        self.retrying_since = None
        try:
            if self.halted:
                await self._halt(kafka)
            await self._process(kafka, polled)
        except _AbandonedError:
            log.info("batch_abandoned", group=self._names[0], topic=self._names[1])
            put_back(kafka, polled)
        self.retrying_since = None

    async def _process(self, kafka: AIOKafkaConsumer, polled: Mapping[TopicPartition, list[Record]]) -> None:
        if self.assignment.changing:
            raise _AbandonedError
        started = time.monotonic()
        records = [record for of_partition in polled.values() for record in of_partition]
        metrics.CONSUMED.labels(*self._names).inc(len(records))
        fates, whose = await self._decide(kafka, records)
        if self._rule.trips(zip(map(_failed, fates), whose, strict=True)):
            await self._halt(kafka)
        if self._outlived:
            raise _AbandonedError  # drained for too long: others have its partitions by now
        for record, fate in zip(records, fates, strict=True):
            if isinstance(fate, Failure):
                self._held.failed.append(Failed(record, fate, time.monotonic()))
        for outcome, number in Counter(fate for fate in fates if not isinstance(fate, Failure)).items():
            metrics.OUTCOMES.labels(*self._names, outcome).inc(number)
        self._ends |= {tp: of_partition[-1].offset + 1 for tp, of_partition in polled.items()}
        await self._settle(kafka)
        metrics.BATCH_RECORDS.labels(*self._names).observe(len(records))
        metrics.BATCH_SECONDS.labels(*self._names).observe(time.monotonic() - started)

    async def _settle(self, kafka: AIOKafkaConsumer) -> None:
        """Dead-letter what need not wait, then commit up to what still does."""
        due = self._held.due(time.monotonic(), suspicious=self._rule.suspicious)
        if due:
            letters = [
                dead_letter(self.consumer.group, each.record, each.failure, self.clock()) for each in due
            ]
            await self._persist(kafka, lambda: self.publisher.publish(letters))
            self._held.forget(due)
            metrics.OUTCOMES.labels(*self._names, DEAD_LETTERED).inc(len(due))
        offsets = self._held.below(self._ends)
        await self._commit(kafka, offsets)
        self._ends = {tp: end for tp, end in self._ends.items() if end != offsets[tp]}

    async def _decide(
        self, kafka: AIOKafkaConsumer, records: Sequence[Record]
    ) -> tuple[list[Failure | str], list[object]]:
        """Return what becomes of each record, and whose it is."""
        opened = await self._opened(kafka, records)
        decoded = [self._decode(record, value) for record, value in zip(records, opened, strict=True)]
        whose = [_subject(item) or record.key for item, record in zip(decoded, records, strict=True)]
        batch = [(item, who) for item, who in zip(decoded, whose, strict=True) if isinstance(item, Delivery)]
        handled = iter(await self._handle(kafka, batch) if batch else ())
        fates = [next(handled) if isinstance(item, Delivery) else item for item in decoded]
        return fates, whose

    async def _opened(self, kafka: AIOKafkaConsumer, records: Sequence[Record]) -> Sequence[bytes | Unopened]:
        """Return the records' values as they were before they were sealed."""
        values = [record.value or b"" for record in records]
        seals = self.seals
        if seals is None or not self.consumer.topic.sealed:
            return values
        wanted = [self.consumer.only in value for value in values]
        sealed = [(self.consumer.topic.name, value) for value, one in zip(values, wanted, strict=True) if one]
        opened = iter(await self._persist(kafka, lambda: seals.open(sealed)))
        return [next(opened) if one else value for value, one in zip(values, wanted, strict=True)]

    def _decode(self, record: Record, value: bytes | Unopened) -> Delivery | Failure | str:
        if not meant_for(record, self.consumer.group):
            return _FOR_OTHERS
        if value is Unopened.ERASED:
            return ERASED
        if isinstance(value, Unopened):
            return Failure("undecodable:BrokenSeal", 1)
        if self.consumer.only not in value:
            return HANDLED
        try:
            message = self._validate(value)
        except (ValidationError, ValueError, RecursionError) as error:
            return Failure(f"undecodable:{type(error).__name__}", 1)
        return Delivery(record.topic, record.partition, record.offset, message)

    async def _handle(
        self, kafka: AIOKafkaConsumer, batch: Sequence[tuple[Delivery, object]]
    ) -> list[Failure | str]:
        """The whole batch at once; one by one only when something in it fails by itself."""
        try:
            outcomes = await self._persist(
                kafka, lambda: self.consumer.handle([delivery for delivery, _ in batch])
            )
        except _AbandonedError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a handler raises must get a fate)
            log.warning(
                "batch_isolated",
                group=self._names[0],
                topic=self._names[1],
                error=type(error).__name__,
                exc_info=error,
            )
            return await self._isolate(kafka, batch)
        return [_fate(outcome) for outcome in outcomes]

    async def _isolate(
        self, kafka: AIOKafkaConsumer, batch: Sequence[tuple[Delivery, object]]
    ) -> list[Failure | str]:
        """One by one, no longer than until it is clear that the deployment is at fault."""
        fates: list[Failure | str] = []
        ahead = self._rule.copy()
        for delivery, who in batch:
            fates.append(await self._handle_one(kafka, delivery))
            if ahead.trips([(_failed(fates[-1]), who)]):
                await self._halt(kafka)
        return fates

    async def _handle_one(self, kafka: AIOKafkaConsumer, delivery: Delivery) -> Failure | str:
        attempt = 0
        while True:
            attempt += 1
            try:
                return _fate((await self._persist(kafka, lambda: self.consumer.handle([delivery])))[0])
            except _AbandonedError:
                raise
            except Exception as error:  # noqa: BLE001  (whatever a handler raises must get a fate)
                if attempt == ATTEMPTS:
                    self._report(delivery, error)
                    return Failure(type(error).__name__, attempt)
            await self._rest(kafka, attempt)

    def _report(self, delivery: Delivery, error: Exception) -> None:
        log.error(
            "record_failed",
            group=self._names[0],
            topic=delivery.topic,
            partition=delivery.partition,
            offset=delivery.offset,
            correlation=str(getattr(delivery.message, "correlation", "")),
            exc_info=error,
        )

    async def _persist(self, kafka: AIOKafkaConsumer, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` until no fault of ours stops it; partitions are paused between the tries."""
        attempt = 0
        while True:
            try:
                return await work()
            except Exception as error:
                if not is_transient(error):
                    raise
                self.retrying_since = self.retrying_since or time.monotonic()
                metrics.RETRIES.labels(*self._names, type(error).__name__).inc()
                log.warning(
                    "batch_retried",
                    group=self._names[0],
                    topic=self._names[1],
                    error=type(error).__name__,
                    attempt=attempt,
                )
                await self._rest(kafka, attempt)
                attempt += 1

    async def _rest(self, kafka: AIOKafkaConsumer, attempt: int) -> None:
        """Wait before another try: paused, but polling, so that the group keeps us."""
        deadline = time.monotonic() + _backoff(attempt)
        while True:
            if self._stopping.is_set() or self.assignment.changing or self._outlived:
                raise _AbandonedError
            await self._poll_paused(kafka)
            self.progress.came_round()
            if time.monotonic() >= deadline:
                return

    async def _poll_paused(self, kafka: AIOKafkaConsumer) -> None:
        try:
            paused = kafka.assignment()
            kafka.pause(*paused)
            try:
                unwanted = await kafka.getmany(timeout_ms=50)
            finally:
                kafka.resume(*(paused & kafka.assignment()))
            put_back(kafka, unwanted)  # of partitions that came while we waited
        except KafkaError:
            await asyncio.sleep(0.05)  # the broker is away too; that is no failure of the record at hand

    async def _commit(self, kafka: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        for attempt in range(3):
            try:
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await kafka.commit(offsets)
            except (KafkaError, TimeoutError) as error:
                # the records come again and are duplicates then
                metrics.COMMIT_FAILURES.labels(*self._names, type(error).__name__).inc()
                if (
                    self.assignment.changing
                    or self._stopping.is_set()
                    or not getattr(error, "retriable", False)
                ):
                    return
                await asyncio.sleep(_backoff(attempt))
            else:
                return

    async def _halt(self, kafka: AIOKafkaConsumer) -> None:
        """Stop handling, keep the partitions: passing them on would only spread a bad deploy."""
        self.halted = True
        metrics.HALTED.labels(*self._names).set(1)
        log.error("consumer_halted", group=self._names[0], topic=self._names[1])
        while True:
            await self._rest(kafka, attempt=5)

    # --- rebalances -----------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Drain the batch in flight before others get its partitions."""
        self.assignment.changing = True
        gone = frozenset(tp.partition for tp in revoked)
        try:
            async with asyncio.timeout(self.settings.drain_timeout_seconds), self._working:
                pass
        except TimeoutError:
            log.warning("drain_timed_out", group=self._names[0], topic=self._names[1])
        self.assignment.release()
        if self.consumer.on_revoked and gone:
            await self.consumer.on_revoked(gone)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Take over."""
        metrics.REBALANCES.labels(*self._names).inc()
        partitions = frozenset(tp.partition for tp in assigned)
        if self.consumer.on_assigned:
            await self.consumer.on_assigned(partitions)
        self._held.failed.clear()  # uncommitted: they are read again, here or elsewhere
        self._ends.clear()
        self.assignment.take(partitions)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _failed(fate: Failure | str) -> bool:
    return isinstance(fate, Failure)


def _subject(decoded: Delivery | Failure | str) -> object:
    """Whose record it is: not every topic is keyed by that."""
    if not isinstance(decoded, Delivery):
        return None
    message = decoded.message
    data = getattr(message, "data", None)
    return message.customer_id or getattr(data, "conversation_id", None) or getattr(data, "agent", None)


def _fate(outcome: Outcome) -> Failure | str:
    return (
        Failure(type(outcome).__name__ + ":" + str(outcome), 1) if isinstance(outcome, Refused) else outcome
    )


def _backoff(attempt: int) -> float:
    """Full-jitter exponential backoff, in seconds."""
    ceiling = min(_BACKOFF_MOST, _BACKOFF_FIRST * float(2 ** min(attempt, 10)))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311  (jitter, not a secret)
