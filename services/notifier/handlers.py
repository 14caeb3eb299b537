"""Load, decide, save, settle: the same for replies from Kafka, providers' receipts, and requests' outcomes.

Rules of writing. A change is saved together with its status record (outbox) and under the version it was
decided on. What must follow a change (the next message of its lane, receipts that waited for its
provider id, the status record) is done by `settle`, which may be repeated at any time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryReported
from schemas.outbound import MessageSend
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery, Outcome
from services.notifier.domain import (
    Evidence,
    Send,
    State,
    finish,
    merge,
    new_send,
    provider_key,
    recover,
    with_broken_account,
    without_account,
)

MOST_TRIES = 50
NO_REQUEST = "webchat"
"""The provider whose messages are sent by being stored: the visitor's stream carries them."""
Change = tuple[Send, Send]
"""A message as it was loaded and as it is to be."""


class SendStore(Protocol):
    """Where messages and waiting receipts are kept."""

    async def insert(self, sends: Sequence[Send], visitors: Mapping[str, str]) -> frozenset[str]:
        """Store those that are new; return the ids of the others. `visitors`: id → account/visitor."""

    async def find(self, message_ids: Iterable[str], provider_keys: Iterable[str]) -> list[Send]:
        """Return the messages of these ids, and those the provider names so."""

    async def save(self, changes: Sequence[Change]) -> frozenset[str]:
        """Save what was decided, with its status records; return the ids lost to another writer."""

    async def promote(self, lanes: Iterable[str]) -> None:
        """Let the first waiting message of each lane be claimed, unless one of the lane is at work."""

    async def park(self, receipts: Sequence[DeliveryReported], now: datetime) -> None:
        """Keep receipts whose message is not known."""

    async def parked(self, provider_keys: Iterable[str]) -> list[DeliveryReported]:
        """Return the kept receipts about these."""

    async def unpark(self, receipts: Iterable[DeliveryReported]) -> None:
        """Forget them."""

    async def drain(self, message_ids: Iterable[str]) -> None:
        """Publish the status records that wait with these messages, oldest first."""

    async def interrupted(self, before: datetime, limit: int) -> list[Send]:
        """Return claimed messages whose claim ran out before `before`."""

    async def left(self, before: datetime, limit: int) -> list[Send]:
        """Return messages with status records that wait since before `before`."""

    async def waiting(self) -> dict[str, int]:
        """Return how many messages of each account no provider has taken yet."""

    async def overdue(self, source: str, before: datetime, limit: int) -> list[Send]:
        """Return messages of the account that wait since before `before`."""


@dataclass
class Sends:
    """Changes messages."""

    store: SendStore
    deduplicates: Callable[[str], bool]
    """Whether the provider of this name takes a repeated message only once."""
    known_account: Callable[[str, str], bool]
    clock: Clock = utc_now
    broken: Callable[[str], str | None] = lambda _: None
    """The provider's code when it refuses the account of this name (`provider/account`)."""
    on_work: Callable[[Iterable[str]], None] = lambda _: None
    """Told the accounts (`provider/account`) that may have a message to send."""
    on_receipt: Callable[[str, str, int], None] = field(default=lambda _provider, _outcome, _count: None)

    # --- replies --------------------------------------------------------------------------------

    async def accept(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `messages.outbound`: every reply is stored before its offset is committed."""
        now = self.clock()
        sends: dict[str, Send] = {}
        visitors: dict[str, str] = {}
        for delivery in batch:
            message: MessageSend = delivery.message
            send = self._first(message, now)
            sends.setdefault(send.message_id, send)
            if send.provider == NO_REQUEST:
                visitors[send.message_id] = f"{send.account}/{message.personal.to.value}"
        known = await self.store.insert(list(sends.values()), visitors)
        await self._settle(list(sends.values()))
        fresh = set(sends) - known
        return [_outcome(str(delivery.message.data.message_id), fresh) for delivery in batch]

    def _first(self, message: MessageSend, now: datetime) -> Send:
        send = new_send(message, now, message.json_bytes())
        if send.provider == NO_REQUEST:
            return finish(send, Evidence(DeliveryStatus.SENT, now, provider_message_id=send.message_id))
        if not self.known_account(send.provider, send.account):
            return without_account(send, now)
        return send

    # --- receipts -------------------------------------------------------------------------------

    async def receive(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `messages.delivery`: merge, and park what comes before its message's provider id.

        Parked first and looked for again after, while a sender saves the id first and looks for parked
        ones after: one of the two always finds the other.
        """
        receipts: list[DeliveryReported] = [delivery.message for delivery in batch]
        early = await self._apply(receipts)
        if early:
            await self.store.park(early, self.clock())
            self._count(early, "parked")
            still = await self._apply(early)
            ours = {receipt.id for receipt in early} - {receipt.id for receipt in still}
            await self.store.unpark([receipt for receipt in early if receipt.id in ours])
        return [HANDLED] * len(batch)

    async def _apply(self, receipts: Sequence[DeliveryReported]) -> list[DeliveryReported]:
        """Merge receipts into their messages and return those without one."""
        todo, early = list(receipts), []
        settled: dict[str, Send] = {}
        for _ in range(MOST_TRIES):
            before, after, early_now = await self._merged(todo)
            early += early_now
            lost = await self._save(before, after)
            settled.update({key: send for key, send in after.items() if key not in lost})
            if not lost:
                await self._settle(list(settled.values()), look_for_parked=False)
                return early
            names = {name: key for key, send in before.items() for name in _names(send)}
            todo = [receipt for receipt in todo if _match(receipt, names) in lost]
        raise TimeoutError

    async def _merged(
        self, receipts: Sequence[DeliveryReported]
    ) -> tuple[dict[str, Send], dict[str, Send], list[DeliveryReported]]:
        found = await self.store.find(
            {str(receipt.data.message_id) for receipt in receipts if receipt.data.message_id},
            {_key(receipt) for receipt in receipts},
        )
        before = {send.message_id: send for send in found}
        after = dict(before)
        names = {name: send.message_id for send in found for name in _names(send)}
        early = []
        for receipt in receipts:
            message_id = _match(receipt, names)
            if message_id is None:
                early.append(receipt)
                continue
            merged = merge(after[message_id], evidence_of(receipt))
            moved = merged.status is not after[message_id].status
            self._count([receipt], "merged" if moved else "stale")
            # all that a batch says of a message is one change of it
            known = before[message_id]
            changes = known.status_seq + (merged.status is not known.status)
            after[message_id] = replace(merged, status_seq=changes)
        return before, after, early

    def _count(self, receipts: Iterable[DeliveryReported], outcome: str) -> None:
        for receipt in receipts:
            self.on_receipt(receipt.data.provider, outcome, 1)

    # --- outcomes of requests ---------------------------------------------------------------------

    async def conclude(self, claimed: Send, decide: Callable[[Send], Send]) -> Send:
        """Save what became of a claimed message; `decide` is asked again where another writer was first."""
        send = claimed
        for _ in range(MOST_TRIES):
            after = decide(send)
            if not await self._save({send.message_id: send}, {send.message_id: after}):
                return replace(after, version=send.version + 1)
            (send,) = await self.store.find([send.message_id], ())
        raise TimeoutError

    async def settle(self, sends: Sequence[Send]) -> None:
        """Do what must follow the changes of these messages; harmless when it was done before."""
        await self._settle(sends)

    async def recover(self, limit: int = 200) -> list[Send]:
        """Give a fate to messages whose sender is gone, and return them."""
        now = self.clock()
        lost = await self.store.interrupted(now, limit)
        changes = {
            send.message_id: recover(send, now, deduplicates=self.deduplicates(send.provider))
            for send in lost
        }
        refused = await self._save({send.message_id: send for send in lost}, changes)
        recovered = [send for key, send in changes.items() if key not in refused]
        await self._settle(recovered)
        return recovered

    async def abandon(self, patience: timedelta, limit: int = 200) -> None:
        """Fail messages that wait for longer than `patience` and whose account is gone or does not work."""
        now = self.clock()
        for source in await self.store.waiting():
            fail = self._hopeless(source, now)
            if fail is None:
                continue
            overdue = await self.store.overdue(source, now - patience, limit)
            failed = {send.message_id: fail(send) for send in overdue}
            lost = await self._save({send.message_id: send for send in overdue}, failed)
            await self._settle([send for key, send in failed.items() if key not in lost])

    def _hopeless(self, source: str, now: datetime) -> Callable[[Send], Send] | None:
        provider, _, account = source.partition("/")
        if not self.known_account(provider, account):
            return lambda send: without_account(send, now)
        code = self.broken(source)
        return None if code is None else lambda send: with_broken_account(send, now, code)

    async def sweep(self, before: datetime, limit: int = 200) -> None:
        """Settle what a crash or an absent broker left behind."""
        await self._settle(await self.store.left(before, limit))

    # --- shared -----------------------------------------------------------------------------------

    async def _save(self, before: Mapping[str, Send], after: Mapping[str, Send]) -> frozenset[str]:
        changes = [(before[key], send) for key, send in after.items() if send != before[key]]
        return await self.store.save(changes) if changes else frozenset()

    async def _settle(self, sends: Sequence[Send], *, look_for_parked: bool = True) -> None:
        if not sends:
            return
        lanes = {send.lane: send.source for send in sends if send.provider != NO_REQUEST}
        if lanes:
            await self.store.promote(lanes)
            self.on_work(set(lanes.values()))
        if look_for_parked:
            await self._unpark(sends)
        await self.store.drain([send.message_id for send in sends])

    async def _unpark(self, sends: Sequence[Send]) -> None:
        keys = {
            send.provider_key
            for send in sends
            if send.state is State.FINISHED and send.provider_key and send.provider != NO_REQUEST
        }
        found = await self.store.parked(filter(None, keys)) if keys else []
        if found:
            early = {receipt.id for receipt in await self._apply(found)}
            ours = [receipt for receipt in found if receipt.id not in early]
            await self.store.unpark(ours)
            self._count(ours, "unparked")


def evidence_of(receipt: DeliveryReported) -> Evidence:
    """Return what a provider's receipt says."""
    data = receipt.data
    return Evidence(
        data.status, data.at, receipt.id, data.provider_message_id, data.error_code, data.error_detail
    )


def _outcome(message_id: str, fresh: set[str]) -> Outcome:
    """The first record of a new message is handled, any other a duplicate."""
    if message_id in fresh:
        fresh.discard(message_id)
        return HANDLED
    return DUPLICATE


def _key(receipt: DeliveryReported) -> str:
    return provider_key(receipt.data.provider, receipt.data.account, receipt.data.provider_message_id)


def _names(send: Send) -> list[str]:
    """All names by which a receipt may mean this message; an id of ours counts only on its own account."""
    own = f"{send.source}#{send.message_id}"
    return [own, send.provider_key] if send.provider_key else [own]


def _match(receipt: DeliveryReported, names: Mapping[str, str]) -> str | None:
    data = receipt.data
    own = f"{data.provider}/{data.account}#{data.message_id}"
    return names.get(own) or names.get(_key(receipt))
