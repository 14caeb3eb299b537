"""How a simulated provider behaves next: well, or in one of the ways that providers fail."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Provider = Literal["twilio-sms", "whatsapp", "mime"]


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


class Behaviour(BaseModel):
    """An order to a provider: be like `mode` for the next `count` requests, or until told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Provider
    mode: Mode
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Behaviours:
    """The current order of each provider; without one it behaves well."""

    def __init__(self) -> None:
        self._orders: dict[str, Behaviour] = {}

    def order(self, behaviour: Behaviour) -> None:
        """Take the place of the provider's former order."""
        self._orders[behaviour.provider] = behaviour

    def current(self) -> list[Behaviour]:
        """Return the orders still in force."""
        return list(self._orders.values())

    def take(self, provider: str) -> Mode:
        """Return the mode of the request that came just now, and count it."""
        order = self._orders.get(provider)
        if order is None:
            return Mode.OK
        if order.count == 1:
            del self._orders[provider]
        elif order.count is not None:
            self._orders[provider] = order.model_copy(update={"count": order.count - 1})
        return order.mode
