"""How long things last in a pool, and when an Agent counts as away."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """A pool's settings, times in seconds; part of the journal, so that a replay uses the same."""

    offer_seconds: float = 45.0
    """An offer ends unanswered after so long."""
    ask_again_seconds: float = 60.0
    """Who rejected an offer, or let it time out, is not asked again for that Conversation before."""
    timeouts_until_away: int = 2
    """So many unanswered offers in a row make an Agent away."""
    heartbeat_seconds: float = 30.0
    """An Agent whose device has sent a heartbeat is lost after so long without another."""
    preferred_grace_seconds: float = 10.0
    """How long a request waits for a preferred Agent who is signed on, but full or away."""
    remember_seconds: float = 600.0
    """How long the epoch of a Conversation that holds nothing is remembered."""
