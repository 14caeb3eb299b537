"""What a caller may see: Agents their own Inboxes, leads all."""

from collections.abc import Sequence

from schemas.customers import CustomerErased
from schemas.routing import AgentChanged
from services.chassis.auth import Principal, Role
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.problems import not_found
from services.conversation.domain.model import Conversation
from services.conversation.store import Store


class Access:
    """Answers from copies of what router and identity tell."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def learn(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `agents.events`: the newest state of each Agent."""
        newest: dict[str, AgentChanged] = {}
        for delivery in batch:
            message: AgentChanged = delivery.message
            known = newest.get(message.data.agent)
            if known is None or message.seq > known.seq:
                newest[message.data.agent] = message
        await self._store.learn_agents(
            {agent: (message.seq, message.data.inboxes) for agent, message in newest.items()}
        )
        return [HANDLED] * len(batch)

    async def meet(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `customers.events`: which Customers there are."""
        there = {each.message.customer_id for each in batch if not isinstance(each.message, CustomerErased)}
        await self._store.learn_customers(sorted(there))
        return [HANDLED] * len(batch)

    async def inboxes(self, caller: Principal) -> list[str] | None:
        """Return the Inboxes the caller sees; None for all."""
        if caller.may(Role.LEAD):
            return None
        return await self._store.agent_inboxes(caller.subject)

    async def conversation(self, caller: Principal, conversation_id: str) -> Conversation:
        """Return a Conversation the caller may see. Raises Problem 404."""
        found = await self._store.conversation(conversation_id)
        own = await self.inboxes(caller)
        if found is None or (own is not None and found.inbox not in own):
            raise not_found(f"the Conversation {conversation_id}")
        return found

    async def customer(self, caller: Principal, customer_id: str) -> None:
        """Raise Problem 404 unless a Conversation of theirs is in an own Inbox, or they have none."""
        own = await self.inboxes(caller)
        if await self._store.has_conversation(customer_id, None):
            if own is None or await self._store.has_conversation(customer_id, own):
                return
        elif await self._store.knows(customer_id):
            return
        raise not_found(f"the Customer {customer_id}")
