"""The limit that many pieces of work share: as `asyncio.timeout`, for each of them."""

import asyncio
import time

import pytest

from services.chassis.time_limit import Limit


async def test_what_is_in_time_is_returned_and_what_it_raises_is_raised() -> None:
    limit = Limit(5)

    async def fails() -> None:
        raise LookupError

    assert await limit.on(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(LookupError):
        await limit.on(fails())


async def test_what_takes_too_long_is_cancelled_and_its_task_goes_on() -> None:
    limit, ended = Limit(0.05), list[str]()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(TimeoutError):
        await limit.on(endless())
    assert ended == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await limit.on(asyncio.sleep(0, "again")) == "again"


async def test_each_has_its_own_time_however_many_begin_and_end_meanwhile() -> None:
    limit = Limit(0.2)

    async def took() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await limit.on(asyncio.Event().wait())
        return time.monotonic() - began

    late = []
    for _ in range(5):
        late.append(asyncio.create_task(took()))
        await limit.on(asyncio.sleep(0.03))
    for seconds in await asyncio.gather(*late):
        assert 0.19 < seconds < 1


async def test_a_cancellation_from_outside_stays_one() -> None:
    limit = Limit(5)
    task = asyncio.create_task(limit.on(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_outside_in_the_same_moment_is_not_lost() -> None:
    limit = Limit(0.01)
    task = asyncio.create_task(limit.on(asyncio.Event().wait()))
    await asyncio.sleep(0)
    time.sleep(0.02)  # noqa: ASYNC251  (the timer is due; before it can run, the task is cancelled)
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises((asyncio.CancelledError, TimeoutError)) as ended:
        await task
    assert ended.type is asyncio.CancelledError or task.cancelling() == 0
