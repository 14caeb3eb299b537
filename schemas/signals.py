"""What only matters now: `chats.signals`. Shown on the live feed, never kept, never replayed."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.envelope import Envelope, Model, Personal


class VisitorTypingData(Model):
    """A visitor of a widget began to type, or stopped."""

    account: str
    typing: bool


class VisitorTypingPersonal(Personal):
    """Who."""

    visitor: str


class VisitorTyping(Envelope):
    """Key: the visitor's id."""

    type: Literal["visitor.typing"] = "visitor.typing"
    data: VisitorTypingData
    personal: VisitorTypingPersonal


class AgentTypingData(Model):
    """An Agent began to type to the Customer of a Conversation, or stopped."""

    conversation_id: str
    inbox: str
    agent: str
    typing: bool


class AgentTyping(Envelope):
    """Key: Customer."""

    type: Literal["agent.typing"] = "agent.typing"
    customer_id: str
    data: AgentTypingData


AnySignal = Annotated[VisitorTyping | AgentTyping, Field(discriminator="type")]
