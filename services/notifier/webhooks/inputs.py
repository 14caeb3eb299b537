"""Bodies of the routes of webhook subscriptions."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from schemas.catalogue import EVENTS
from schemas.envelope import Time
from services.notifier.webhooks.rules import unknown_pattern


def _known(patterns: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [repr(pattern) for pattern in patterns if unknown_pattern(pattern)]
    if unknown:
        groups = sorted({f"{event.group}.*" for event in EVENTS.values()})
        message = (
            f"unknown event {', '.join(unknown)}; "
            f"use `*`, {', '.join(groups)}, or a type of GET webhooks/catalogue"
        )
        raise ValueError(message)
    return patterns


Url = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=100), AfterValidator(_known)]


class Input(BaseModel):
    """A body; unknown fields are refused, so a misspelled one is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookInput(Input):
    """A new subscription."""

    url: Url
    events: Patterns


class WebhookPatch(Input):
    """What to change; what is left out, or null, stays."""

    url: Url | None = None
    events: Patterns | None = None
    paused: bool | None = None
    rotate_secret: bool = False


class ReplayInput(Input):
    """From when events are sent again."""

    since: Time = Field(alias="from")
