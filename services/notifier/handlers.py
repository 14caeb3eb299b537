"""Load, decide, save, settle: the same for replies from Kafka, providers' receipts, and requests' outcomes.

Rules of writing. A change is saved together with its status record (outbox) and under the version it was
decided on. What must follow a change (the next message of its lane, receipts that waited for its
provider id, the status record) is done by `settle`, which may be repeated at any time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from schemas.common import DeliveryStatus
from schemas.outbound import MessageSend
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery, Outcome
from services.notifier.domain import (
    Evidence,
    Send,
    finish,
    new_send,
    recover,
    with_broken_account,
    without_account,
)
from services.notifier.receiving import MOST_TRIES, NO_REQUEST, ReceiptStore, Receiving


class SendStore(ReceiptStore, Protocol):
    """Where messages and waiting receipts are kept."""

    async def insert(self, sends: Sequence[Send], visitors: Mapping[str, str]) -> frozenset[str]:
        """Store those that are new; return the ids of the others. `visitors`: id → account/visitor."""

    async def interrupted(self, before: datetime, limit: int) -> list[Send]:
        """Return claimed messages whose claim ran out before `before`."""

    async def left(self, before: datetime, limit: int) -> list[Send]:
        """Return messages with status records that wait since before `before`."""

    async def waiting(self) -> dict[str, int]:
        """Return how many messages of each account no provider has taken yet."""

    async def overdue(self, source: str, before: datetime, limit: int) -> list[Send]:
        """Return messages of the account that wait since before `before`."""


@dataclass
class Sends(Receiving):
    """Changes messages."""

    store: SendStore
    deduplicates: Callable[[str], bool]
    """Whether the provider of this name takes a repeated message only once."""
    known_account: Callable[[str, str], bool]
    watermarks: Callable[[str], bool] = lambda _: False
    """Whether the provider of this name tells receipts by watermarks."""
    broken: Callable[[str], str | None] = lambda _: None
    """The provider's code when it refuses the account of this name (`provider/account`)."""

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
        send = new_send(message, now, message.json_bytes(), watermarks=self.watermarks(message.data.provider))
        if send.provider == NO_REQUEST:
            # the visitor's stream shows it as it is written: they may have read it before it is stored here
            sent = Evidence(
                DeliveryStatus.SENT,
                now,
                provider_message_id=send.message_id,
                taken_at=message.occurred_at,
            )
            return finish(send, sent)
        return send

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


def _outcome(message_id: str, fresh: set[str]) -> Outcome:
    """The first record of a new message is handled, any other a duplicate."""
    if message_id in fresh:
        fresh.discard(message_id)
        return HANDLED
    return DUPLICATE
