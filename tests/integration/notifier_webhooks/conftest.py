"""Webhooks on a database of their own, with a log in memory and endpoints that do as they are told."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas import ids
from schemas.conversations import MessageAdded
from services.chassis.delivery import Delivery
from services.chassis.mongo import Database, connect
from services.notifier.settings import NotifierSettings
from services.notifier.webhooks.commands import Commands
from services.notifier.webhooks.compose import retry_rules
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.inputs import WebhookInput, WebhookPatch
from services.notifier.webhooks.intake import Intake
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.posting import Posting
from services.notifier.webhooks.reading import Readings
from services.notifier.webhooks.rules import Answer, Endpoint, Place, Post
from tests import crash
from tests.unit.notifier.builders import START
from tests.unit.notifier.feeding import message

TOPIC = "conversations.events"
PARTITIONS = 3
KEPT = timedelta(days=36_500)
"""The tests' days are past: the server must not forget what they finish."""
OK, DOWN = Answer(200), Answer(error="timeout")


@dataclass
class Past:
    """The log, and when each record was written."""

    records: dict[Place, list[Delivery]] = field(default_factory=dict)
    written: dict[UUID, datetime] = field(default_factory=dict)

    def write(self, event: MessageAdded, at: datetime) -> Delivery:
        place = (TOPIC, sum(map(ord, event.customer_id)) % PARTITIONS)
        of_place = self.records.setdefault(place, [])
        of_place.append(Delivery(*place, len(of_place), event))
        self.written[event.id] = at
        return of_place[-1]

    async def bounds(self) -> Mapping[Place, tuple[int, int]]:
        return {place: (0, len(found)) for place, found in self.records.items()}

    async def since(self, moment: datetime) -> Mapping[Place, int]:
        found = {}
        for place, records in self.records.items():
            later = [each.offset for each in records if self.written[each.message.id] >= moment]
            if later:
                found[place] = later[0]
        return found

    async def chunks(
        self, ranges: Mapping[Place, tuple[int, int]], records: int
    ) -> AsyncGenerator[tuple[list[Delivery], dict[Place, int]], None]:
        positions = {place: first for place, (first, _) in ranges.items()}
        for place, (first, end) in ranges.items():
            for begin in range(first, end, records):
                chunk = self.records[place][begin : min(begin + records, end)]
                positions[place] = begin + len(chunk)
                yield chunk, dict(positions)


@dataclass
class Receiver:
    """All endpoints: remembers every request, and answers as `answer` says."""

    answer: Callable[[Post], Answer] = lambda _: OK
    fuse: crash.Fuse = field(default_factory=lambda: crash.Fuse(None))
    asked: list[tuple[str, bool]] = field(default_factory=list)
    """Name of the event, and whether it was accepted."""
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    """Endpoints that do not answer before this is set."""

    async def __call__(self, endpoint: Endpoint, post: Post) -> Answer:
        self.fuse.step()
        assert post.body is not None
        if endpoint.id in self.hold:
            await self.hold[endpoint.id].wait()
        answer = self.answer(post)
        self.asked.append((name_of(post), answer.accepted))
        self.bodies.setdefault(post.event, set()).add(post.body)
        self.fuse.step()
        return answer

    def accepted(self) -> list[str]:
        return [name for name, accepted in self.asked if accepted]


def event(name: str) -> MessageAdded:
    """Return an event; its name begins with its Customer's, and is its text."""
    customer = name.partition("-")[0]
    made = message(name)
    personal = made.personal.model_copy(update={"text": name})
    at = NAMED.setdefault(str(made.id), (name, START))[1]
    return made.model_copy(
        update={"customer_id": customer, "home": customer, "personal": personal, "occurred_at": at}
    )


NAMED: dict[str, tuple[str, datetime]] = {}


def name_of(post: Post) -> str:
    return NAMED[post.event][0]


@dataclass
class Hooks:
    """The webhooks of one replica, without their edges."""

    database: Any
    settings: NotifierSettings
    past: Past = field(default_factory=Past)
    receiver: Receiver = field(default_factory=Receiver)
    log: crash.Log = field(default_factory=crash.Log)
    now: datetime = START

    def __post_init__(self) -> None:
        clock = self.clock
        self.endpoints = Endpoints(self.database, self.log, clock)
        self.posts = Posts(self.database, KEPT, clock)
        self.posting = Posting(
            self.endpoints,
            self.posts,
            self.receiver,
            retry_rules(self.settings),
            at_once=4,
            lease=timedelta(seconds=60),
            poll_seconds=0.02,
            drain_seconds=2,
            clock=clock,
            spread=lambda: 0.0,
        )
        wake = self.posting.wake
        self.intake = Intake(self.endpoints, self.posts, 65_536, wake, clock)
        self.readings = Readings(self.endpoints, self.posts, self.past, 65_536, wake, clock)
        self.commands = Commands(self.endpoints, self.posts, _vetted, wake, 50, timedelta(hours=24), clock)

    def clock(self) -> datetime:
        return self.now

    async def subscribe(self, name: str = "crm", *events: str) -> str:
        wanted = WebhookInput(url=f"https://{name}.example/hook", events=events or ("*",))
        return (await self.commands.create(ids.derive("test", name), wanted)).id

    async def patch(self, webhook: str, **changes: Any) -> Endpoint:
        return await self.commands.change(webhook, WebhookPatch(**changes))

    def write(self, *names: str) -> list[Delivery]:
        written = []
        for name in names:
            made = event(name)
            NAMED[str(made.id)] = (name, self.now)
            written.append(self.past.write(event(name), self.now))
        return written

    async def accept(self, batch: Sequence[Delivery]) -> None:
        await self.intake.accept(batch)

    async def happen(self, *names: str) -> None:
        await self.accept(self.write(*names))

    async def send_due(self) -> None:
        """Send what is due now, one after another."""
        for number in range(1000):
            if not await self._send_one(f"{self.now}-{number}"):
                return

    async def _send_one(self, claim: str) -> bool:
        ready = {each.id: each for each in await self.endpoints.all() if each.may_post(self.now)}
        for endpoint_id in await self.posts.due(list(ready)):
            post = await self.posts.claim(endpoint_id, claim, timedelta(seconds=60))
            if post is not None:
                await self.posting.send(ready[endpoint_id], post, claim)
                return True
        return False

    async def send_for(self, hours: float) -> None:
        """Send for so long, jumping from one due moment to the next."""
        end = self.now + timedelta(hours=hours)
        while True:
            await self.readings.round()
            await self.send_due()
            moments = [post["next_at"] async for post in self.posts.collection.find({"head": True})]
            rests = [each.rest_until for each in await self.endpoints.all() if each.rest_until]
            later = [moment for moment in [*moments, *rests] if moment > self.now]
            if not later or min(later) > end:
                self.now = end
                return
            self.now = min(later)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def states(self, webhook: str) -> dict[str, str]:
        found = self.posts.collection.find({"endpoint": webhook}, {"event": 1, "state": 1})
        return {NAMED[row["event"]][0]: row["state"] async for row in found}

    def check_order(self) -> None:
        """Nothing of a Customer was asked for before all that came earlier was accepted."""
        written = [each.message.personal.text for found in self.past.records.values() for each in found]
        accepted: set[str] = set()
        for name, taken in self.receiver.asked:
            lane = [each for each in written if each.partition("-")[0] == name.partition("-")[0]]
            before = set(lane[: lane.index(name)])
            assert before <= accepted, f"{name} before {before - accepted}"
            if taken:
                accepted.add(name)
        for bodies in self.receiver.bodies.values():
            assert len(bodies) == 1


async def _vetted(_: str) -> None:
    return


@pytest.fixture
def settings(embedded_mongo: str, database_name: str) -> NotifierSettings:
    return NotifierSettings(mongo_url=embedded_mongo, mongo_database=database_name)


@pytest.fixture
async def database(settings: NotifierSettings) -> AsyncIterator[Database]:
    found = connect(settings, "notifier")
    await Endpoints(found, crash.Log()).prepare()
    await Posts(found, timedelta(days=30)).prepare()
    yield found
    await found.client.close()


@pytest.fixture
def hooks(database: Database, settings: NotifierSettings) -> Hooks:
    return Hooks(database, settings)
