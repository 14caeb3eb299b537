"""What a caller may see: Agents their own Inboxes, leads all."""

from collections.abc import Sequence

from schemas.customers import CustomerErased
from schemas.routing import AgentChanged
from services.chassis.audit import about
from services.chassis.auth import Principal, Role
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.problems import moved, not_found
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

    async def mentioned(self, names: Sequence[str], inbox: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return which of the Agents named may see what is in the Inbox, by their ids, and the other names.

        A mention opens nothing: who may not see a Conversation is not told of a note on it, and the answer
        does not tell such an Agent from one who does not exist. Leads are known if they have a profile.
        """
        known = await self._store.agents_called(names)
        seeing = {agent.casefold(): agent for agent, inboxes in known.items() if inbox in inboxes}
        folded = {name: name.casefold() for name in names}
        return (
            tuple(seeing[each] for each in folded.values() if each in seeing),
            tuple(name for name, each in folded.items() if each not in seeing),
        )

    async def conversation(self, caller: Principal, conversation_id: str) -> Conversation:
        """Return a Conversation the caller may see. Raises Problem 404; 308 where another goes on for it."""
        found = await self.seen(caller, conversation_id)
        if found.merged_into is not None:
            raise moved("conversation", conversation_id, found.merged_into)
        return (await self._store.with_customers([found]))[0]

    async def seen(self, caller: Principal, conversation_id: str) -> Conversation:
        """Return a Conversation the caller may see, also one that ended in another. Raises Problem 404."""
        found = await self._store.conversation(conversation_id)
        own = await self.inboxes(caller)
        if found is None or (own is not None and found.inbox not in own):
            raise not_found(f"the Conversation {conversation_id}")
        about(found.customer_id, conversation=found.id)
        return found

    async def customer(self, caller: Principal, customer_id: str) -> tuple[str, ...]:
        """Return the homes of a Customer whom the caller may see.

        That are those with a Conversation in an own Inbox, and those without any. Raises Problem 404;
        308 for one whom another absorbed.
        """
        homes = await self.homes(caller, customer_id)
        if homes[0] != customer_id:
            raise moved("customer", customer_id, homes[0])
        return homes

    async def homes(self, caller: Principal, customer_id: str) -> tuple[str, ...]:
        """Return the homes of whoever stands for a Customer. Raises Problem 404."""
        own = await self.inboxes(caller)
        homes = await self._store.homes(customer_id)
        if await self._store.has_conversation(homes, None):
            seen = own is None or await self._store.has_conversation(homes, own)
        else:
            seen = await self._store.knows(homes)
        if not seen:
            raise not_found(f"the Customer {customer_id}")
        about(homes[0])
        return homes
