"""Does what the day's Agents do."""

from collections.abc import Container
from dataclasses import dataclass, field

from deploy.local.demo.day import AgentEvent, Closes, Notes, Replies, SignsOff, SignsOn
from deploy.local.demo.desk import LEAD, ApiError, Desk, Json, eventually
from deploy.local.demo.played import Played, Replied
from deploy.local.send import CHANNELS
from deploy.local.simulator.behaviour import Mode

ASSIGNED_SECONDS = 20.0
SEEN_SECONDS = 20.0
SENT_SECONDS = 20.0


@dataclass
class Agents:
    """All of them; what they replied is noted in `played`."""

    desk: Desk
    played: Played
    _under_way: dict[str, str] = field(default_factory=dict)
    """Replies that may not be with their provider yet: to whom, by id."""

    async def act(self, event: AgentEvent) -> None:
        """Do one thing; raises ApiError when it is refused and should not be, else TimeoutError."""
        match event:
            case SignsOn() | SignsOff():
                # not for calls: who leaves a message there waits to be called back
                availability = {channel.value: isinstance(event, SignsOn) for channel in CHANNELS}
                path = f"/router/v1/agents/{event.agent}/availability"
                await self.desk.act(event.agent, "PUT", path, availability)
            case Replies():
                await self._reply(event)
            case Notes():
                agent, path = await self._assigned(event.to)
                await self.desk.act(agent, "POST", f"{path}/notes", {"text": event.text})
            case Closes():
                agent, path = await self._assigned(event.who, {"open", "waiting"})
                body = {} if event.confirmed is None else {"confirmed": event.confirmed}
                await self.desk.act(agent, "POST", f"{path}/close", body)

    async def _reply(self, event: Replies) -> None:
        agent, path = await self._assigned(event.to)
        await self._seen(event.to)
        provider = self.played.provider_of(event.to)
        body: Json = {"text": event.text}
        if event.template:
            body = {"template": {"name": event.template, "parameters": list(event.parameters)}}
        fails = event.meets is not Mode.OK
        if fails:
            await self.all_sent()  # so that the provider fails with this one
            await self.desk.behave(provider, event.meets)
        answer = await self.desk.ask(agent, "POST", f"{path}/replies", body)
        if not answer.is_success and not event.refused:
            raise ApiError.of(answer)
        said: Json = answer.json()
        if answer.is_success:
            replied = Replied(event, agent, provider, str(said["message_id"]))
            self._under_way[replied.message_id] = event.to
        else:
            offers = tuple(str(each["name"]) for each in said.get("templates", ()))
            replied = Replied(event, agent, provider, problem=said["type"].rpartition("/")[2], offers=offers)
        self.played.replied.append(replied)
        if fails:
            await self.all_sent()

    async def _seen(self, who: str) -> None:
        """Wait until the timeline shows what the person wrote last; whatever it is may change the answer."""
        last = self.played.last_words(who)

        async def shown() -> bool:
            return any(last in str(item.get("text") or "") for item in await self._timeline(who))

        if not await eventually(shown, bool, SEEN_SECONDS):
            message = f"what {who} wrote is not on the timeline after {SEEN_SECONDS:.0f} s"
            raise TimeoutError(message)

    async def _timeline(self, who: str) -> list[Json]:
        customer = await self.desk.customer(self.played.identifiers[who])
        return await self.desk.timeline(customer, self.played.started) if customer else []

    async def all_sent(self) -> None:
        """Wait until no reply is under way."""

        async def waiting() -> dict[str, str]:
            left: dict[str, str] = {}
            for who in set(self._under_way.values()):
                items = await self._timeline(who)
                gone = {item["id"] for item in items if item.get("status", "queued") != "queued"}
                left |= {own: to for own, to in self._under_way.items() if to == who and own not in gone}
            return left

        self._under_way = await eventually(waiting, lambda left: not left, SENT_SECONDS)
        if self._under_way:
            message = f"replies are still under way after {SENT_SECONDS:.0f} s"
            raise TimeoutError(message)

    async def _assigned(self, who: str, statuses: Container[str] = frozenset({"open"})) -> tuple[str, str]:
        """Return who has the person's Conversation, a lead where nobody has it in time, and its path."""

        async def current() -> Json | None:
            customer = await self.desk.customer(self.played.identifiers[who])
            return await self.desk.conversation(customer) if customer else None

        found = await eventually(
            current,
            lambda it: it is not None and it["agent"] is not None and it["status"] in statuses,
            ASSIGNED_SECONDS,
        )
        if found is None:
            message = f"{who} has no Conversation after {ASSIGNED_SECONDS:.0f} s"
            raise TimeoutError(message)
        return str(found["agent"] or LEAD), f"/conversation/v1/conversations/{found['id']}"
