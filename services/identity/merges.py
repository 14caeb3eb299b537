"""Merging two Customers, and undoing it: all or nothing, told to everybody in one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.chassis.clock import Clock, utc_now
from services.chassis.faults import BrokerUnavailable
from services.chassis.logging import log
from services.identity.domain.merging import (
    PROOF,
    Merge,
    absorbed,
    disputed,
    merge_id,
    older,
    restored,
)
from services.identity.domain.profile import Cause, Change, Profile
from services.identity.errors import (
    BusyError,
    DisputedError,
    SameCustomerError,
    UndoneError,
    UnknownCustomerError,
    UnknownMergeError,
)

MOST_TRIES = 50


class MergeStore(Protocol):
    """Where Customers and their merges are kept."""

    async def family(self, customer_id: str) -> list[Profile]:
        """Return whoever stands for a Customer, and all whom they stand for; [] for an unknown one."""

    async def find_merge(self, merge_id: str) -> Merge | None:
        """Return a merge."""

    async def save_merge(self, made: Change, merge: Merge) -> bool:
        """Save a merge, or that it is undone, with its event; False when another writer was faster.

        The survivor must be one who stands for themselves, and stay so.
        """

    async def settle_outbox(self, customer_ids: Sequence[str]) -> None:
        """Publish what waits in these Customers' outboxes. Raises BrokerUnavailable."""


@dataclass
class Merges:
    """Merges and parts Customers."""

    store: MergeStore
    clock: Clock = utc_now

    async def merge(
        self, command: UUID, survivor: str, gone: str, *, by: str | None, reason: str = "asked"
    ) -> Merge:
        """Let `survivor` stand for `gone` too; a repeat of the command returns the merge it made.

        Both may have been absorbed: then it is about who stands for them. Raises UnknownCustomerError,
        SameCustomerError, DisputedError.
        """
        name, cause = merge_id(command), Cause(command, command)
        for _ in range(MOST_TRIES):
            if (done := await self.store.find_merge(name)) is not None:
                await self._tell([done.absorbed])
                return done
            ours, theirs = await self._two(survivor, gone)
            merge = Merge(name, ours[0].customer_id, theirs[0].customer_id, by, reason, self.clock())
            made = absorbed(theirs[0], merge, cause, merge.at)
            # what either told before is out before this is: all merges are told in the order of their making
            await self.store.settle_outbox([merge.survivor, merge.absorbed])
            if await self.store.save_merge(made, merge):
                await self._tell([merge.absorbed])
                return merge
        raise BusyError

    async def prove(self, message: UUID, one: str, other: str) -> bool:
        """Merge two Customers whom a message showed to be one; False where something speaks against it."""
        try:
            ours, theirs = await self._two(one, other)
            survivor, gone = older(ours[0], theirs[0])
            await self.merge(message, survivor.customer_id, gone.customer_id, by=None, reason=PROOF)
        except SameCustomerError:
            return True
        except (DisputedError, UnknownCustomerError):
            return False
        return True

    async def undo(self, command: UUID, merge_id: str) -> Merge:
        """Let the absorbed Customer stand for themselves again. Raises UnknownMergeError, UndoneError."""
        for _ in range(MOST_TRIES):
            merge = await self.store.find_merge(merge_id)
            if merge is None:
                raise UnknownMergeError
            if merge.undone_at is not None:
                raise UndoneError(merge.undone_at)
            family = await self.store.family(merge.absorbed)
            profile = next((each for each in family if each.customer_id == merge.absorbed), None)
            if profile is None or profile.merged_into != merge.survivor:
                raise UnknownMergeError
            undone = _undone(merge, self.clock())
            made = restored(profile, undone, Cause(command, command), undone.undone_at or self.clock())
            await self.store.settle_outbox([each.customer_id for each in family])
            if await self.store.save_merge(made, undone):
                await self._tell([merge.absorbed])
                return undone
        raise BusyError

    async def _two(self, one: str, other: str) -> tuple[list[Profile], list[Profile]]:
        families = [await self.store.family(each) for each in (one, other)]
        for asked, family in zip((one, other), families, strict=True):
            if not family:
                raise UnknownCustomerError(asked)
        ours, theirs = families
        if ours[0].customer_id == theirs[0].customer_id:
            raise SameCustomerError(ours[0].customer_id)
        if sources := disputed(ours, theirs):
            raise DisputedError(sources)
        return ours, theirs

    async def _tell(self, customer_ids: Sequence[str]) -> None:
        """What is saved stands even where Kafka is away: it is told once it is back."""
        try:
            await self.store.settle_outbox(customer_ids)
        except BrokerUnavailable:
            log.warning("drain_postponed")


def _undone(merge: Merge, now: datetime) -> Merge:
    return Merge(merge.id, merge.survivor, merge.absorbed, merge.by, merge.reason, merge.at, now)
