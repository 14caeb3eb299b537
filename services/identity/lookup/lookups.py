"""Asks for the data of Customers who are new or known by something new, and takes what is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from schemas import ids
from schemas.common import Identifier, IdentifierKind
from schemas.customers import CustomerEvent
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.faults import BrokerUnavailable
from services.chassis.logging import log
from services.identity import metrics
from services.identity.commands import CommandStore
from services.identity.domain.attributes import Source
from services.identity.domain.breaker import Breaker
from services.identity.domain.claims import Owners, key
from services.identity.domain.profile import (
    Cause,
    Profile,
    TooMuchError,
    change,
    check_room,
    informed,
    with_identifiers,
)
from services.identity.lookup.answers import FOUND, CustomerData, Said, digest, question
from services.identity.lookup.jobs import Job, Jobs
from services.identity.settings import IdentitySettings

Ask = Callable[[str, dict[str, object]], Awaitable[Said]]
Contradict = Callable[[str, str, str], Awaitable[None]]
"""Keeps that a Customer was shown to have an identifier (by key) of another: customer, other, identifier."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 600.0
_LEASE = timedelta(seconds=10)
_MOST_TRIES = 20


class Lookups:
    """Keeps Customers' data as the operator's system has it."""

    def __init__(
        self,
        jobs: Jobs,
        store: CommandStore,
        ask: Ask,
        contradict: Contradict,
        settings: IdentitySettings,
        clock: Clock = utc_now,
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._ask = ask
        self._contradict = contradict
        self._settings = settings
        self._clock = clock
        self._breaker = Breaker()

    async def learn(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Consumer of `customers.events`: who is new, and who is known by something new."""
        digests: dict[str, str] = {}
        for delivery in batch:
            event = delivery.message
            if isinstance(event, CustomerEvent) and event.personal.identifiers:
                digests[event.customer_id] = digest(event.personal.identifiers)
        await self._jobs.want(digests, self._clock())
        return [HANDLED] * len(batch)

    async def seen(self, customers: Iterable[str]) -> None:
        """Have data that has grown old asked for again, now that these Customers are heard of."""
        remembered = timedelta(seconds=self._settings.customer_data_unknown_ttl_seconds)
        await self._jobs.refresh(customers, self._clock(), remembered)

    async def round(self) -> None:
        """Ask for all that is due, a few at once."""
        while True:
            room = self._breaker.room(self._settings.customer_data_at_once, self._clock())
            jobs = [job for _ in range(room) if (job := await self._take()) is not None]
            results = await asyncio.gather(*(self._one(job) for job in jobs), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            if not jobs or len(jobs) < room:
                return

    async def _take(self) -> Job | None:
        wait = timedelta(seconds=self._settings.customer_data_timeout_seconds)
        return await self._jobs.take(self._clock(), wait + _LEASE)

    async def _one(self, job: Job) -> None:
        profile = (await self._store.load([job.customer_id]))[job.customer_id].profile
        if not profile.version or not profile.identifiers:
            await self._jobs.forget(job.customer_id)
            return
        asked = ids.derive("lookup", job.customer_id, job.turn, job.tries)
        said = await self._ask(str(asked), question(profile))
        now = self._clock()
        self._breaker = self._breaker.after(now, failed=said.failed)
        metrics.LOOKUPS.labels(said.outcome).inc()
        if said.data is not None:
            await self._taken(job, asked, said.data)
        if said.failed and job.tries < self._settings.customer_data_tries:
            pause = min(_FIRST_PAUSE * 2 ** (job.tries - 1), _LONGEST_PAUSE)
            await self._jobs.again(job, said.outcome, now, now + timedelta(seconds=pause))
            return
        found = self._settings.customer_data_ttl_seconds
        seconds = found if said.outcome == FOUND else self._settings.customer_data_unknown_ttl_seconds
        await self._jobs.settle(job, said.outcome, now, now + timedelta(seconds=seconds))

    async def _taken(self, job: Job, cause: UUID, data: CustomerData) -> None:
        """Take what is answered, as far as the system's word counts."""
        for _ in range(_MOST_TRIES):
            loaded = (await self._store.load([job.customer_id]))[job.customer_id]
            if loaded.profile.erased:
                return
            offered = data.identifiers(verified=any(each.verified for each in loaded.profile.identifiers))
            owners = await self._store.owners([key(each) for each in offered])
            new = await self._free(loaded.profile, offered, owners)
            try:
                after = self._informed(loaded.profile, new, data)
            except TooMuchError as error:
                log.warning("customer_data_too_much", field=error.field)
                return
            made = change(loaded.profile, after, Cause(cause, cause), self._clock(), always=bool(new))
            if made is None:
                return
            if new:
                await self._jobs.expect(job, digest(after.identifiers))
                saved = await self._store.commit(made, new, (), self._clock())
            else:
                saved = not await self._store.save([made])
            if saved:
                pending = [job.customer_id] if loaded.pending else []
                try:
                    await self._store.drain([made], pending)
                except BrokerUnavailable:
                    log.warning("drain_postponed")
                return
        raise TimeoutError

    def _informed(self, profile: Profile, new: Sequence[Identifier], data: CustomerData) -> Profile:
        check_room(profile, new)
        source = Source(f"system:{self._settings.customer_data_name}", self._clock())
        return informed(with_identifiers(profile, new), data.name, data.attributes, source)

    async def _free(
        self, profile: Profile, offered: Sequence[Identifier], owners: Owners
    ) -> list[Identifier]:
        """Return the identifiers that nobody has; what another Customer has suggests them, and links nobody.

        A second id of the same source system is not taken: to that system it would be another person.
        """
        own = {_source(each) for each in profile.identifiers if each.kind is IdentifierKind.EXTERNAL}
        free = []
        for each in offered:
            owner = owners.get(key(each))
            if owner is None:
                if _source(each) not in own:
                    free.append(each)
            elif owner.survivor not in (profile.customer_id, profile.merged_into):
                await self._contradict(profile.customer_id, owner.customer_id, key(each))
        return free


def _source(external: Identifier) -> str:
    return external.value.partition(":")[0]
