"""A crowd of Customers on all channels, who write in bursts, sometimes twice, and mostly in order."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from random import Random
from uuid import uuid4

from deploy.local.simulator.registry import STAND_INS
from deploy.local.simulator.standin import StandIn, Writing
from deploy.local.webhooks import Webhook, chat_message, chat_session
from tests.system.client import Client, Posted
from tests.system.evidence import Wrote
from tests.system.play import Diary

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Composed = tuple[Webhook, datetime | None]
"""A webhook, and the provider's time in it where it tells one."""


@dataclass
class Person:
    """One Customer. `identifier` is what the API finds them by; `ways` compose a webhook of a text."""

    identifier: str
    ways: Sequence[Callable[[str], Composed]]
    token: str = ""
    """A chat visitor's."""
    patient: bool = True
    """Writes the next message only when the last one was answered."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


KINDS = [
    list(rows) for _, rows in groupby(sorted(STAND_INS, key=lambda row: row.sender), lambda row: row.sender)
]
"""Providers by the kind of person who reaches us through them: by a number, a mailbox, or one app."""


def writer(client: Client, rows: Sequence[StandIn], of: int) -> Person:
    """Return somebody who uses all these providers by the same address."""
    name, at, domain = rows[0].sender.partition("@")
    address = f"{name}{of}@{domain}" if at else f"{name[:-4]}{of:04d}"
    return Person(f"{rows[0].channel}:{address}", [_way(client, row, address) for row in rows])


def _way(client: Client, row: StandIn, address: str) -> Callable[[str], Composed]:
    def compose(text: str) -> Composed:
        now = datetime.now(UTC)
        writing = Writing(address, text, uuid4().hex, now)
        webhook = row.writes(client.site.account(row.provider), client.site.public_url, writing)
        return webhook, None if row.clock is None else now - (now - _EPOCH) % row.clock

    return compose


async def visitor(client: Client, of: int) -> Person:
    """Return a visitor of the web chat, whose session is open."""
    account = client.site.account("webchat")
    opening = chat_session(account, {"name": f"Visitor {of}"})
    answer = await client.send("POST", opening.path, headers=opening.headers, content=opening.body)
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]

    def by_chat(text: str) -> Composed:
        return chat_message(account, token, text, uuid4().hex), None

    return Person(f"visitor:{answer.json()['visitor_id']}", (by_chat,), token)


async def crowd(client: Client, count: int) -> list[Person]:
    """Return `count` people: as many of each kind, visitors too; every other one of them is patient."""
    kinds = len(KINDS) + 1
    people = [
        await visitor(client, of) if of % kinds == len(KINDS) else writer(client, KINDS[of % kinds], of)
        for of in range(count)
    ]
    for of, person in enumerate(people):
        person.patient = of // kinds % 2 == 0
    return people


@dataclass(frozen=True, slots=True)
class Bursts:
    """How a crowd writes: `messages` in all, `at_once` a burst, a burst every `pause` seconds."""

    messages: int
    at_once: int
    pause: float
    twice: float = 1 / 3
    """The part of all webhooks that is sent twice."""
    retry_seconds: float = 120.0


@dataclass
class Pace:
    """A beat every `seconds`, by the clock: what comes late does not put off those after it."""

    seconds: float
    _due: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def next(self) -> None:
        """Wait for the next beat; not at all when it is over."""
        self._due += self.seconds
        await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))


async def write_in_bursts(
    client: Client,
    diary: Diary,
    people: Sequence[Person],
    bursts: Bursts,
    random: Random,
    mark: str = "storm",
) -> None:
    """Let everybody write, whether or not earlier bursts have been answered."""
    writers = [people[each % len(people)] for each in range(bursts.messages)]
    random.shuffle(writers)
    repeated = set(random.sample(range(bursts.messages), round(bursts.messages * bursts.twice)))
    running = []
    pace = Pace(bursts.pause)
    for each, person in enumerate(writers):
        if each and each % bursts.at_once == 0:
            await pace.next()
        copies = 2 if each in repeated else 1
        text, way = f"{mark} {each}: where is my order?", random.choice(person.ways)
        running.append(
            asyncio.create_task(_write(client, diary, person, way, text, copies, bursts.retry_seconds))
        )
    await asyncio.gather(*running)


async def _write(
    client: Client,
    diary: Diary,
    person: Person,
    way: Callable[[str], Composed],
    text: str,
    copies: int,
    retry_seconds: float,
) -> None:
    if not person.patient:
        await _post(client, diary, person, way, text, copies, retry_seconds)
        return
    async with person.turn:
        await _post(client, diary, person, way, text, copies, retry_seconds)


async def _post(
    client: Client,
    diary: Diary,
    person: Person,
    way: Callable[[str], Composed],
    text: str,
    copies: int,
    retry_seconds: float,
) -> None:
    webhook, provider_at = way(text)
    posted = await asyncio.gather(
        *(client.webhook(webhook, retry_seconds=retry_seconds) for _ in range(copies))
    )
    diary.repeated += any(each.tries > 1 for each in posted)
    _note(diary, person, text, posted, provider_at)


def _note(
    diary: Diary, person: Person, text: str, posted: Sequence[Posted], provider_at: datetime | None
) -> None:
    first, last = min(each.tried_at for each in posted), max(each.answered_at for each in posted)
    if any(200 <= each.status < 300 for each in posted):
        diary.wrote.append(Wrote(person.identifier, text, first, last, provider_at))
    else:
        diary.refused.append((person.identifier, text, posted[0].status))


async def received_by(client: Client, person: Person) -> list[dict[str, str]]:
    """Return what a visitor was answered, in the form of the simulator's entries."""
    path = f"/conversation/v1/webchat/{client.site.account('webchat').account}/messages"
    headers = {"Authorization": f"Bearer {person.token}"}
    found: list[dict[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.send("GET", path, headers=headers, params={"limit": 200, **cursor})
        if answer.status_code == 404:
            return found
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [
            {"to": person.identifier, "text": item["text"]}
            for item in page["items"]
            if item["direction"] == "outbound"
        ]
        if not page["next_cursor"]:
            return found
        cursor = {"cursor": page["next_cursor"]}
