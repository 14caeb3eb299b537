"""What stands in for a provider: its sending API, and the webhook it posts when somebody writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import APIRouter

from deploy.local.simulator.behaviour import Behaviours
from deploy.local.simulator.callbacks import Callbacks
from deploy.local.simulator.sent import Sent
from deploy.local.webhooks import Webhook
from schemas.common import Channel
from services.chassis.accounts import Account, Accounts


@dataclass(frozen=True, slots=True)
class Writing:
    """What somebody writes. `unique` (hex) is all that ids are made of; no two messages have the same."""

    sender: str
    """The address on the channel."""
    text: str
    unique: str
    at: datetime
    name: str = ""
    subject: str = ""
    """Of a mail; without one it begins as the text does."""
    answers: str = ""
    """The Message-ID of the mail that this one answers."""
    automatic: bool = False
    """A mail that nobody wrote (RFC 3834)."""
    pictures: Sequence[str] = ()
    """URLs, of an MMS."""


Router = Callable[[Accounts, Behaviours, Sent, Callbacks], APIRouter]
Writes = Callable[[Account, str, Writing], Webhook]
"""Returns the webhook that tells an account of a message; its signature may cover the given public URL."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """One provider's row."""

    provider: str
    channel: Channel
    sender: str
    """An address of somebody to write from."""
    writes: Writes
    router: Router
    """Its API, below `/dev/providers`."""
    clock: timedelta | None = None
    """The unit of the time that its webhook tells; None where it tells none that we go by."""
