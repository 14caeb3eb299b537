"""What only matters now: told to the live feed, kept nowhere."""

from dataclasses import dataclass
from uuid import uuid4

from schemas.signals import AgentTyping, AgentTypingData
from schemas.topics import CHATS_SIGNALS
from services.chassis.auth import Principal
from services.chassis.broker import Outgoing, Publisher
from services.chassis.clock import Clock, utc_now
from services.conversation.domain.model import Conversation


@dataclass(frozen=True)
class Signals:
    """Publishes signals; one that is lost is missed by nobody for long."""

    publisher: Publisher
    clock: Clock = utc_now

    async def typing(self, conversation: Conversation, caller: Principal, *, typing: bool) -> None:
        """Tell that the caller types to the Customer, or has stopped. Raises BrokerUnavailable."""
        signal = AgentTyping(
            id=uuid4(),
            occurred_at=self.clock(),
            correlation=uuid4(),
            customer_id=conversation.customer_id,
            data=AgentTypingData(
                conversation_id=conversation.id,
                inbox=conversation.inbox,
                agent=caller.subject,
                typing=typing,
            ),
        )
        outgoing = Outgoing(CHATS_SIGNALS.name, conversation.customer_id, signal.json_bytes())
        await self.publisher.publish([outgoing])
