"""Plays the day: posts its webhooks and does what its Agents do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time

import httpx

from deploy.local.demo.compose import Composer
from deploy.local.demo.day import (
    AgentEvent,
    Breaks,
    Closes,
    Day,
    Notes,
    Person,
    Reacts,
    Repeats,
    Replies,
    Sends,
    SignsOff,
    SignsOn,
    WebhookEvent,
    Writes,
)
from deploy.local.demo.desk import LEAD, Desk, Json, eventually
from deploy.local.send import CHANNELS
from deploy.local.stack import Stack
from deploy.local.webhooks import Webhook, chat_session
from schemas.common import Channel

ASSIGNED_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Posted:
    """One webhook and its answer. `shows` is what the timeline must say, empty where it says nothing."""

    event: WebhookEvent
    webhook: Webhook
    channel: Channel
    who: str
    shows: str
    status: int = 0
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """One answer of an Agent's."""

    event: Replies
    agent: str
    message_id: str


@dataclass(slots=True)
class Played:
    """What happened. `identifiers` are by person."""

    started: datetime
    posted: list[Posted] = field(default_factory=list)
    replied: list[Replied] = field(default_factory=list)
    identifiers: dict[str, str] = field(default_factory=dict)


class Player:
    """Plays one day once."""

    def __init__(self, day: Day, stack: Stack, http: httpx.AsyncClient) -> None:
        self._day = day
        self._http = http
        self._desk = Desk(stack, http)
        self._compose = Composer(day, stack, self._desk)
        self._first: dict[str, Posted] = {}
        self.played = Played(datetime.now(UTC))

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
        if isinstance(event, WebhookEvent):
            await self._post(event)
        else:
            await self._act(event)

    # what comes from outside

    async def _open_chats(self) -> None:
        for name, person in self._day.people.items():
            self.played.identifiers[name] = _identifier(person)
            if Channel.CHAT in person.addresses:
                opening = chat_session(self._compose.account(Channel.CHAT), {"name": person.name})
                session = (await self._request(opening)).raise_for_status().json()
                self._compose.tokens[name] = session["token"]
                self.played.identifiers[name] = f"visitor:{session['visitor_id']}"

    async def _post(self, event: WebhookEvent) -> None:
        if isinstance(event, Repeats):
            posted = replace(self._first[event.of], event=event)
        else:
            posted = Posted(
                event, await self._compose.webhook(event), _channel(event), _who(event), _shows(event)
            )
        if isinstance(event, Writes | Sends | Reacts):
            self._first[event.id] = posted
        self.played.posted.append(await self._answered(posted))

    async def _answered(self, posted: Posted) -> Posted:
        if not isinstance(posted.event, Breaks):
            return replace(posted, status=(await self._request(posted.webhook)).status_code)
        before = await self._desk.quarantined()
        answer = await self._request(posted.webhook)
        after = await eventually(self._desk.quarantined, lambda count: count > before, seconds=3)
        return replace(posted, status=answer.status_code, quarantined=after > before)

    async def _request(self, webhook: Webhook) -> httpx.Response:
        return await self._http.post(webhook.path, content=webhook.body, headers=dict(webhook.headers))

    # what Agents do

    async def _act(self, event: AgentEvent) -> None:
        match event:
            case SignsOn() | SignsOff():
                availability = {channel.value: isinstance(event, SignsOn) for channel in CHANNELS}
                path = f"/router/v1/agents/{event.agent}/availability"
                await self._desk.act(event.agent, "PUT", path, availability)
            case Replies():
                agent, path = await self._assigned(event.to)
                answer = await self._desk.act(agent, "POST", f"{path}/replies", {"text": event.text})
                self.played.replied.append(Replied(event, agent, str(answer["message_id"])))
            case Notes():
                agent, path = await self._assigned(event.to)
                await self._desk.act(agent, "POST", f"{path}/notes", {"text": event.text})
            case Closes():
                agent, path = await self._assigned(event.who)
                body = {} if event.confirmed is None else {"confirmed": event.confirmed}
                await self._desk.act(agent, "POST", f"{path}/close", body)

    async def _assigned(self, who: str) -> tuple[str, str]:
        """Return who has the person's Conversation, a lead where nobody has it in time, and its path."""

        async def current() -> Json | None:
            customer = await self._desk.customer(self.played.identifiers[who])
            return await self._desk.conversation(customer) if customer else None

        found = await eventually(
            current,
            lambda it: it is not None and it["agent"] is not None and it["status"] == "open",
            ASSIGNED_SECONDS,
        )
        if found is None:
            message = f"{who} has no Conversation after {ASSIGNED_SECONDS:.0f} s"
            raise TimeoutError(message)
        return str(found["agent"] or LEAD), f"/conversation/v1/conversations/{found['id']}"


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
