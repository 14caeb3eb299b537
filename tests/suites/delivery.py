"""What the delivery core promises, written once and run on every Kafka.

A subclass gives the fixture `bootstrap`: the address of a broker that has Parley's topics.
"""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import ids
from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryData, DeliveryReported
from schemas.topics import DEADLETTERS, MESSAGES_DELIVERY, PARTITIONS
from services.chassis import metrics
from services.chassis.broker import KafkaPublisher, Outgoing, partition_of
from services.chassis.delivery import HANDLED, Consumer, Delivery, Outcome, Refused
from services.chassis.settings import Settings
from services.chassis.stage import Stage

TOPIC = MESSAGES_DELIVERY
WAIT = 30.0


async def until(condition: Callable[[], object], seconds: float = WAIT) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def record(key: str, number: int) -> Outgoing:
    own = ids.derive("test", key, number, uuid4())
    data = DeliveryData(
        provider="twilio-sms",
        account=key,
        provider_message_id=str(number),
        status=DeliveryStatus.SENT,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    event = DeliveryReported(id=own, occurred_at=data.at, correlation=own, data=data)
    return Outgoing(TOPIC.name, key, event.json_bytes())


def lags(group: str) -> dict[str, float]:
    """Return the lag that is shown of each partition."""
    samples = [sample for family in metrics.LAG.collect() for sample in family.samples]
    return {one.labels["partition"]: one.value for one in samples if one.labels["group"] == group}


@dataclass
class Recorder:
    """A handler that remembers, per key, the numbers it was given, in order."""

    mark: str
    behave: Callable[[str, int], Awaitable[Outcome]] | None = None
    seen: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    batches: int = 0

    async def __call__(self, batch: Sequence[Delivery]) -> list[Outcome]:
        self.batches += 1
        outcomes: list[Outcome] = []
        effects: list[tuple[str, int]] = []
        for delivery in batch:
            key, number = delivery.message.data.account, int(delivery.message.data.provider_message_id)
            if not key.startswith(self.mark):
                outcomes.append(HANDLED)
                continue
            outcomes.append(await self.behave(key, number) if self.behave else HANDLED)
            effects.append((key, number))
        for key, number in effects:
            if number not in self.seen[key]:  # a batch may come again; what counts is when it came first
                self.seen[key].append(number)
        return outcomes

    @property
    def total(self) -> int:
        return sum(len(numbers) for numbers in self.seen.values())


class DeliverySuite:
    """The tests; each uses a group and keys of its own, so that they can share a topic."""

    @pytest.fixture
    def settings(self, bootstrap: str) -> Settings:
        return Settings(
            kafka_bootstrap_servers=bootstrap,
            session_timeout_seconds=6,
            drain_timeout_seconds=5,
            publish_timeout_seconds=10,
        )

    @pytest.fixture
    async def publisher(self, settings: Settings) -> AsyncIterator[KafkaPublisher]:
        made = KafkaPublisher(settings, "test")
        yield made
        await made.stop()

    @pytest.fixture
    def mark(self) -> str:
        return f"t{uuid4().hex[:10]}-"

    @asynccontextmanager
    async def running(
        self,
        settings: Settings,
        publisher: KafkaPublisher,
        group: str,
        handle: Recorder,
        max_records: int = 200,
        only: bytes = b"",
    ) -> AsyncIterator[Stage]:
        consumer = Consumer(TOPIC, group, handle, max_records=max_records, only=only)
        stage = Stage(consumer, settings, publisher)
        task = asyncio.create_task(stage.run())
        try:
            yield stage
        finally:
            await stage.stop()
            await asyncio.wait_for(task, WAIT)

    async def test_what_comes_while_partitions_are_taken_over_is_handled_afterwards(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        """A broker sends records of new partitions before whoever takes them over has finished."""
        begun, over = asyncio.Event(), asyncio.Event()

        async def take_over(_: object) -> None:
            begun.set()
            await over.wait()

        handle = Recorder(mark)
        await publisher.publish([record(f"{mark}{n % 5}", n) for n in range(100)])
        consumer = Consumer(TOPIC, mark, handle, max_records=10, on_assigned=take_over)
        stage = Stage(consumer, settings, publisher)
        task = asyncio.create_task(stage.run())
        try:
            await asyncio.wait_for(begun.wait(), WAIT)
            await publisher.publish([record(f"{mark}{n % 5}", n) for n in range(100, 200)])
            await asyncio.sleep(0.5)  # nothing tells when a fetch was answered; without this it finds less
            assert handle.total == 0
            over.set()
            await until(lambda: handle.total == 200)
        finally:
            await stage.stop()
            await asyncio.wait_for(task, WAIT)
        assert all(numbers == sorted(numbers) for numbers in handle.seen.values())

    async def committed(self, settings: Settings, group: str) -> dict[int, int]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            offsets = {n: await consumer.committed(TopicPartition(TOPIC.name, n)) for n in range(PARTITIONS)}
            return {number: offset for number, offset in offsets.items() if offset is not None}
        finally:
            await consumer.stop()

    async def ends(self, settings: Settings) -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)
        await consumer.start()
        try:
            tps = [TopicPartition(TOPIC.name, number) for number in range(PARTITIONS)]
            return {tp.partition: offset for tp, offset in (await consumer.end_offsets(tps)).items()}
        finally:
            await consumer.stop()

    # --- the promises ---------------------------------------------------------------------------

    async def test_records_are_handled_in_order_and_committed(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        handle = Recorder(mark)
        await publisher.publish([record(f"{mark}{n % 7}", n) for n in range(500)])
        async with self.running(settings, publisher, mark, handle) as stage:
            await until(lambda: handle.total == 500)
            await until(lambda: stage.assignment.caught_up_to(0) is not None)
            await until(lambda: set(lags(mark).values()) == {0})
            assert set(lags(mark)) == {str(partition) for partition in range(PARTITIONS)}
        assert lags(mark) == {}, "whoever has the partitions next tells their lag"
        assert all(numbers == sorted(numbers) for numbers in handle.seen.values())
        ends = await self.ends(settings)
        assert await self.committed(settings, mark) == {n: end for n, end in ends.items() if end > 0}

    async def test_records_that_are_not_its_business_are_passed_over_and_committed(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        handle = Recorder(mark)
        await publisher.publish([record(f"{mark}{'odd' if n % 2 else 'even'}", n) for n in range(20)])
        async with self.running(settings, publisher, mark, handle, only=f"{mark}odd".encode()):
            await until(lambda: handle.total == 10)
            await until(lambda: lags(mark) and set(lags(mark).values()) == {0})
        assert dict(handle.seen) == {f"{mark}odd": [*range(1, 20, 2)]}
        ends = await self.ends(settings)
        assert await self.committed(settings, mark) == {n: end for n, end in ends.items() if end > 0}

    async def test_a_record_that_fails_by_itself_is_dead_lettered_and_the_others_are_handled(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        async def behave(_: str, number: int) -> Outcome:
            if number == 3:
                return Refused("number three")
            if number == 5:
                raise LookupError
            return HANDLED

        handle = Recorder(mark, behave)
        batch = [record(f"{mark}k", n) for n in range(10)]
        await publisher.publish(
            [*batch[:7], Outgoing(TOPIC.name, f"{mark}k", b'{"not": "ours"}'), *batch[7:]]
        )
        async with self.running(settings, publisher, mark, handle):
            await until(lambda: 9 in handle.seen[f"{mark}k"])
        assert [n for n in handle.seen[f"{mark}k"] if n not in (3, 5)] == [0, 1, 2, 4, 6, 7, 8, 9]
        letters = [
            letter for letter in await self.dead_letters(settings, mark) if letter["key"].startswith(mark)
        ]
        errors = {letter["error_class"].partition(":")[0] for letter in letters}
        assert errors == {"Refused", "LookupError", "undecodable"}
        assert len({letter["offset"] for letter in letters}) == 3
        assert json.dumps(letters).count("not") == 0

    async def dead_letters(self, settings: Settings, group: str) -> list[dict[str, str]]:
        consumer = AIOKafkaConsumer(
            DEADLETTERS.name, bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        found: list[dict[str, str]] = []
        try:
            ends = await consumer.end_offsets(
                [TopicPartition(DEADLETTERS.name, n) for n in range(PARTITIONS)]
            )
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for item in records:
                        letter = json.loads(item.value)
                        key = base64.b64decode(letter["personal"]["key_base64"]).decode()
                        if letter["data"]["group"] == group:
                            found.append({**letter["data"], "key": key})
        finally:
            await consumer.stop()
        return found

    async def test_a_fault_of_ours_is_waited_out_and_nothing_is_lost(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        down = True

        async def behave(_: str, __: int) -> Outcome:
            if down:
                raise ConnectionError
            return HANDLED

        handle = Recorder(mark, behave)
        await publisher.publish([record(f"{mark}{n % 3}", n) for n in range(30)])
        async with self.running(settings, publisher, mark, handle):
            await until(lambda: handle.batches >= 4)
            assert handle.total == 0
            first = await self.first_own(settings, mark)
            committed = await self.committed(settings, mark)
            assert all(offset <= first[number] for number, offset in committed.items())
            down = False
            await until(lambda: handle.total == 30)
        assert all(numbers == sorted(set(numbers)) for numbers in handle.seen.values())

    async def test_a_bad_deploy_halts_before_anything_is_dead_lettered(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        async def behave(_: str, __: int) -> Outcome:
            return Refused("everything fails")

        await publisher.publish([record(f"{mark}{n % 40}", n) for n in range(120)])
        broken = Recorder(mark, behave)
        all_ours = await self.from_here(settings, publisher, mark, broken)
        assert all_ours.halted
        assert await self.dead_letters(settings, mark) == []
        mended = Recorder(mark)
        async with self.running(settings, publisher, mark, mended):
            await until(lambda: mended.total == 120)

    async def test_a_bad_deploy_halts_long_before_all_of_a_large_batch_has_had_its_tries(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        tried: set[int] = set()

        async def behave(_: str, number: int) -> Outcome:
            tried.add(number)
            raise LookupError

        await publisher.publish([record(f"{mark}{n}", n) for n in range(200)])
        stage = await self.from_here(settings, publisher, mark, Recorder(mark, behave))
        assert stage.halted
        assert len(tried) < 100
        assert await self.dead_letters(settings, mark) == []

    async def test_a_bad_deploy_at_a_trickle_halts_before_anything_is_dead_lettered(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        async def behave(_: str, __: int) -> Outcome:
            return Refused("everything fails")

        await publisher.publish([record(f"{mark}{n % 40}", n) for n in range(80)])
        await self.skip_to(settings, mark)
        async with self.running(settings, publisher, mark, Recorder(mark, behave), max_records=1) as stage:
            await until(lambda: stage.halted)
        assert await self.dead_letters(settings, mark) == []
        mended = Recorder(mark)
        async with self.running(settings, publisher, mark, mended):
            await until(lambda: mended.total == 80)
        assert all(numbers == sorted(numbers) for numbers in mended.seen.values())

    async def test_a_failure_that_waited_for_others_in_vain_is_dead_lettered(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        async def behave(_: str, __: int) -> Outcome:
            return Refused("alone")

        await publisher.publish([record(f"{mark}k", 1)])
        await self.skip_to(settings, mark)
        soon = settings.model_copy(update={"suspicion_seconds": 1.0})
        handle = Recorder(mark, behave)
        async with self.running(soon, publisher, mark, handle):
            await until(lambda: handle.total == 1)
            partition = partition_of(f"{mark}k")
            held = (await self.committed(settings, mark))[partition]
            async with asyncio.timeout(WAIT):
                while not await self.dead_letters(settings, mark):
                    await asyncio.sleep(0.1)
                while (await self.committed(settings, mark))[partition] == held:
                    await asyncio.sleep(0.1)

    async def from_here(
        self, settings: Settings, publisher: KafkaPublisher, mark: str, handle: Recorder
    ) -> Stage:
        """Run until it halts. Older records of other tests count as handled, so begin behind them."""
        await self.skip_to(settings, mark)
        async with self.running(settings, publisher, mark, handle) as stage:
            await until(lambda: stage.halted, seconds=90)  # three tries each, with pauses
        return stage

    async def skip_to(self, settings: Settings, mark: str) -> None:
        """Commit each partition at this test's first record."""
        first = await self.first_own(settings, mark)
        async with self.consumer(settings, group_id=mark) as consumer:
            tps = {number: TopicPartition(TOPIC.name, number) for number in first}
            consumer.assign(list(tps.values()))
            await consumer.commit({tps[number]: offset for number, offset in first.items()})

    async def first_own(self, settings: Settings, mark: str) -> dict[int, int]:
        """Return the offset of this test's first record in each partition, or of its end."""
        async with self.consumer(settings, auto_offset_reset="earliest") as consumer:
            tps = [TopicPartition(TOPIC.name, number) for number in range(PARTITIONS)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            first = dict(ends)
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    ours = [item.offset for item in records if item.key.decode().startswith(mark)]
                    first[tp] = min([first[tp], *ours])
            return {tp.partition: offset for tp, offset in first.items()}

    @asynccontextmanager
    async def consumer(self, settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
        made = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap_servers, enable_auto_commit=False, **options
        )
        await made.start()
        try:
            yield made
        finally:
            await made.stop()

    async def test_a_stop_in_a_busy_batch_commits_what_was_finished_and_no_more(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        async def behave(_: str, __: int) -> Outcome:
            await asyncio.sleep(0.005)
            return HANDLED

        await publisher.publish([record(f"{mark}only", n) for n in range(900)])
        handle = Recorder(mark, behave)
        async with self.running(settings, publisher, mark, handle):
            await until(lambda: handle.total > 0)
        partition = partition_of(f"{mark}only")
        ends = await self.ends(settings)
        left = ends[partition] - (await self.committed(settings, mark))[partition]
        assert left == 900 - handle.total > 0
        rest = Recorder(mark)
        async with self.running(settings, publisher, mark, rest):
            await until(lambda: handle.total + rest.total == 900)
        assert handle.seen[f"{mark}only"] + rest.seen[f"{mark}only"] == list(range(900))


class RebalanceSuite(DeliverySuite):
    """What needs a broker that waits for a member to drain; the embedded one moves on after two seconds."""

    async def test_partitions_change_hands_only_after_the_batch_in_flight(
        self, settings: Settings, publisher: KafkaPublisher, mark: str
    ) -> None:
        running = 0
        overlaps: list[str] = []
        busy: dict[str, int] = defaultdict(int)

        async def behave(key: str, _: int) -> Outcome:
            nonlocal running
            busy[key] += 1
            if busy[key] > 1:
                overlaps.append(key)
            await asyncio.sleep(0.02)
            busy[key] -= 1
            return HANDLED

        keys = [f"{mark}{n}" for n in range(24)]
        await publisher.publish([record(keys[n % 24], n) for n in range(480)])
        first, second = Recorder(mark, behave), Recorder(mark, behave)
        async with self.running(settings, publisher, mark, first):
            await until(lambda: first.batches >= 1 and any(busy.values()))
            async with self.running(settings, publisher, mark, second):
                await until(lambda: first.total + second.total >= 480)
        assert overlaps == []
        for number, key in enumerate(keys):
            together = first.seen[key] + second.seen[key]
            assert together == list(range(number, 480, 24))
