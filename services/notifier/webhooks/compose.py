"""The parts of webhooks, put together."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import httpx

from schemas import catalogue
from schemas.hooks import PauseReason
from services.chassis.broker import Publisher
from services.chassis.clock import Clock
from services.chassis.idempotency import Commands as Once
from services.chassis.loops import every
from services.chassis.mongo import Database
from services.chassis.outside import rules_of
from services.chassis.sealing import Seals
from services.notifier import metrics
from services.notifier.feed.log import Log
from services.notifier.settings import NotifierSettings
from services.notifier.webhooks.api import Parts
from services.notifier.webhooks.commands import Commands
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.intake import Intake
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.posting import Posting
from services.notifier.webhooks.reading import Readings
from services.notifier.webhooks.requests import Requests
from services.notifier.webhooks.rules import RetryRules

Step = Callable[[], Awaitable[None]]


@dataclass
class Webhooks:
    """What the service runs and serves of webhooks."""

    endpoints: Endpoints
    posts: Posts
    intake: Intake
    posting: Posting
    readings: Readings
    routes: Parts

    async def prepare(self) -> None:
        """Create the indexes."""
        await self.endpoints.prepare()
        await self.posts.prepare()
        await self.routes.once.prepare()

    @property
    def loops(self) -> Sequence[Step]:
        """What goes on in the background."""
        return [
            self.posting.run,
            partial(every, 1.0, self.readings.round, "webhook readings"),
            partial(every, 5.0, self.posting.sweep, "webhooks left"),
            partial(every, 15.0, self.observe, "webhook measures"),
        ]

    async def observe(self) -> None:
        """Measure what is paused and what waits."""
        await self.endpoints.outbox.observe()
        reasons = [endpoint.reason for endpoint in await self.endpoints.all()]
        for reason in PauseReason:
            metrics.WEBHOOKS_PAUSED.labels(reason.value).set(reasons.count(reason))
        metrics.WEBHOOK_WAITING.set(await self.posts.waiting())


def webhooks(
    settings: NotifierSettings,
    database: Database,
    publisher: Publisher,
    client: httpx.AsyncClient,
    clock: Clock,
    seals: Seals | None = None,
) -> Webhooks:
    """Return the parts; `client` calls endpoints, and nothing in our network."""
    endpoints = Endpoints(database, publisher, clock)
    posts = Posts(database, timedelta(days=settings.webhook_deliveries_days), clock)
    posting = Posting(
        endpoints,
        posts,
        Requests(client, settings.webhook_timeout_seconds, clock),
        retry_rules(settings),
        settings.webhook_at_once,
        timedelta(seconds=settings.webhook_lease_seconds),
        settings.webhook_poll_seconds,
        settings.drain_timeout_seconds,
        clock,
    )
    most_bytes, wake = settings.webhook_most_bytes, posting.wake
    commands = Commands(
        endpoints,
        posts,
        rules_of(settings).vet,
        wake,
        settings.webhooks_most,
        timedelta(seconds=settings.webhook_secret_grace_seconds),
        clock,
    )
    return Webhooks(
        endpoints,
        posts,
        Intake(endpoints, posts, most_bytes, wake, clock),
        posting,
        Readings(endpoints, posts, Log(settings, catalogue.TOPICS, seals), most_bytes, wake, clock),
        Parts(commands, Once(database, clock), clock),
    )


def retry_rules(settings: NotifierSettings) -> RetryRules:
    """Return the rules that the settings give."""
    return RetryRules(
        tuple(timedelta(seconds=pause) for pause in settings.webhook_schedule_seconds),
        timedelta(seconds=settings.webhook_give_up_seconds),
        timedelta(seconds=settings.webhook_pause_seconds),
        settings.webhook_pause_failures,
    )
