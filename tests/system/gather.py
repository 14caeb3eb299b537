"""Collects the evidence of a run, and waits until the system has come to rest."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, TypeAlias

from schemas.deadletters import DeadLetter
from schemas.routing import Capacity
from schemas.topics import CONVERSATIONS_EVENTS, DEADLETTERS, ROUTING_DECISIONS, WEBHOOKS_QUARANTINE
from tests.system.checker import loads_agree, shown_once
from tests.system.client import Client, Json
from tests.system.crowd import Person, received_by
from tests.system.evidence import Evidence
from tests.system.play import Diary
from tests.system.topics import records

_AT_ONCE = 8
_AT_REST = 15.0
"""Least seconds for the router and conversation to come to the same view."""
_Desks: TypeAlias = tuple[dict[str, int], dict[str, list[str]]]


async def gather(
    client: Client,
    kafka: str,
    diary: Diary,
    capacities: Mapping[str, Capacity] | None = None,
    *,
    visitors: Sequence[Person] = (),
    settle_seconds: float = 60.0,
) -> Evidence:
    """Return the evidence once all messages and replies are where they belong, or the time is up.

    Looks at the Customers who wrote; `sent` holds only what went to the replies of this run or to nobody's,
    for `visitors` of the web chat what they were shown.
    """
    deadline = monotonic() + settle_seconds
    missing = diary.senders
    while missing and monotonic() < deadline:  # who is complete stays so: ask only for the others
        await asyncio.sleep(0.5)
        missing = await _missing(client, missing, diary)
    agents = await _desks(client)
    rest = monotonic() + _AT_REST
    while not _agree(agents) and monotonic() < rest:
        await asyncio.sleep(0.5)
        agents = await _desks(client)
    return replace(
        await _shown(client, diary.senders, diary, visitors),
        decisions=await records(kafka, ROUTING_DECISIONS),
        events=await records(kafka, CONVERSATIONS_EVENTS),
        capacities=capacities or {},
        loads=agents[0],
        desks=agents[1],
        set_aside=[*await _given_up(kafka), *await _quarantined(kafka)],
    )


async def _missing(client: Client, senders: Sequence[str], diary: Diary) -> list[str]:
    """Return those senders whose messages are not all shown, or whose replies are still on their way."""
    of_sender = {sender: [each for each in diary.wrote if each.sender == sender] for sender in senders}
    unanswered = {text for _, text, _ in diary.refused}

    async def incomplete(sender: str) -> bool:
        customers = await client.customers(sender)
        items = [item for customer in customers for item in await client.timeline(customer)]
        of_one = Evidence(
            of_sender[sender], unanswered=unanswered, customers={sender: [""]}, timelines={"": items}
        )
        return any(item.get("status") == "queued" for item in items) or any(shown_once(of_one))

    found = await _each(map(incomplete, senders))
    return [sender for sender, is_missing in zip(senders, found, strict=True) if is_missing]


async def _desks(client: Client) -> _Desks:
    """Return by Agent what the router counts, and the open Conversations."""
    agents = await client.everything("/router/v1/agents")
    conversations = await client.everything("/conversation/v1/conversations", status="open")
    desks: dict[str, list[str]] = {agent["id"]: [] for agent in agents}
    for conversation in conversations:
        desks.setdefault(conversation["agent"], []).append(conversation["id"])
    return {agent["id"]: agent["load"]["total"] for agent in agents}, desks


def _agree(found: _Desks) -> bool:
    return not any(loads_agree(Evidence(loads=found[0], desks=found[1])))


async def _given_up(kafka: str) -> list[str]:
    letters = [each.data for each in await records(kafka, DEADLETTERS) if isinstance(each, DeadLetter)]
    return [f"{each.group} gave up on a record of {each.topic}: {each.error_class}" for each in letters]


async def _quarantined(kafka: str) -> list[str]:
    return [f"quarantined: {each.data.reason}" for each in await records(kafka, WEBHOOKS_QUARANTINE)]


async def _shown(
    client: Client, senders: Sequence[str], diary: Diary, visitors: Sequence[Person]
) -> Evidence:
    customers = dict(zip(senders, await _each(map(client.customers, senders)), strict=True))
    known = sorted({customer for found in customers.values() for customer in found})
    timelines = dict(zip(known, await _each(map(client.timeline, known)), strict=True))
    conversations = dict(zip(known, await _each(map(client.conversations, known)), strict=True))
    return Evidence(
        tuple(diary.wrote),
        tuple(diary.replied),
        {text for _, text, _ in diary.refused},
        customers,
        timelines,
        conversations,
        await _sent(client, senders, visitors),
    )


async def _sent(client: Client, senders: Sequence[str], visitors: Sequence[Person]) -> list[Json]:
    """Return what was sent to the senders."""
    addresses = {sender.partition(":")[2] for sender in senders}
    to_providers = [entry for entry in await client.sent() if _forms(entry["to"]) & addresses]
    shown = await _each(received_by(client, visitor) for visitor in visitors)
    return [*to_providers, *(entry for of_visitor in shown for entry in of_visitor)]


def _forms(to: str) -> set[str]:
    """Return how identifiers may have the address that a provider was given: WhatsApp's has no plus."""
    return {to, f"+{to}"}


async def _each(calls: Iterable[Any]) -> list[Any]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def call(one: Any) -> Any:
        async with room:
            return await one

    return list(await asyncio.gather(*(call(one) for one in calls)))
