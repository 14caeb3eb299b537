"""Messages to Customers: claim the identifiers, keep the profiles, pass the messages on."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from schemas import ids
from schemas.common import Identifier
from schemas.inbound import MessageIdentified, MessageReceived
from schemas.topics import MESSAGES_IDENTIFIED
from services.chassis.broker import Outgoing, Publisher
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import DUPLICATE, ERASED, HANDLED, Delivery, Outcome
from services.identity.domain.claims import (
    Claim,
    Owner,
    Owners,
    Person,
    Resolution,
    key,
    next_claims,
    person,
    resolve,
)
from services.identity.domain.guests import guest_of
from services.identity.domain.profile import (
    Cause,
    Change,
    Profile,
    change,
    introduced,
    lacking,
    with_identifiers,
)
from services.identity.merges import MOST_TRIES, Merges

Notice = Callable[[Sequence[tuple[MessageReceived, Resolution]]], Awaitable[None]]
"""Is told of each message whose it is, before anybody else; a repeat must be harmless."""


async def _unnoticed(_: Sequence[tuple[MessageReceived, Resolution]]) -> None:
    """Take no notice."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A profile as read."""

    profile: Profile
    pending: bool = False
    """Events of earlier changes wait in the outbox."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A message showed two Customers to be one, or one identifier to be in wrong hands."""

    message: MessageReceived
    resolution: Resolution


@dataclass(slots=True)
class Identified:
    """What became of a batch."""

    outcomes: list[Outcome]
    created: int = 0
    conflicts: int = 0


class CustomerStore(Protocol):
    """Where identifiers and profiles are kept."""

    async def owners(self, keys: Sequence[str]) -> dict[str, Owner]:
        """Return who has these identifiers."""

    async def survivors(self, customer_ids: Sequence[str]) -> dict[str, str]:
        """Return who stands for each of these Customers; unknown ones are left out."""

    async def claim(self, claims: Sequence[Claim], now: datetime) -> frozenset[int]:
        """Write the claims; return the indexes of those that somebody else was faster with."""

    async def vouch(self, claims: Sequence[Claim]) -> None:
        """Mark these identifiers of these Customers as verified."""

    async def load(self, customer_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the profiles, new ones for Customers without."""

    async def save(self, changes: Sequence[Change]) -> frozenset[str]:
        """Save each profile with its event in one write; return the Customers lost to another writer."""

    async def disclaim(self, claims: Sequence[Claim]) -> None:
        """Take these claims back."""

    async def release(self, customer_ids: Sequence[str]) -> None:
        """Take all identifiers from these Customers, who are erased."""

    async def drain(self, saved: Sequence[Change], pending: Sequence[str]) -> None:
        """Publish the events of `saved`, and all that waits in the outboxes of `pending`."""

    async def note_conflicts(self, conflicts: Sequence[Conflict], now: datetime) -> None:
        """Keep what a merge will have to settle."""


@dataclass(slots=True)
class _Sightings:
    """What a batch shows of one Customer, in log order."""

    seen: list[tuple[Cause, str | None, Person]] = field(default_factory=list)

    @property
    def identifiers(self) -> list[Identifier]:
        return [identifier for _, _, own in self.seen for identifier in own]

    def without(self, keys: set[str]) -> "_Sightings":
        kept = [(cause, name, tuple(i for i in own if key(i) not in keys)) for cause, name, own in self.seen]
        return _Sightings(kept)

    def apply(self, before: Profile, now: datetime) -> Change | None:
        after, cause = before, None
        for moment, name, own in self.seen:
            seen = introduced(with_identifiers(after, own), name)
            cause = cause or (moment if seen != after else None)
            after = seen
        return change(before, after, cause or self.seen[0][0], now)


WhenErased = Callable[[Collection[str]], Awaitable[Mapping[str, datetime]]]
"""Says when identifiers (by `key`) were erased; those that never were are left out."""


async def nobody(_: Collection[str]) -> Mapping[str, datetime]:
    """Return that nobody was ever erased."""
    return {}


@dataclass
class Customers:
    """Finds or makes the Customer of each message."""

    store: CustomerStore
    merges: Merges
    publisher: Publisher
    new_customer: Callable[[], str]
    clock: Clock = utc_now
    notice: Notice = _unnoticed
    when_erased: WhenErased = nobody

    async def identify(self, batch: Sequence[Delivery]) -> Identified:
        """Publish each message with its Customer, in log order per Customer.

        A message that comes again is published again, under its id: whoever reads it knows it by that.
        One that was received before its sender was erased is dropped.
        """
        erased = await self._erased([delivery.message for delivery in batch])
        left = [delivery.message for index, delivery in enumerate(batch) if index not in erased]
        done = await self._identify(left) if left else Identified([])
        found = iter(done.outcomes)
        done.outcomes = [ERASED if index in erased else next(found) for index in range(len(batch))]
        return done

    async def _erased(self, messages: Sequence[MessageReceived]) -> frozenset[int]:
        """Return the indexes of messages from before the erasure of whoever wrote them."""
        people = [[key(identifier) for identifier in person(message.personal)] for message in messages]
        moments = await self.when_erased({name for names in people for name in names})
        if not moments:
            return frozenset()
        return frozenset(
            index
            for index, (message, names) in enumerate(zip(messages, people, strict=True))
            if any(name in moments and message.data.received_at <= moments[name] for name in names)
        )

    async def _identify(self, messages: Sequence[MessageReceived]) -> Identified:
        found = await self._resolve(messages)
        await self.store.vouch([claim for item in found for claim in item.vouched])
        saved, pending = await self._keep_profiles(_sightings(messages, found))
        conflicts = [
            Conflict(message, item)
            for message, item in zip(messages, found, strict=True)
            if item.contradicting
        ]
        await self.store.note_conflicts(conflicts, self.clock())
        await self.notice(list(zip(messages, found, strict=True)))
        firsts = {message.id: index for index, message in reversed(list(enumerate(messages)))}
        # all is saved: events and messages are of different topics and need not wait for each other
        await asyncio.gather(
            self.store.drain(saved, pending),
            self.publisher.publish(
                [_outgoing(messages[index], found[index]) for index in sorted(firsts.values())]
            ),
        )
        outcomes: list[Outcome] = [
            HANDLED if firsts[message.id] == index else DUPLICATE for index, message in enumerate(messages)
        ]
        created = sum(made.profile.version == 1 for made in saved)
        return Identified(outcomes, created, len(conflicts))

    async def _resolve(self, messages: Sequence[MessageReceived]) -> list[Resolution]:
        """Return whose each message is; Customers whom one proves to be the same person are merged first."""
        people = [person(message.personal) for message in messages]
        tried = set[tuple[str, str]]()
        while True:
            guests = await self._guests(messages, people)
            owners, new = await self._settle([one for index, one in enumerate(people) if index not in guests])
            if new and await self._erased(messages):  # while we looked: the identifiers are free since then
                await self.store.disclaim(new)
                raise TimeoutError
            found = [
                guests.get(index) or resolve(one, owners, messages[index].personal.sender)
                for index, one in enumerate(people)
            ]
            proofs = {
                (item.customer_id, other.customer_id): message.id
                for message, item in zip(messages, found, strict=True)
                if item.proven
                for other in item.contradicting
            }
            todo = [pair for pair in proofs if pair not in tried]
            if not todo:
                return found
            tried.update(todo)
            for one, other in todo:
                await self.merges.prove(ids.derive("proof", proofs[one, other], other), one, other)

    async def _guests(
        self, messages: Sequence[MessageReceived], people: Sequence[Person]
    ) -> Mapping[int, Resolution]:
        """Return the messages, by index, that join the thread of somebody else than their sender."""
        named = {index: message.data.thread for index, message in enumerate(messages) if message.data.thread}
        if not named:
            return {}
        senders = {key(identifier) for index in named for identifier in people[index]}
        owners = await self.store.owners(list(senders))
        survivors = await self.store.survivors(list(set(named.values())))
        guests = {index: guest_of(who, people[index], owners, survivors) for index, who in named.items()}
        return {index: resolution for index, resolution in guests.items() if resolution is not None}

    async def _settle(self, people: Sequence[Person]) -> tuple[Owners, list[Claim]]:
        """Return the owners of all identifiers, and what was claimed; those without get one."""
        new: list[Claim] = []
        owners = await self.store.owners(list({key(identifier) for one in people for identifier in one}))
        for _ in range(len(people) + MOST_TRIES):
            claims = next_claims(people, owners, self.new_customer)
            if not claims:
                return owners, new
            lost = await self.store.claim(claims, self.clock())
            survivors = {owner.customer_id: owner.survivor for owner in owners.values()}
            for index, claim in enumerate(claims):
                if index not in lost:
                    survivor = survivors.get(claim.customer_id, claim.customer_id)
                    verified = claim.identifier.verified
                    owners[key(claim.identifier)] = Owner(claim.customer_id, verified, survivor)
                    new.append(claim)
            if lost:
                owners |= await self.store.owners([key(claims[index].identifier) for index in lost])
        raise TimeoutError

    async def _keep_profiles(self, sightings: Mapping[str, _Sightings]) -> tuple[list[Change], list[str]]:
        """Save what the batch shows of each Customer; return that, and whose outboxes hold more."""
        todo, saved, pending = dict(sightings), list[Change](), set[str]()
        for _ in range(MOST_TRIES):
            loaded = await self.store.load(list(todo))
            if erased := [who for who, item in loaded.items() if item.profile.erased]:
                await self.store.release(erased)
                raise TimeoutError  # erased since their identifiers led to them: decided anew
            pending.update(who for who, item in loaded.items() if item.pending)
            current = await self._still_theirs(todo, loaded)
            now = self.clock()
            changes = [
                made
                for who, item in loaded.items()
                if (made := current[who].apply(item.profile, now)) is not None
            ]
            lost = await self.store.save(changes)
            saved += [made for made in changes if made.profile.customer_id not in lost]
            todo = {who: todo[who] for who in lost}
            if not todo:
                return saved, sorted(pending)
        raise TimeoutError

    async def _still_theirs(
        self, sightings: Mapping[str, _Sightings], loaded: Mapping[str, Loaded]
    ) -> dict[str, _Sightings]:
        """Leave out what was detached since we looked: a profile must not get it back."""
        doubtful = {
            key(identifier): who
            for who, item in loaded.items()
            if item.profile.version
            for identifier in lacking(item.profile, sightings[who].identifiers)
        }
        if not doubtful:
            return dict(sightings)
        owners = await self.store.owners(list(doubtful))
        gone = {
            name for name, who in doubtful.items() if name not in owners or owners[name].customer_id != who
        }
        return {who: seen.without(gone) for who, seen in sightings.items()}


def _sightings(messages: Sequence[MessageReceived], found: Sequence[Resolution]) -> dict[str, _Sightings]:
    sightings: dict[str, _Sightings] = {}
    for message, item in zip(messages, found, strict=True):
        if item.guest:
            continue
        theirs = message.personal.name if message.data.direction == "inbound" else None
        cause = Cause(message.id, message.correlation)
        for home in dict.fromkeys((item.home, *(claim.customer_id for claim in item.own))):
            own = tuple(claim.identifier for claim in item.own if claim.customer_id == home)
            seen = sightings.setdefault(home, _Sightings())
            seen.seen.append((cause, theirs if home == item.home else None, own))
    return sightings


def _outgoing(message: MessageReceived, resolution: Resolution) -> Outgoing:
    record = MessageIdentified(
        id=message.id,
        occurred_at=message.occurred_at,
        correlation=message.correlation,
        causation=message.id,
        customer_id=resolution.customer_id,
        home=resolution.home,
        data=message.data.model_copy(update={"guest": True}) if resolution.guest else message.data,
        personal=message.personal,
    )
    return Outgoing(MESSAGES_IDENTIFIED.name, resolution.customer_id, record.json_bytes())
