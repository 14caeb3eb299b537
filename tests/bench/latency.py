"""From a webhook to the Agent's live stream while little happens, against the relay's way.

The pipeline's clock runs from the POST of a signed webhook to the event in an Agent's stream; the relay's
only from its first record produced to its last one consumed, with no HTTP at either end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from statistics import median, quantiles
from time import monotonic
from uuid import uuid4

from schemas import ids
from tests.bench.figures import Figure, Pair, at_most, compared
from tests.bench.rounds import by_turns
from tests.bench.setup import Setup
from tests.bench.sides import GRANTED, ON_TIMELINE, PIPELINE, Side, control, pipeline
from tests.bench.traffic import phone
from tests.system.client import LEAD, Client, client_of
from tests.system.play import sms_from
from tests.system.stream import Heard, listening

BOUND = 3.0
PER_SECOND = 8
PEOPLE = 20
_LONGEST = 20.0


async def run(setup: Setup) -> list[Figure]:
    """Return the medians and the 95th percentiles of both."""
    messages = setup.sized(smoke=8, small=60, full=240)
    rounds = setup.sized(smoke=1, small=3, full=5)
    async with (
        pipeline(setup, services=("ingest", *PIPELINE), agents=1) as (side, system),
        control(setup) as relay,
        client_of(system.site) as client,
        _lead_listening(client) as heard,
    ):
        for each in (side, relay):
            await each.rate(each.messages(range(PEOPLE)), GRANTED)
        found = await by_turns(
            rounds,
            subject=lambda: _paced(messages, lambda number: _webhook(client, heard, number)),
            control=lambda: _paced(messages, lambda number: _relayed(relay, number)),
        )
        target = at_most(BOUND)
    medians = [Pair(median(subject), median(beside)) for subject, beside in found]
    tails = [Pair(quantiles(subject, n=20)[-1], quantiles(beside, n=20)[-1]) for subject, beside in found]
    return [
        compared("webhook to stream, median", "ms", medians, control="relay by hand", target=target),
        compared("webhook to stream, 95th percentile", "ms", tails, control="relay by hand"),
    ]


@asynccontextmanager
async def _lead_listening(client: Client) -> AsyncIterator[Heard]:
    url = f"{client.site.bases['notifier'][0]}/notifier/v1/stream"
    async with listening(url, client.site.token(LEAD)) as heard:
        yield heard


async def _paced(count: int, measure: Callable[[int], Coroutine[None, None, float]]) -> list[float]:
    """Start one measurement after the other at an even pace; return milliseconds."""
    under_way = []
    for number in range(count):
        under_way.append(asyncio.create_task(measure(number)))
        await asyncio.sleep(1 / PER_SECOND)
    return [1000 * seconds for seconds in await asyncio.gather(*under_way)]


async def _webhook(client: Client, heard: Heard, number: int) -> float:
    sender, sid = phone(number % PEOPLE), f"SM{uuid4().hex}"
    expected = str(ids.message_id("twilio-sms", "demo", sender, sid))
    webhook = sms_from(client, sender, f"light load {number}", sid=sid)
    began = monotonic()
    posted = await client.webhook(webhook)
    if posted.status >= 300:
        raise RuntimeError(f"a webhook was answered {posted.status}")
    await heard.until(lambda so_far: _place(so_far, expected) is not None, _LONGEST)
    return heard.times[_place(heard, expected) or 0] - began


def _place(heard: Heard, message_id: str) -> int | None:
    """Return which of the stream's events brought the message; the newest are looked at first."""
    for place in range(len(heard.events) - 1, -1, -1):
        if heard.events[place][1].get("message_id") == message_id:
            return place
    return None


async def _relayed(relay: Side, number: int) -> float:
    (message,) = relay.messages([number % PEOPLE])
    began = monotonic()
    await relay.sender.send(relay.topic, [message])
    return await relay.watch.arrival(ON_TIMELINE, message.id, _LONGEST) - began
