"""Room: how much an Agent holds, and whether more fits (domain: Routing, Eligible Agent)."""

from collections import Counter
from dataclasses import dataclass, field

from schemas.common import ChannelClass
from services.router.domain.state import Agent, Classes


@dataclass(slots=True)
class Hand:
    """What one Agent holds, offers included, by Conversation."""

    held: dict[str, Classes] = field(default_factory=dict)
    counts: Counter[ChannelClass] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Number of Conversations."""
        return len(self.held)

    def take(self, conversation_id: str, needed: Classes) -> None:
        """Hold the Conversation with exactly these classes."""
        self.drop(conversation_id)
        self.held[conversation_id] = needed
        self.counts.update(needed)

    def drop(self, conversation_id: str) -> None:
        """Hold it no more."""
        self.counts.subtract(self.held.pop(conversation_id, ()))

    def load(self) -> dict[str, int]:
        """Return the load as the API shows it."""
        return {"total": self.total, **{str(name): self.counts[name] for name in ChannelClass}}


def shortage(agent: Agent, hand: Hand, needed: Classes, own: str) -> str | None:
    """Return why Conversation `own` does not fit, in words, or None when it does.

    What the Agent already holds of `own` is not counted. A call is alone unless the profile says
    otherwise: nothing joins it, and it joins nothing but Tasks, which can wait as long as it lasts.
    """
    mine = hand.held.get(own, ())
    total = hand.total - (own in hand.held)
    calls = hand.counts[ChannelClass.VOICE] - (ChannelClass.VOICE in mine)
    if total >= agent.capacity.total:
        return f"{agent.id} has {total} of {agent.capacity.total} Conversations"
    for name in needed:
        count = hand.counts[name] - (name in mine)
        most = getattr(agent.capacity, name)
        if count >= most:
            return f"{agent.id} has {count} of {most} {name} Conversations"
    if agent.voice_alone and calls and ChannelClass.VOICE not in needed:
        return f"{agent.id} is on a call"
    for held, barred in agent.excludes.items():
        joining = next((name for name in needed if name in barred), None)
        if joining and hand.counts[held] > (held in mine):
            return f"{agent.id} has something of {held}, which excludes {joining}"
    others = total - calls - hand.counts[ChannelClass.TASKS]
    if agent.voice_alone and ChannelClass.VOICE in needed and others:
        return f"{agent.id} has {others} other Conversations, and a call needs all attention"
    return None
