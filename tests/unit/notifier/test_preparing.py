"""Files are held in memory only as far as there is room, and requests outlast neither lease nor patience."""

import asyncio

import pytest
from pydantic import ValidationError

from services.notifier.channels import Refused
from services.notifier.preparing import Preparing, Room
from services.notifier.settings import NotifierSettings


async def test_who_asks_first_gets_room_first_and_who_left_the_line_none() -> None:
    room, served = Room(10), []

    async def take(name: str, size: int) -> None:
        await room.take(size)
        served.append(name)

    await room.take(8)
    waiting = [
        asyncio.create_task(take(name, size)) for name, size in (("big", 9), ("gone", 5), ("small", 1))
    ]
    await asyncio.sleep(0)
    assert served == []
    waiting[1].cancel()
    room.give(8)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert served == ["big", "small"]
    room.give(10)
    await asyncio.wait_for(room.take(10), 1)


async def test_who_is_cancelled_at_the_head_of_the_line_lets_the_next_in() -> None:
    room = Room(10)
    await room.take(5)
    first, second = (asyncio.create_task(room.take(size)) for size in (9, 5))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 1)


async def test_who_is_cancelled_just_when_served_gives_it_back() -> None:
    room = Room(10)
    await room.take(10)
    task = asyncio.create_task(room.take(10))
    await asyncio.sleep(0)
    room.give(10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(room.take(10), 1)


async def test_a_message_holds_its_room_until_its_end_and_never_more_than_it_may() -> None:
    room = Room(10)
    preparing = Preparing(room, 8, 1, 1)
    async with preparing.limited():
        with preparing():
            await preparing.room(8)
        waits = asyncio.create_task(room.take(5))
        await asyncio.sleep(0.01)
        assert not waits.done()
        with pytest.raises(Refused):
            await preparing.room(1)
    await asyncio.wait_for(waits, 1)


async def test_waiting_for_room_ends_with_the_time_for_files() -> None:
    room = Room(10)
    await room.take(10)
    preparing = Preparing(room, 8, 0.05, 60)

    async def prepare() -> None:
        async with preparing.limited():
            with preparing():
                await preparing.room(8)

    with pytest.raises(TimeoutError):
        await prepare()
    assert preparing.under_way
    room.give(10)
    await asyncio.wait_for(room.take(10), 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"send_lease_seconds": 70, "send_timeout_seconds": 10, "files_timeout_seconds": 60},
        {"files_most_bytes": 2, "files_at_once_bytes": 1},
    ],
)
def test_a_lease_outlasts_files_and_request_and_the_largest_message_has_room(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="must"):
        NotifierSettings(**wrong)  # type: ignore[arg-type]
