"""How a simulated provider behaves next: well, or in one of the ways that providers fail."""

import asyncio
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.chassis.accounts import Account
from services.notifier.channels.registry import SENDERS


def _known(provider: str) -> str:
    if provider not in SENDERS:
        message = f"no such provider; there are: {', '.join(SENDERS)}"
        raise ValueError(message)
    return provider


class Mode(StrEnum):
    """What becomes of a request to send."""

    OK = "ok"
    """Accepted; status webhooks say sent, delivered (and read, where the provider tells)."""
    UNDELIVERED = "undelivered"
    """Accepted; a status webhook says later that it failed."""
    FAIL = "fail"
    """Answered 500; nothing was sent."""
    RATE_LIMITED = "rate_limited"
    """Answered 429 with Retry-After; nothing was sent."""
    REJECT = "reject"
    """Answered with an error that no repetition changes; nothing was sent."""
    HANG = "hang"
    """Never answered; nothing was sent."""
    LOSE_ANSWER = "lose_answer"
    """Sent, with its status webhooks, but the connection breaks before the answer is complete."""
    SLOW = "slow"
    """As `ok`, but only after `seconds`."""
    GARBAGE = "garbage"
    """Sent, with its status webhooks, but the answer means nothing."""
    HUGE = "huge"
    """Sent, with its status webhooks, but the answer does not end."""


class Behaviour(BaseModel):
    """An order to a provider: be like `mode` for the next `count` requests, or until told otherwise.

    With `account` only to that account; such an order goes before one to all of the provider's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Annotated[str, AfterValidator(_known)]
    mode: Mode
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    account: str | None = None
    seconds: Annotated[float, Field(ge=0, le=60)] = 3.0
    """How long `slow` takes."""


class Behaviours:
    """The current order of each provider and account; without one it behaves well."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, str | None], Behaviour] = {}

    def order(self, behaviour: Behaviour) -> None:
        """Take the place of the provider's (or its account's) former order."""
        self._orders[behaviour.provider, behaviour.account] = behaviour

    def current(self) -> list[Behaviour]:
        """Return the orders still in force."""
        return list(self._orders.values())

    async def take(self, account: Account) -> Mode:
        """Return the mode of the account's request that came just now, and count it; `slow` waits here."""
        own, common = (account.provider, account.account), (account.provider, None)
        key = own if own in self._orders else common
        order = self._orders.get(key)
        if order is None:
            return Mode.OK
        if order.count == 1:
            del self._orders[key]
        elif order.count is not None:
            self._orders[key] = order.model_copy(update={"count": order.count - 1})
        if order.mode is not Mode.SLOW:
            return order.mode
        await asyncio.sleep(order.seconds)
        return Mode.OK
