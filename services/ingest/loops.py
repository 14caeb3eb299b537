"""What ingest does by the clock: unused uploads are deleted, waiting files counted."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.chassis.attachments import Attachments
from services.chassis.clock import Clock
from services.ingest import metrics
from services.ingest.settings import IngestSettings
from services.ingest.store import FetchJobs

Round = Callable[[], Awaitable[None]]


def forget_uploads(attachments: Attachments, settings: IngestSettings, clock: Clock) -> Round:
    """Return a round that deletes uploads that no message took."""

    async def round_() -> None:
        before = clock() - timedelta(hours=settings.unused_upload_hours)
        while await attachments.forget_unused(before):
            pass

    return round_


def count_waiting(jobs: FetchJobs) -> Round:
    """Return a round that measures what waits."""

    async def round_() -> None:
        metrics.WAITING.set(await jobs.waiting())

    return round_
