"""A consumer that makes no progress is noticed; one that has nothing to do, or waits, is not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from fastapi import APIRouter

from schemas.topics import MESSAGES_DELIVERY
from services.chassis import progress
from services.chassis.broker import KafkaPublisher
from services.chassis.delivery import Consumer, Delivery, Outcome
from services.chassis.mongo import connect
from services.chassis.progress import Progress
from services.chassis.service import Service, build
from services.chassis.settings import Settings

TP = TopicPartition(MESSAGES_DELIVERY.name, 0)


class Client:
    """A Kafka client whose position stands still."""

    def __init__(self, position: int, end: int) -> None:
        self.at, self.end = position, end
        self.away = False

    def assignment(self) -> set[TopicPartition]:
        return {TP}

    async def end_offsets(self, _: object) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError
        return {TP: self.end}

    async def position(self, _: object) -> int:
        return self.at


@asynccontextmanager
async def watched(made: Progress, client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(progress, "STUCK_SECONDS", 0.2)
    task = asyncio.create_task(made.watch(client, lambda: False))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_client_that_is_behind_and_does_not_move_is_not_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[dict[TopicPartition, int]] = []
    made, client = Progress(seen=lambda behind: told.append(dict(behind))), Client(position=3, end=9)
    async with watched(made, client, monkeypatch):
        await until(lambda: not made.alive)
        assert told[-1] == {TP: 6}  # nothing is polled that would tell the lag otherwise
        client.at = 4
        await until(lambda: made.alive)


@pytest.mark.parametrize("client", [Client(9, 9), Client(3, 9)], ids=["nothing to do", "broker away"])
async def test_an_idle_client_and_one_without_a_broker_are_alive(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Progress()
    client.away = client.at != client.end
    async with watched(made, client, monkeypatch):
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert made.alive


def test_a_loop_that_hangs_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = Progress(), [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    assert made.alive
    made.came_round()
    now[0] += 2 * progress.STUCK_SECONDS - 1
    assert made.alive
    now[0] += 1
    assert not made.alive


async def test_livez_names_what_hangs_and_what_failed() -> None:
    settings = Settings()

    async def never(_: list[Delivery]) -> list[Outcome]:
        return []

    service = Service(
        name="demo",
        settings=settings,
        router=APIRouter(),
        publisher=KafkaPublisher(settings, "demo"),
        database=connect(settings, "demo"),
        consumers=[Consumer(MESSAGES_DELIVERY, group, never) for group in ("g", "h")],  # type: ignore[arg-type]
    )
    transport = httpx.ASGITransport(build(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        assert (await http.get("/demo/livez")).json() == {"status": "ok", "hangs": []}
        service.stages[MESSAGES_DELIVERY.name].progress.stuck = True
        hanging = await http.get("/livez")
        assert (hanging.status_code, hanging.json()["hangs"]) == (503, [MESSAGES_DELIVERY.name])
        service.stages[MESSAGES_DELIVERY.name].progress.stuck = False
        service.stages["h"].progress.stuck = True
        assert (await http.get("/livez")).json()["hangs"] == ["h"]
        service.stages["h"].progress.stuck = False
        service.failed = True
        assert (await http.get("/livez")).json()["hangs"] == ["demo"]
    await service.database.client.close()
