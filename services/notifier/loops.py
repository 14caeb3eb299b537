"""What notifier does by the clock: fates for interrupted messages, left-over effects, measures."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from schemas.common import DeliveryStatus
from services.notifier import metrics
from services.notifier.handlers import Sends
from services.notifier.settings import NotifierSettings
from services.notifier.store import Store

Round = Callable[[], Awaitable[None]]


def recover(sends: Sends) -> Round:
    """Return a round that settles messages whose sender is gone."""

    async def round_() -> None:
        for send in await sends.recover():
            if send.status is DeliveryStatus.UNKNOWN:
                metrics.UNKNOWN.labels(send.provider).inc()

    return round_


def sweep(sends: Sends, settings: NotifierSettings) -> Round:
    """Return a round that carries out effects which a crash or an absent broker left behind."""

    async def round_() -> None:
        await sends.sweep(sends.clock() - timedelta(seconds=settings.outbox_age_seconds))

    return round_


def abandon(sends: Sends, settings: NotifierSettings) -> Round:
    """Return a round that fails what has waited too long for an account that is gone or does not work."""

    async def round_() -> None:
        await sends.abandon(timedelta(seconds=settings.retry_limit_seconds))

    return round_


def observe(store: Store) -> Round:
    """Return a round that measures what waits."""
    seen: set[str] = set()

    async def round_() -> None:
        await store.outbox.observe()
        waiting = await store.waiting()
        seen.update(waiting)
        for source in seen:
            metrics.WAITING.labels(source).set(waiting.get(source, 0))

    return round_
