"""What becomes of integrators' webhook subscriptions: `webhooks.events`, key: the subscription."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.envelope import Count, Envelope, Model, Time


class PauseReason(StrEnum):
    """Why nothing is sent: an admin wished so, the endpoint failed for too long, or it answered 410."""

    REQUESTED = "requested"
    FAILING = "failing"
    GONE = "gone"


class WebhookPausedData(Model):
    """Which subscription, and how its endpoint did."""

    webhook_id: str
    reason: PauseReason
    failures: Count = 0
    """Failed requests since its last success."""
    failing_since: Time | None = None
    last_status: Count | None = None
    """HTTP status of the last answer; None where none came."""


class WebhookResumedData(Model):
    """Which subscription."""

    webhook_id: str


class WebhookPaused(Envelope):
    """A subscription was paused: nothing is sent to it, and nothing is lost, until it is resumed."""

    type: Literal["webhook.paused"] = "webhook.paused"
    data: WebhookPausedData


class WebhookResumed(Envelope):
    """A paused subscription goes on from where it stopped."""

    type: Literal["webhook.resumed"] = "webhook.resumed"
    data: WebhookResumedData


AnyWebhookEvent = Annotated[WebhookPaused | WebhookResumed, Field(discriminator="type")]
