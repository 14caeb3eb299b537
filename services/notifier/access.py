"""Which Inboxes an Agent sees: a copy of the router's Agents, kept from `agents.events`.

One replica writes each change to the database; every replica hears it at once by its tail. The newest
`seq` of an Agent is the truth, wherever it is found.
"""

from collections.abc import Callable, Iterable, Sequence

from pymongo import ReplaceOne

from schemas.routing import AgentChanged
from services.chassis.auth import Principal, Role
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.mongo import Database, bulk


class Access:
    """Answers who may see what."""

    def __init__(self, database: Database, on_change: Callable[[str, Iterable[str]], None]) -> None:
        self._agents = database["agents"]
        self._heard: dict[str, tuple[int, frozenset[str]]] = {}
        self._on_change = on_change

    async def learn(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `agents.events`: keep the newest state of each Agent."""
        newest: dict[str, AgentChanged] = {}
        for delivery in batch:
            message: AgentChanged = delivery.message
            if message.data.agent not in newest or newest[message.data.agent].seq < message.seq:
                newest[message.data.agent] = message
        await bulk(
            self._agents,
            [
                ReplaceOne(
                    {"_id": agent, "seq": {"$lt": message.seq}},
                    {"_id": agent, "seq": message.seq, "inboxes": list(message.data.inboxes)},
                    upsert=True,
                )
                for agent, message in newest.items()
            ],
        )
        return [HANDLED] * len(batch)

    def hear(self, message: AgentChanged) -> None:
        """Take in a change as it happens."""
        agent, inboxes = message.data.agent, frozenset(message.data.inboxes)
        if self._heard.get(agent, (-1, inboxes))[0] < message.seq:
            self._heard[agent] = (message.seq, inboxes)
            self._on_change(agent, inboxes)

    async def inboxes(self, caller: Principal) -> frozenset[str] | None:
        """Return the Inboxes the caller sees; None for all."""
        if caller.may(Role.LEAD):
            return None
        stored = await self._agents.find_one({"_id": caller.subject})
        kept = (stored["seq"], frozenset(stored["inboxes"])) if stored else (-1, frozenset[str]())
        heard = self._heard.get(caller.subject, (-1, frozenset[str]()))
        return max(kept, heard, key=lambda state: state[0])[1]
