"""What was done of the day, and how it was answered."""

from dataclasses import dataclass, field
from datetime import datetime

from deploy.local.demo.day import Replies, WebhookEvent
from deploy.local.webhooks import Webhook
from schemas.common import Channel


@dataclass(frozen=True, slots=True)
class Posted:
    """One webhook and its answer. `shows` is what the timeline must say, empty where it says nothing."""

    event: WebhookEvent
    webhook: Webhook
    channel: Channel
    who: str
    shows: str
    status: int = 0
    quarantined: bool = False

    @property
    def provider(self) -> str:
        """Whose webhook it is."""
        return self.webhook.path.split("/")[3]


@dataclass(frozen=True, slots=True)
class Replied:
    """One answer of an Agent's: the message it became, or the problem that Parley answered."""

    event: Replies
    agent: str
    provider: str
    message_id: str = ""
    problem: str = ""
    offers: tuple[str, ...] = ()
    """Names of templates that may be sent instead."""


@dataclass(slots=True)
class Played:
    """What happened. `identifiers` are by person."""

    started: datetime
    posted: list[Posted] = field(default_factory=list)
    replied: list[Replied] = field(default_factory=list)
    identifiers: dict[str, str] = field(default_factory=dict)

    def provider_of(self, who: str) -> str:
        """Return by whom the person wrote last."""
        return next(each.provider for each in reversed(self.posted) if each.who == who)

    def last_words(self, who: str) -> str:
        """Return what the timeline must show of what the person sent last; empty for nothing."""
        sent = (each.shows for each in reversed(self.posted) if each.who == who)
        return next((words for words in sent if words), "")
