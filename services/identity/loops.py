"""Events that a crash or an absent broker left behind."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.chassis.clock import Clock
from services.identity.settings import IdentitySettings
from services.identity.store import Store

MOST = 200


def sweep_outboxes(store: Store, settings: IdentitySettings, clock: Clock) -> Callable[[], Awaitable[None]]:
    """Return a round that publishes them. Every replica may: an event is known by its id."""

    async def round_() -> None:
        await store.outbox.observe()
        before = clock() - timedelta(seconds=settings.outbox_age_seconds)
        await store.drain([], await store.left(before, MOST))

    return round_
