"""What a caller may see: Agents their own Inboxes, leads all."""

from collections.abc import Sequence

from pymongo import ReplaceOne

from schemas.routing import AgentChanged
from services.chassis.auth import Principal, Role
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.mongo import bulk
from services.chassis.problems import not_found
from services.conversation.domain.model import Conversation
from services.conversation.store import Store


class Access:
    """Answers from a copy of the router's Agents, kept from `agents.events`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def learn(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `agents.events`: the newest state of each Agent."""
        newest: dict[str, AgentChanged] = {}
        for delivery in batch:
            message: AgentChanged = delivery.message
            newest[message.data.agent] = message
        operations = [
            ReplaceOne(
                {"_id": agent, "seq": {"$lt": message.seq}},
                {"_id": agent, "seq": message.seq, "inboxes": list(message.data.inboxes)},
                upsert=True,
            )
            for agent, message in newest.items()
        ]
        await bulk(self._store.agents, operations)
        return [HANDLED] * len(batch)

    async def inboxes(self, caller: Principal) -> list[str] | None:
        """Return the Inboxes the caller sees; None for all."""
        if caller.may(Role.LEAD):
            return None
        agent = await self._store.agents.find_one({"_id": caller.subject})
        return list(agent["inboxes"]) if agent else []

    async def conversation(self, caller: Principal, conversation_id: str) -> Conversation:
        """Return a Conversation the caller may see. Raises Problem 404."""
        found = await self._store.conversation(conversation_id)
        own = await self.inboxes(caller)
        if found is None or (own is not None and found.inbox not in own):
            raise not_found(f"the Conversation {conversation_id}")
        return found

    async def customer(self, caller: Principal, customer_id: str) -> None:
        """Raise Problem 404 unless the caller has, or had, the Customer in an own Inbox."""
        own = await self.inboxes(caller)
        query = {"customer_id": customer_id, **({"inbox": {"$in": own}} if own is not None else {})}
        if await self._store.conversations.find_one(query, {"_id": 1}) is None and (
            own is not None or await self._store.timeline.find_one({"home": customer_id}, {"_id": 1}) is None
        ):
            raise not_found(f"the Customer {customer_id}")
