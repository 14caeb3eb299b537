"""Twilio's own list of who has opted out: kept from the texts it hears, whatever becomes of our webhook.

https://help.twilio.com/articles/223134027: the whole text must be the keyword.
"""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

_STOP = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
_START = frozenset({"start", "yes", "unstop"})


class Heard(BaseModel):
    """A text from `sender` to `to`, both numbers, as the network brings it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sender: str
    to: str
    text: str


class Blocklist:
    """Pairs of numbers between which nothing is sent."""

    def __init__(self) -> None:
        self._blocked: set[tuple[str, str]] = set()

    def hear(self, heard: Heard) -> None:
        """Take in a text."""
        word = heard.text.strip().lower()
        if word in _STOP:
            self._blocked.add((heard.to, heard.sender))
        elif word in _START:
            self._blocked.discard((heard.to, heard.sender))

    def blocks(self, ours: str, theirs: str) -> bool:
        """Tell whether our number must not write to theirs."""
        return (ours, theirs) in self._blocked


def router(blocklist: Blocklist, provider: str) -> APIRouter:
    """Return the route by which the local stack lets the provider hear a text."""
    routes = APIRouter()

    @routes.post(f"/{provider}/heard", status_code=204)
    async def hear(heard: Heard) -> None:
        blocklist.hear(heard)

    return routes
