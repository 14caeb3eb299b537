"""What Agents do to Customers: make, change, give and take identifiers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from schemas import ids
from schemas.common import Identifier
from services.chassis.clock import Clock, utc_now
from services.chassis.faults import BrokerUnavailable
from services.chassis.logging import log
from services.identity.domain.attributes import Source
from services.identity.domain.claims import Owners, key
from services.identity.domain.profile import (
    Cause,
    Change,
    Done,
    Profile,
    change,
    check_room,
    named,
    noting,
    patched,
    with_identifiers,
    without_identifier,
)
from services.identity.errors import BusyError, MovedError, NotTheirsError, TakenError, UnknownCustomerError
from services.identity.handlers import CustomerStore
from services.identity.merges import MOST_TRIES


@dataclass(frozen=True, slots=True)
class Patch:
    """What a command changes. `name` is None to leave it, "" to take it away."""

    name: str | None = None
    attributes: Mapping[str, str | None] | None = None
    source: Source | None = None

    def apply(self, profile: Profile) -> Profile:
        """Return the profile with the changes."""
        renamed = profile if self.name is None else named(profile, self.name or None, self.source)
        return patched(renamed, self.attributes or {}, self.source)


class CommandStore(CustomerStore, Protocol):
    """Where Customers are kept; what only commands need."""

    async def commit(
        self, made: Change, attach: Sequence[Identifier], detach: Sequence[Identifier], now: datetime
    ) -> bool:
        """Save a profile with identifiers it gains and loses, all or nothing; False when a race was lost."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a command wants of one Customer as it is now."""

    after: Profile
    attach: Sequence[Identifier] = ()
    detach: Sequence[Identifier] = ()
    status: int = 200
    """What the command is to be answered with, in the sense of HTTP."""


@dataclass
class Commands:
    """Changes Customers on behalf of people.

    A command that changed something is remembered in the profile, in the same write: the crash that
    hid its answer does not make it run again. All raise TooMuchError for what a Customer cannot hold.
    """

    store: CommandStore
    clock: Clock = utc_now

    async def create(self, command: UUID, patch: Patch, identifiers: Sequence[Identifier]) -> Profile:
        """Make a Customer. Its id follows from the command, so a repeat makes no other. Raises TakenError."""
        customer_id = str(ids.derive("customer", command))

        def wish(profile: Profile, owners: Owners) -> _Wish:
            if profile.version:
                return _Wish(_existing(profile))
            new = _free(customer_id, identifiers, owners)
            return _Wish(with_identifiers(patch.apply(profile), identifiers), attach=new, status=201)

        return (await self._change(customer_id, command, identifiers, wish))[0]

    async def patch(self, customer_id: str, command: UUID, patch: Patch) -> Profile:
        """Set name and attributes. Raises UnknownCustomerError."""
        changed, _ = await self._change(
            customer_id, command, (), lambda profile, _: _Wish(patch.apply(_existing(profile)))
        )
        return changed

    async def attach(self, customer_id: str, command: UUID, identifier: Identifier) -> tuple[Profile, int]:
        """Give the Customer an identifier; returns 201 with it where it is new, else 200.

        Raises UnknownCustomerError, TakenError.
        """

        def wish(profile: Profile, owners: Owners) -> _Wish:
            new = _free(customer_id, [identifier], owners)
            check_room(_existing(profile), new)
            owner = owners.get(key(identifier))
            if owner is not None and owner.customer_id != customer_id:
                return _Wish(profile)  # it is that of one whom the Customer stands for
            return _Wish(with_identifiers(profile, [identifier]), attach=new, status=201 if new else 200)

        return await self._change(customer_id, command, [identifier], wish)

    async def detach(self, customer_id: str, command: UUID, identifier: Identifier) -> Profile:
        """Take an identifier away: whoever writes by it next is a new Customer.

        Raises UnknownCustomerError, NotTheirsError.
        """
        owner = (await self.store.owners([key(identifier)])).get(key(identifier))
        if owner is None or owner.survivor != customer_id:
            owner = None

        def wish(profile: Profile, owners: Owners) -> _Wish:
            now = owners.get(key(identifier))
            if owner is None or now is None or now.customer_id != owner.customer_id:
                _existing(profile)
                raise NotTheirsError
            return _Wish(without_identifier(_existing(profile), identifier), detach=[identifier])

        home = owner.customer_id if owner else customer_id
        return (await self._change(home, command, [identifier], wish, on_behalf=customer_id))[0]

    async def _change(
        self,
        customer_id: str,
        command: UUID,
        identifiers: Sequence[Identifier],
        wish: Callable[[Profile, Owners], _Wish],
        *,
        on_behalf: str | None = None,
    ) -> tuple[Profile, int]:
        """Change a Customer who stands for themselves, or for whom `on_behalf` stands."""
        for _ in range(MOST_TRIES):
            loaded = (await self.store.load([customer_id]))[customer_id]
            survivor = loaded.profile.merged_into
            if survivor is not None and on_behalf in (None, customer_id):
                raise MovedError(customer_id, survivor)
            pending = [customer_id] if loaded.pending else []
            status = next((done.status for done in loaded.profile.commands if done.id == command), None)
            if status is not None:
                await self._drain_if_possible([], pending)
                return loaded.profile, status
            owners = await self.store.owners([key(identifier) for identifier in identifiers])
            wanted = wish(loaded.profile, owners)
            now = self.clock()
            moves = bool(wanted.attach or wanted.detach)
            made = change(loaded.profile, wanted.after, Cause(command, command), now, always=moves)
            if made is None:
                await self._drain_if_possible([], pending)
                return loaded.profile, wanted.status
            made = replace(made, profile=noting(made.profile, Done(command, wanted.status)))
            if await self._save(made, wanted, now):
                await self._drain_if_possible([made], pending)
                return made.profile, wanted.status
        raise BusyError

    async def _save(self, made: Change, wanted: _Wish, now: datetime) -> bool:
        if wanted.attach or wanted.detach:
            return await self.store.commit(made, wanted.attach, wanted.detach, now)
        return not await self.store.save([made])

    async def _drain_if_possible(self, saved: Sequence[Change], pending: Sequence[str]) -> None:
        """A change that is saved stands even where Kafka is away: its event goes out once it is back."""
        try:
            await self.store.drain(saved, pending)
        except BrokerUnavailable:
            log.warning("drain_postponed")


def _existing(profile: Profile) -> Profile:
    if not profile.exists:
        raise UnknownCustomerError
    return profile


def _free(customer_id: str, identifiers: Sequence[Identifier], owners: Owners) -> list[Identifier]:
    """Return those of `identifiers` that nobody has. Raises TakenError."""
    for identifier in identifiers:
        owner = owners.get(key(identifier))
        if owner is not None and owner.survivor != customer_id:
            raise TakenError(identifier, owner.survivor)
    return [identifier for identifier in identifiers if key(identifier) not in owners]
