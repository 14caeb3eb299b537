"""Two replicas of each service on a real Apache Kafka, seen from outside only."""

import asyncio
from itertools import cycle
from time import monotonic

import httpx
import pytest

from tests.servers.apache_kafka import Cluster
from tests.system.checker import faults
from tests.system.client import Client, Json
from tests.system.evidence import Wrote
from tests.system.gather import gather
from tests.system.launch import Process, System
from tests.system.play import (
    Desk,
    Diary,
    at_work,
    number,
    profile,
    reply,
    shown,
    sign_off,
    sign_on,
    sms_from,
    write,
)
from tests.system.stream import listening
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(300)

PROBES = 8


async def test_120_webhooks_at_once_from_a_new_number_are_60_messages_of_one_customer(
    client: Client, system: System
) -> None:
    sender = number(1000)
    webhooks = [sms_from(client, sender, f"at once {each}") for each in range(60)]

    posted = await asyncio.gather(*(client.webhook(webhook) for webhook in webhooks * 2))

    assert {each.status for each in posted} == {200}
    wrote = [
        Wrote(
            f"sms:{sender}",
            f"at once {each}",
            min(posted[each].tried_at, posted[each + 60].tried_at),
            max(posted[each].answered_at, posted[each + 60].answered_at),
        )
        for each in range(60)
    ]
    evidence = await gather(client, system.kafka, Diary(wrote))
    assert faults(evidence) == []
    (customer,) = evidence.customers[f"sms:{sender}"]
    (conversation,) = evidence.conversations[customer]
    assert sum(item["kind"] == "message" for item in evidence.timelines[customer]) == 60
    closed = await client.insist("lea", "POST", f"/conversation/v1/conversations/{conversation['id']}/close")
    assert closed.status_code == 200, closed.text


async def test_a_full_round_through_different_replicas(client: Client, system: System) -> None:
    sender, diary = number(1001), Diary()
    stream = f"{system.site.bases['notifier'][0]}/notifier/v1/stream"
    other = f"{system.site.bases['notifier'][1]}/notifier/v1/stream"
    await profile(client, "rosa", inboxes=["fallback"])  # elsewhere first: nothing that waits is hers
    await profile(client, "otto", inboxes=["support"])
    async with listening(stream, client.site.token("otto")) as live:
        await write(client, diary, sender, "round: where is it?")
        message = await shown(client, sender, "round: where is it?")
        conversation = message["conversation_id"]
        assert (await client.conversation(conversation))["status"] == "new"

        await profile(client, "rosa", inboxes=["support"])
        await sign_on(client, "rosa", replica=1)
        opened = await until(
            lambda: client.conversation(conversation), lambda found: found["status"] == "open"
        )
        assert opened["agent"] == "rosa"
        explained = await client.get(f"/router/v1/requests/{conversation}", replica=0)
        assert explained["agent"] == "rosa"

        path = f"/conversation/v1/conversations/{conversation}"
        answer = await client.act("rosa", "POST", f"{path}/replies", {"text": "round: soon"}, replica=0)
        assert answer.status_code == 202, answer.text
        reply_id = answer.json()["message_id"]
        await until(lambda: status_of(client, sender, reply_id), lambda status: status == "delivered")
        assert [entry["to"] for entry in await client.sent() if entry["text"] == "round: soon"] == [sender]

        closed = await client.act("rosa", "POST", f"{path}/close", {"confirmed": True}, replica=1)
        assert (closed.status_code, closed.json()["status"]) == (200, "closed")
        await live.until(
            lambda heard: [e for e in of(heard.events, conversation) if e.get("status") == "closed"]
        )

    told = [event for event in of(live.events, conversation) if event["type"] == "message.added"]
    assert [(event["direction"], event["text"]) for event in told] == [
        ("inbound", "round: where is it?"),
        ("outbound", "round: soon"),
    ]
    assert len(set(live.ids())) == len(live.ids())
    everything = live.ids()
    for place in (0, len(everything) // 2, len(everything) - 2):
        # `ready` comes before the first event, so place number n is that after event n - 1
        expected = everything[place:]
        async with listening(other, client.site.token("otto"), live.places[place]) as resumed:
            await resumed.until(lambda heard, expected=expected: len(heard.ids()) >= len(expected))
            assert set(resumed.ids()) == set(expected)
            assert len(resumed.ids()) == len(expected)


async def test_a_replica_of_each_service_dies_in_turn_and_nothing_is_lost_or_doubled(
    client: Client, system: System
) -> None:
    diary, took = Diary(), dict[str, float]()
    agents = ("rosa", "otto", "mina")
    for agent in agents:
        await profile(client, agent)
        await sign_on(client, agent)
    async with httpx.AsyncClient(trust_env=False) as http, at_work(Desk(client, diary)):
        trickle = asyncio.create_task(trickling(client, diary))
        for round_, (service, replicas) in enumerate(system.replicas.items()):
            victim = replicas[round_ % 2]
            victim.kill()
            took[service] = await failover(client, diary, service, round_)
            victim.start()
            await victim.ready(http)
        await trickle

    evidence = await gather(client, system.kafka, diary)
    print(f"\nseconds until everything worked again: {took}")  # noqa: T201  (what the run is for)
    print(f"{len(diary.wrote)} webhooks ({diary.repeated} tried again), {len(diary.replied)} replies")  # noqa: T201
    assert diary.refused == []
    assert len(diary.wrote) >= 200
    assert len(diary.replied) >= 40
    assert faults(evidence) == []
    for agent in agents:
        await sign_off(client, agent)


async def test_without_kafka_nothing_is_taken_and_with_it_everything_goes_on(
    client: Client, system: System, own_kafka: Cluster
) -> None:
    diary, sender = Diary(), number(1003)
    await write(client, diary, sender, "before the outage")
    conversation = (await shown(client, sender, "before the outage"))["conversation_id"]
    own_kafka.stop()
    try:
        refused = await asyncio.gather(
            *(write(client, diary, sender, f"refused {each}", retry_seconds=0) for each in range(6))
        )
        assert {each.status for each in refused} == {503}
        assert max(each.seconds for each in refused) < 8
        waiting = asyncio.create_task(
            write(client, diary, sender, "written in the outage", retry_seconds=120)
        )
        replying = asyncio.create_task(reply(client, diary, "lea", conversation, "answered in the outage"))
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            await until(lambda: answers(http, system.processes, "readyz"), lambda found: set(found) == {503})
            assert set(await answers(http, system.processes, "livez")) == {200}
    finally:
        own_kafka.start()
    back = monotonic()
    await system.ready()
    assert 200 <= (await waiting).status < 300
    await replying
    await probe(client, diary, 1004)
    seconds = monotonic() - back
    evidence = await gather(client, system.kafka, diary)
    print(f"\nseconds until everything worked again: {seconds:.1f}")  # noqa: T201  (what the run is for)
    assert faults(evidence) == []


async def status_of(client: Client, sender: str, message_id: str) -> str | None:
    items = await client.messages(f"sms:{sender}")
    return next((item["status"] for item in items if item["id"] == message_id), None)


def of(events: list[tuple[str, Json]], conversation: str) -> list[Json]:
    return [data for _, data in events if data["conversation_id"] == conversation]


async def trickling(client: Client, diary: Diary, count: int = 200, customers: int = 40) -> None:
    """Five messages of each Customer, by SMS and WhatsApp in turn, some seven a second."""
    ways = cycle(("sms", "whatsapp", "sms"))
    running = []
    for each in range(count):
        text = f"trickle {each} of {each % customers}"
        running.append(
            asyncio.create_task(write(client, diary, number(each % customers), text, by=next(ways)))
        )
        await asyncio.sleep(0.15)
    await asyncio.gather(*running)


async def failover(client: Client, diary: Diary, service: str, round_: int) -> float:
    """Return the seconds until what the service does works for new Customers of several partitions."""
    started = monotonic()
    if service == "router":
        answer = await client.insist("rosa", "POST", "/router/v1/agents/rosa/heartbeat")
        assert answer.status_code == 204, answer.text
    await asyncio.gather(*(probe(client, diary, 2000 + round_ * PROBES + each) for each in range(PROBES)))
    return round(monotonic() - started, 1)


async def probe(client: Client, diary: Diary, who: int) -> None:
    """A new Customer writes, and a lead's answer reaches them."""
    sender, text = number(who), f"probe of {who}"
    await write(client, diary, sender, text)
    conversation = (await shown(client, sender, text, seconds=60))["conversation_id"]
    answer = await reply(client, diary, "lea", conversation, f"answer to the probe of {who}")
    assert answer.status_code == 202, answer.text
    message = answer.json()["message_id"]
    await until(
        lambda: status_of(client, sender, message),
        lambda status: status in {"sent", "delivered", "read", "unknown"},
        seconds=60,
    )


async def answers(http: httpx.AsyncClient, processes: list[Process], what: str) -> list[int]:
    found = await asyncio.gather(*(http.get(f"{process.url}/{what}") for process in processes))
    return [answer.status_code for answer in found]
