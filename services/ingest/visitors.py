"""Who a chat visitor is: what the site signed, and, kept apart from it, what the visitor claimed."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Protocol

from schemas.common import Identifier
from services.chassis.accounts import Account
from services.ingest.channels.webchat import SessionRequest, verified_identity

_MOST_REMEMBERED = 20_000
_REMEMBERED_SECONDS = 10.0
"""Who is erased is forgotten here too after so long."""


@dataclass(frozen=True, slots=True)
class VisitorRecord:
    """What is known of a visitor; it never changes."""

    visitor_id: str
    account: str
    expires_at: datetime
    identifiers: tuple[Identifier, ...] = ()
    """Verified."""
    name: str | None = None
    claimed_email: str | None = None
    """Typed by the visitor: never an identifier."""


class VisitorStore(Protocol):
    """Keeps visitors of whom something is known."""

    async def add(self, visitor: VisitorRecord) -> None:
        """Store a new visitor."""

    async def find(self, visitor_id: str) -> VisitorRecord | None:
        """Return the visitor, or None when nothing is known besides the id."""


def random_visitor_id() -> str:
    """Return an id nobody can guess (128 random bits)."""
    return secrets.token_hex(16)


class Visitors:
    """Starts sessions, and remembers who visitors are."""

    def __init__(self, store: VisitorStore, lifetime: timedelta, new_id: Callable[[], str]) -> None:
        self._store = store
        self._lifetime = lifetime
        self._new_id = new_id
        self._remembered: OrderedDict[str, tuple[float, VisitorRecord | None]] = OrderedDict()

    async def start(self, request: SessionRequest, account: Account, now: datetime) -> VisitorRecord:
        """Return a new visitor. Raises BadIdentityToken."""
        proven = verified_identity(request.identity_token, account) if request.identity_token else ()
        visitor = VisitorRecord(
            self._new_id(),
            account.account,
            now + self._lifetime,
            proven,
            request.name or None,
            request.email or None,
        )
        if visitor.identifiers or visitor.name or visitor.claimed_email:
            await self._store.add(visitor)
        return visitor

    async def known(self, visitor_id: str) -> VisitorRecord | None:
        """Return what is known of the visitor; None if nothing is."""
        now = time.monotonic()
        read_at, known = self._remembered.get(visitor_id, (-inf, None))
        if now - read_at > _REMEMBERED_SECONDS:
            known = await self._store.find(visitor_id)
            self._remembered[visitor_id] = (now, known)
            self._remembered.move_to_end(visitor_id)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return known
