"""Fetches the files of messages, off the request path: whoever is slow holds up their own provider alone."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from schemas.common import BlobRef
from services.chassis.accounts import Accounts
from services.chassis.blobs import BlobMissing, BlobStore, contents, named
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.faults import is_transient
from services.chassis.filetypes import safe_name, sniffed
from services.chassis.logging import log
from services.chassis.loops import told_to_end
from services.ingest import metrics
from services.ingest.attachments import GivenUp, Job, Later, Patience, Place, jobs, next_try
from services.ingest.mail.message import attached
from services.ingest.settings import IngestSettings
from services.ingest.sources import LOOKED_UP, Downloaded, Downloads

_PAUSE = 1.0
_LEASE_MORE = 60.0
"""Seconds for storing, besides those for fetching, before another replica takes the job."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was fetched, and is kept."""

    blob: BlobRef
    content_type: str
    filename: str


class Jobs(Protocol):
    """Keeps what is to be fetched, and what became of it."""

    async def add(self, jobs: Sequence[Job]) -> None:
        """Remember those that are new, and those that were not there yet when an earlier message told."""

    async def claim(self, now: datetime, lease: timedelta, busy: Sequence[str]) -> Job | None:
        """Give one that is due, of a provider that is not `busy`; it is due again after the lease."""

    async def postpone(self, job: Job, due: datetime) -> None:
        """Try it again at `due`."""

    async def stored(self, job: Job, stored: Stored) -> bool:
        """Conclude it; False when it was concluded before."""

    async def refused(self, job: Job, reason: str) -> None:
        """Conclude it without a file."""


@dataclass
class Fetching:
    """Works through the jobs, some at a time and only so many of one provider."""

    jobs: Jobs
    blobs: BlobStore
    accounts: Accounts
    downloads: Downloads
    settings: IngestSettings
    refused_types: frozenset[str]
    clock: Clock = utc_now
    _out: set[asyncio.Task[None]] = field(default_factory=set)
    _busy: Counter[str] = field(default_factory=Counter)
    _left: list[Job] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._patience = Patience(
            timedelta(seconds=self.settings.fetch_retry_first_seconds),
            timedelta(seconds=self.settings.fetch_retry_most_seconds),
            timedelta(seconds=self.settings.fetch_limit_seconds),
        )

    async def learn(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Consumer of `messages.inbound`: remember what is to be fetched."""
        found = [job for delivery in batch for job in jobs(delivery.message, LOOKED_UP)]
        if found:
            await self.jobs.add(found)
            self._news.set()
        return [HANDLED] * len(batch)

    def follow(self, accounts: Accounts) -> None:
        """Fetch with these accounts from now on."""
        self.accounts = accounts

    async def run(self) -> None:
        """Fetch until cancelled; what is then under way is left to be taken up at once by another."""
        try:
            while not told_to_end():
                self._news.clear()
                await self._begin_what_is_due()
                if told_to_end():
                    break
                try:
                    async with asyncio.timeout(self.settings.fetch_poll_seconds):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._out:
                task.cancel()
            await asyncio.gather(*self._out, return_exceptions=True)
            for job in self._left:
                await self.jobs.postpone(job, self.clock())

    async def _begin_what_is_due(self) -> None:
        lease = timedelta(seconds=self.settings.fetch_seconds + _LEASE_MORE)
        while len(self._out) < self.settings.fetches_at_once:
            busy = [name for name, count in self._busy.items() if count >= self.settings.fetches_per_provider]
            try:
                job = await self.jobs.claim(self.clock(), lease, busy)
            except Exception as error:  # noqa: BLE001  (the worker outlives any failure)
                log.warning("fetch_claim_failed", error=type(error).__name__)
                await asyncio.sleep(_PAUSE)
                return
            if job is None:
                return
            self._busy[job.provider] += 1
            task = asyncio.create_task(self._settle(job))
            self._out.add(task)
            task.add_done_callback(lambda task, job=job: self._done(task, job))  # type: ignore[misc]  # bound now

    def _done(self, task: asyncio.Task[None], job: Job) -> None:
        self._out.discard(task)
        self._busy[job.provider] -= 1
        self._news.set()

    async def _settle(self, job: Job) -> None:
        """Make one try, and save what became of it; what cannot be saved is tried again after the lease."""
        try:
            outcome = await self.settle(job)
        except asyncio.CancelledError:
            self._left.append(job)
            raise
        except Exception as error:  # noqa: BLE001  (one file's fault costs no other)
            log.warning("fetch_not_saved", attachment=job.id, error=type(error).__name__)
        else:
            metrics.ATTACHMENTS.labels(job.provider, outcome).inc()

    async def settle(self, job: Job) -> str:
        """Return what became of one try: `stored`, `postponed` or `refused`."""
        after, reason = None, "unavailable"
        try:
            return await self._keep(job, await self._fetched(job))
        except GivenUp as given_up:
            return await self._refuse(job, given_up.reason)
        except Later as later:
            after, reason = later.after_seconds, later.reason
        except Exception as error:  # noqa: BLE001  (whatever it is, it ends when the patience does)
            log.warning(
                "fetch_failed",
                attachment=job.id,
                error=type(error).__name__,
                exc_info=None if is_transient(error) else error,
            )
        due = next_try(job, self.clock(), self._patience, after)
        if due is None:
            return await self._refuse(job, reason)
        await self.jobs.postpone(job, due)
        return "postponed"

    async def _fetched(self, job: Job) -> Downloaded:
        if job.place is Place.NOWHERE:
            raise GivenUp("nothing_to_fetch")
        if job.place in (Place.PART, Place.BLOB):
            return Downloaded(await self._of_our_own(job))
        account = self.accounts.find(job.provider, job.account)
        if account is None:
            raise Later("no account", reason="no_account")  # this replica may not have read of it yet
        return await self.downloads.fetch(account, job)

    async def _of_our_own(self, job: Job) -> bytes:
        try:
            data = await contents(self.blobs, job.where)
        except BlobMissing:
            raise GivenUp("lost") from None
        if job.place is Place.PART:
            data = await asyncio.to_thread(attached, data, job.index)
        if not data:
            raise GivenUp("nothing_to_fetch")
        if len(data) > self.settings.attachment_most_bytes:
            raise GivenUp("too_large")
        return data

    async def _keep(self, job: Job, fetched: Downloaded) -> str:
        kind = await asyncio.to_thread(sniffed, fetched.data, job.content_type or fetched.content_type)
        if kind in self.refused_types:
            raise GivenUp("type_not_allowed")
        name = safe_name(job.filename, kind, f"file-{job.id[:8]}")
        if job.place is Place.BLOB:
            await self.jobs.stored(job, Stored(named(fetched.data, job.where, kind, name), kind, name))
            return "stored"
        blob = await self.blobs.put(fetched.data, kind, name)
        if not await self.jobs.stored(job, Stored(blob, kind, name)):
            await self.blobs.delete(blob.ref)  # another was first
        return "stored"

    async def _refuse(self, job: Job, reason: str) -> str:
        await self.jobs.refused(job, reason)
        log.info("attachment_refused", attachment=job.id, provider=job.provider, reason=reason)
        return "refused"
