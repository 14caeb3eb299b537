"""Collects the evidence of a run, and waits until the system has come to rest."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from schemas.deadletters import DeadLetter
from schemas.routing import Capacity
from schemas.topics import CONVERSATIONS_EVENTS, DEADLETTERS, ROUTING_DECISIONS, WEBHOOKS_QUARANTINE
from tests.system.checker import sent_once, shown_once
from tests.system.client import Client, Json
from tests.system.evidence import Evidence
from tests.system.play import Diary
from tests.system.topics import records
from tests.system.waiting import until

_AT_ONCE = 8


async def gather(
    client: Client,
    kafka: str,
    diary: Diary,
    capacities: Mapping[str, Capacity] | None = None,
    *,
    settle_seconds: float = 60.0,
) -> Evidence:
    """Return the evidence once all messages and replies are where they belong, or the time is up.

    Looks at the Customers who wrote; `sent` holds only what went to the replies of this run or to nobody's.
    """
    senders = sorted({each.sender for each in diary.wrote})
    shown = Evidence()

    async def look() -> list[str]:
        nonlocal shown
        shown = await _shown(client, senders, diary)
        return [*shown_once(shown), *(fault for fault in sent_once(shown) if "still" in fault)]

    with suppress(AssertionError):  # the checker says what is wrong
        await until(look, lambda missing: not missing, seconds=settle_seconds, pause=0.5)
    return replace(
        shown,
        decisions=await records(kafka, ROUTING_DECISIONS),
        events=await records(kafka, CONVERSATIONS_EVENTS),
        capacities=capacities or {},
        set_aside=[*await _given_up(kafka), *await _quarantined(kafka)],
    )


async def _given_up(kafka: str) -> list[str]:
    letters = [each.data for each in await records(kafka, DEADLETTERS) if isinstance(each, DeadLetter)]
    return [f"{each.group} gave up on a record of {each.topic}: {each.error_class}" for each in letters]


async def _quarantined(kafka: str) -> list[str]:
    return [f"quarantined: {each.data.reason}" for each in await records(kafka, WEBHOOKS_QUARANTINE)]


async def _shown(client: Client, senders: Sequence[str], diary: Diary) -> Evidence:
    customers = dict(zip(senders, await _each(map(client.customers, senders)), strict=True))
    known = sorted({customer for found in customers.values() for customer in found})
    timelines = dict(zip(known, await _each(map(client.timeline, known)), strict=True))
    conversations = dict(zip(known, await _each(map(client.conversations, known)), strict=True))
    return Evidence(
        tuple(diary.wrote),
        tuple(diary.replied),
        {text for text, _ in diary.refused},
        customers,
        timelines,
        conversations,
        await _sent(client, senders),
    )


async def _sent(client: Client, senders: Sequence[str]) -> list[Json]:
    """Return what was sent to the senders."""
    addresses = {sender.partition(":")[2] for sender in senders}
    return [entry for entry in await client.sent() if "+" + entry["to"].lstrip("+") in addresses]


async def _each(calls: Iterable[Any]) -> list[Any]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def call(one: Any) -> Any:
        async with room:
            return await one

    return list(await asyncio.gather(*(call(one) for one in calls)))
