"""Plays the day: posts its webhooks and does what its Agents do."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time

import httpx

from deploy.local.demo.agents import Agents
from deploy.local.demo.compose import Composer
from deploy.local.demo.day import (
    AgentEvent,
    Breaks,
    Calls,
    Day,
    Person,
    Reacts,
    Reads,
    Repeats,
    Sends,
    WebhookEvent,
    Writes,
)
from deploy.local.demo.desk import Desk, eventually
from deploy.local.demo.played import Played, Posted
from deploy.local.stack import Stack
from deploy.local.webhooks import chat_session
from schemas.common import Channel


class Player:
    """Plays one day once."""

    def __init__(self, day: Day, stack: Stack, http: httpx.AsyncClient) -> None:
        self._day = day
        self._desk = Desk(stack, http)
        self._compose = Composer(day, stack, self._desk)
        self._first: dict[str, Posted] = {}
        self.played = Played(datetime.now(UTC))
        self._agents = Agents(self._desk, self.played)

    async def play(self, seconds: float, tell: Callable[[str], None]) -> Played:
        """Play the whole day within `seconds`, or as fast as it goes; `tell` hears of each event."""
        await self._open_chats()
        moments = self._day.moments
        first, last = _seconds(moments[0][0].at), _seconds(moments[-1][0].at)
        started = asyncio.get_running_loop().time()
        for moment in moments:
            due = started + seconds * (_seconds(moment[0].at) - first) / max(last - first, 1)
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            await asyncio.gather(*(self._do(event) for event in moment))
            for event in moment:
                tell(f"{event.at:%H:%M} {event.does.replace('_', ' ')}")
        return self.played

    async def _do(self, event: WebhookEvent | AgentEvent) -> None:
        if isinstance(event, Reads):
            await self._agents.all_sent()  # what has not come cannot be read
        if isinstance(event, WebhookEvent):
            await self._post(event)
        else:
            await self._agents.act(event)

    # what comes from outside

    async def _open_chats(self) -> None:
        for name, person in self._day.people.items():
            self.played.identifiers[name] = _identifier(person)
            if Channel.CHAT in person.addresses:
                opening = chat_session(self._compose.account(Channel.CHAT), {"name": person.name})
                session = await self._desk.told(opening)
                self._compose.tokens[name] = session["token"]
                self.played.identifiers[name] = f"visitor:{session['visitor_id']}"

    async def _post(self, event: WebhookEvent) -> None:
        if isinstance(event, Calls):
            self.played.posted.append(await self._called(event))
            return
        if isinstance(event, Repeats):
            posted = replace(self._first[event.of], event=event)
        else:
            posted = Posted(
                event, await self._compose.webhook(event), _channel(event), _who(event), _shows(event)
            )
        if isinstance(event, Writes | Sends | Reacts):
            self._first[event.id] = posted
        self.played.posted.append(await self._answered(posted))

    async def _called(self, event: Calls) -> Posted:
        """Play a call; its status is the worst that any of its webhooks was answered with."""
        calling = self._compose.call(event)
        webhook = next(calling)
        posted = Posted(event, webhook, event.by, event.who, event.says)
        while True:
            answer = await self._desk.post(webhook)
            posted = replace(posted, status=max(posted.status, answer.status_code))
            try:
                webhook = calling.send(answer.text)
            except StopIteration:
                return posted

    async def _answered(self, posted: Posted) -> Posted:
        if not isinstance(posted.event, Breaks):
            return replace(posted, status=(await self._desk.post(posted.webhook)).status_code)
        before = await self._desk.quarantined()
        answer = await self._desk.post(posted.webhook)
        after = await eventually(self._desk.quarantined, lambda count: count > before, seconds=3)
        return replace(posted, status=answer.status_code, quarantined=after > before)


def _shows(event: WebhookEvent) -> str:
    match event:
        case Writes():
            return event.text.strip()
        case Sends():
            return event.shows
        case Reacts():
            return event.emoji
    return ""


def _channel(event: WebhookEvent) -> Channel:
    return getattr(event, "by", Channel.WHATSAPP)


def _who(event: WebhookEvent) -> str:
    return getattr(event, "who", "")


def _identifier(person: Person) -> str:
    channel, address = next(iter(person.addresses.items()))
    return f"{channel}:{address}"


def _seconds(at: time) -> int:
    return (at.hour * 60 + at.minute) * 60 + at.second
