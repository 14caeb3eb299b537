"""The list of erasures: each service takes each one, in its time, until all is done."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.erasures import AGAIN, Erasure, Erasures
from services.chassis.keys import CACHE_SECONDS
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ONE = Erasure("c1", ("c0", "c1"), NOW, ("visitor-1",))


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def shared(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "files")
    yield found
    await found.client.close()


async def test_each_service_does_it_at_once_and_again_and_then_the_visitors_are_forgotten(
    shared: Database,
) -> None:
    clock = Clock()
    erasures, done = Erasures(shared, clock), list[tuple[str, int]]()
    await erasures.prepare("ingest")
    await erasures.begin(ONE, ["ingest", "notifier"])
    await erasures.begin(Erasure("c1", ("other",), NOW), ["ingest"])

    for _ in range(len(AGAIN) + 2):
        for service in ("ingest", "notifier"):

            async def erase(erasure: Erasure, service: str = service) -> None:
                assert (erasure.homes, erasure.visitors) == (ONE.homes, ONE.visitors)
                done.append((service, erasure.passes))

            await erasures.carry_out(service, erase)
            await erasures.carry_out(service, erase)
        clock.now += max(AGAIN)
    assert sorted(done) == sorted((s, n) for s in ("ingest", "notifier") for n in range(len(AGAIN) + 1))
    row = await shared["erasures"].find_one({"_id": "c1"})
    assert row is not None
    assert (row["visitors"], row["due"]) == ([], {})


async def test_one_that_fails_comes_up_again_after_its_lease(shared: Database) -> None:
    clock = Clock()
    erasures, tries = Erasures(shared, clock, again=()), list[datetime]()
    await erasures.begin(ONE, ["ingest"])

    async def erase(_: Erasure) -> None:
        tries.append(clock.now)
        if len(tries) == 1:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await erasures.carry_out("ingest", erase)
    assert await erasures.carry_out("ingest", erase) == 0
    clock.now += timedelta(seconds=31)
    assert await erasures.carry_out("ingest", erase) == 1
    assert await erasures.carry_out("ingest", erase) == 0


async def test_those_since_a_moment_are_told_to_whoever_has_them_in_memory(shared: Database) -> None:
    erasures = Erasures(shared, lambda: NOW)
    await erasures.begin(ONE, ["ingest"])
    assert [each.customer_id for each in await erasures.since(NOW)] == ["c1"]
    assert await erasures.since(NOW + timedelta(seconds=1)) == []


def test_the_second_time_comes_when_no_key_is_in_memory_and_before_what_is_promised() -> None:
    assert CACHE_SECONDS < AGAIN[0].total_seconds() < 30
