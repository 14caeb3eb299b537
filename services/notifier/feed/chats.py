"""Which visitor a chat message, or a Conversation, belongs to: what streams of visitors are routed by."""

from collections import OrderedDict
from dataclasses import dataclass

MOST = 50_000


def visitor_key(account: str, visitor_id: str) -> str:
    """Return the name of a visitor; ids are unique within a widget."""
    return f"{account}/{visitor_id}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a visitor's chat is: whose, which, and in which Inbox (None until an event told it)."""

    conversation_id: str | None
    customer_id: str | None = None
    inbox: str | None = None


class Chats:
    """The latest chats, learnt from the messages that pass by; older ones are forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._messages: OrderedDict[str, str] = OrderedDict()
        self._conversations: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._places: OrderedDict[str, Place] = OrderedDict()

    def learn(self, conversation_id: str, message_id: str, visitor: str) -> None:
        """Remember that the message, and with it the Conversation, is this visitor's."""
        self._messages[message_id] = visitor
        self._messages.move_to_end(message_id)
        known = self._conversations.get(conversation_id, ())
        self._conversations[conversation_id] = known if visitor in known else (*known, visitor)
        self._conversations.move_to_end(conversation_id)
        if self._places.get(visitor, Place(None)).conversation_id != conversation_id:
            self._places[visitor] = Place(conversation_id)
        self._places.move_to_end(visitor)
        for memory in (self._messages, self._conversations, self._places):
            while len(memory) > self._most:
                memory.popitem(last=False)

    def unite(self, conversation_id: str, into: str) -> None:
        """Remember that a Conversation goes on in another, and its visitors with it."""
        for visitor in self._conversations.pop(conversation_id, ()):
            known = self._conversations.get(into, ())
            self._conversations[into] = known if visitor in known else (*known, visitor)
            self._places[visitor] = Place(into)

    def forget(self, conversation_id: str) -> None:
        """Forget whose chats are in a Conversation: it was split, and their next messages tell it."""
        for visitor in self._conversations.pop(conversation_id, ()):
            self._places.pop(visitor, None)

    def sits(self, conversation_id: str, customer_id: str | None, inbox: str) -> None:
        """Remember where a Conversation is, if it is a chat."""
        for visitor in self._conversations.get(conversation_id, ()):
            if visitor in self._places and self._places[visitor].conversation_id == conversation_id:
                self._places[visitor] = Place(conversation_id, customer_id, inbox)

    def of_visitor(self, visitor: str) -> Place | None:
        """Return where the visitor's latest chat is, if it is known."""
        return self._places.get(visitor)

    def of_message(self, message_id: str) -> tuple[str, ...]:
        """Return the visitor who wrote or got the message, if it is known."""
        visitor = self._messages.get(message_id)
        return () if visitor is None else (visitor,)

    def of_conversation(self, conversation_id: str) -> tuple[str, ...]:
        """Return the visitors who chatted in the Conversation, as far as known."""
        return self._conversations.get(conversation_id, ())
