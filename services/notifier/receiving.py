"""Receipts, watermarks and echoes: load, decide, save, settle.

Whoever saves something that a waiting word may be about looks for it afterwards, and whoever keeps a
word that waits looks for its message afterwards: one of the two always finds the other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryEcho, DeliveryReported, DeliveryWatermark
from services.chassis.clock import Clock, utc_now
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.notifier.domain import Evidence, Send, State, Watermark, cover, merge, provider_key
from services.notifier.receipts import Part, as_report, evidence_of, evidence_of_part, key_of, match, names_of

MOST_TRIES = 50
NO_REQUEST = "webchat"
"""The provider whose messages are sent by being stored: the visitor's stream carries them."""
Change = tuple[Send, Send]
"""A message as it was loaded and as it is to be."""


class ReceiptStore(Protocol):
    """Where messages, and words on messages that are not known yet, are kept."""

    async def find(self, message_ids: Iterable[str], provider_keys: Iterable[str]) -> list[Send]:
        """Return the messages of these ids, and those the provider names so."""

    async def save(self, changes: Sequence[Change]) -> frozenset[str]:
        """Save what was decided, with its status records; return the ids lost to another writer."""

    async def promote(self, lanes: Iterable[str]) -> None:
        """Let the first waiting message of each lane be claimed, unless one of the lane is at work."""

    async def drain(self, message_ids: Iterable[str]) -> None:
        """Publish the status records that wait with these messages, oldest first."""

    async def park(
        self,
        receipts: Sequence[DeliveryReported | DeliveryEcho],
        now: datetime,
        due: datetime | None = None,
    ) -> None:
        """Keep receipts and echoes whose message is not known; echoes are to be shown when `due`."""

    async def parked(self, provider_keys: Iterable[str]) -> list[DeliveryReported]:
        """Return the kept receipts about these, echoes as what they say."""

    async def unpark(self, receipts: Iterable[DeliveryReported | DeliveryEcho]) -> None:
        """Forget them."""

    async def note_part(self, provider_key: str, part: Part, now: datetime) -> None:
        """Remember a part of our message by the provider's name."""

    async def parts_among(self, provider_keys: Iterable[str]) -> dict[str, Part]:
        """Return those of the names that are parts of our messages."""

    async def due_echoes(self, now: datetime, limit: int) -> list[DeliveryEcho]:
        """Return echoes that waited long enough for their message."""

    async def show(self, echoes: Sequence[DeliveryEcho]) -> None:
        """Publish them as messages that somebody else sent from the account."""

    async def mark(self, told: Sequence[DeliveryWatermark], now: datetime) -> frozenset[str]:
        """Keep the highest moment of each recipient and status; return the recipients."""

    async def marks(self, recipients: Iterable[str]) -> dict[str, list[Watermark]]:
        """Return what is known of these recipients."""

    async def covered(self, marks: Mapping[str, Sequence[Watermark]]) -> list[Send]:
        """Return the messages of these recipients that their watermarks change."""


@dataclass
class Receiving:
    """Changes messages by what providers say of them."""

    store: ReceiptStore
    clock: Clock = field(default=utc_now, kw_only=True)
    echo_hold: timedelta = field(default=timedelta(seconds=30), kw_only=True)
    """How long an echo waits for a message of ours before it is shown as somebody else's."""
    on_work: Callable[[Iterable[str]], None] = field(default=lambda _: None, kw_only=True)
    """Told the accounts (`provider/account`) that may have a message to send."""
    kind_of: Callable[[str, str | None], str | None] = field(
        default=lambda _provider, _code: None, kw_only=True
    )
    """What a provider's error code is about."""
    on_receipt: Callable[[str, str, int], None] = field(
        default=lambda _provider, _outcome, _count: None, kw_only=True
    )

    async def receive(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `messages.delivery`: merge, and keep what comes before its message is known."""
        words = [delivery.message for delivery in batch]
        told = [word for word in words if isinstance(word, DeliveryWatermark)]
        single = [word for word in words if not isinstance(word, DeliveryWatermark)]
        if single:
            await self._take(single)
        if told:
            await self._cover(await self.store.mark(told, self.clock()))
            for each in told:
                self.on_receipt(each.data.provider, "watermark", 1)
        return [HANDLED] * len(batch)

    async def show_echoes(self, limit: int = 200) -> None:
        """Show as somebody else's what left our accounts and no message of ours was found for."""
        echoes = await self.store.due_echoes(self.clock(), limit)
        if not echoes:
            return
        unclaimed = {report.id for report in await self._apply([as_report(echo) for echo in echoes])}
        others = [echo for echo in echoes if echo.id in unclaimed]
        if others:
            await self.store.show(others)
            self._count(map(as_report, others), "shown")
        await self.store.unpark(echoes)

    async def note_part(self, send: Send, provider_message_id: str, place: str) -> None:
        """Remember that a part of the message (`1 of 2`) has this id: its echo is ours, its failure tells."""
        name = provider_key(send.provider, send.account, provider_message_id)
        await self.store.note_part(name, Part(send.message_id, place), self.clock())
        await self._claim_parked([name])

    async def _take(self, words: Sequence[DeliveryReported | DeliveryEcho]) -> None:
        early = await self._apply([as_report(word) for word in words])
        if not early:
            return
        unknown, now = {report.id for report in early}, self.clock()
        kept = [word for word in words if word.id in unknown]
        if reports := [word for word in kept if isinstance(word, DeliveryReported)]:
            await self.store.park(reports, now)
        if echoes := [word for word in kept if isinstance(word, DeliveryEcho)]:
            await self.store.park(echoes, now, now + self.echo_hold)
        self._count(early, "parked")
        still = {report.id for report in await self._apply(early)}
        await self.store.unpark([report for report in early if report.id not in still])

    async def _apply(self, receipts: Sequence[DeliveryReported]) -> list[DeliveryReported]:
        """Merge receipts into their messages and return those without one."""
        todo, early = list(receipts), []
        settled: dict[str, Send] = {}
        for _ in range(MOST_TRIES):
            before, after, owners = await self._merged(todo)
            early += [receipt for receipt in todo if receipt.id not in owners]
            lost = await self._save(before, after)
            settled.update({key: send for key, send in after.items() if key not in lost})
            if not lost:
                await self._settle(list(settled.values()), look_for_parked=False)
                return early
            todo = [receipt for receipt in todo if owners.get(receipt.id) in lost]
        raise TimeoutError

    async def _merged(
        self, receipts: Sequence[DeliveryReported]
    ) -> tuple[dict[str, Send], dict[str, Send], dict[UUID, str]]:
        """Return the messages before and after, and by receipt the id of the message it is about."""
        found = await self.store.find(
            {str(receipt.data.message_id) for receipt in receipts if receipt.data.message_id},
            {key_of(receipt) for receipt in receipts},
        )
        names = {name: send.message_id for send in found for name in names_of(send)}
        matched = {receipt.id: match(receipt, names) for receipt in receipts}
        owners = {receipt: message_id for receipt, message_id in matched.items() if message_id}
        others = [key_of(receipt) for receipt in receipts if receipt.id not in owners]
        parts = await self.store.parts_among(others) if others else {}
        if parts:
            found += await self.store.find({part.message_id for part in parts.values()}, ())
        before = {send.message_id: send for send in found}
        after = dict(before)
        for receipt in receipts:
            part = None if receipt.id in owners else parts.get(key_of(receipt))
            if part is not None:
                owners[receipt.id] = part.message_id
            evidence = self._evidence(receipt, part)
            message_id = owners.get(receipt.id)
            if message_id is None or message_id not in after or evidence is None:
                continue
            merged = merge(after[message_id], evidence)
            moved = merged.status is not after[message_id].status
            self._count([receipt], "merged" if moved else "stale")
            # all that a batch says of a message is one change of it
            known = before[message_id]
            changes = known.status_seq + (merged.status is not known.status)
            after[message_id] = replace(merged, status_seq=changes)
        return before, after, owners

    def _evidence(self, receipt: DeliveryReported, part: Part | None) -> Evidence | None:
        data = receipt.data
        failed = data.status is DeliveryStatus.FAILED
        kind = self.kind_of(data.provider, data.error_code) if failed else None
        return evidence_of(receipt, kind) if part is None else evidence_of_part(receipt, part.place, kind)

    def _count(self, receipts: Iterable[DeliveryReported], outcome: str) -> None:
        for receipt in receipts:
            self.on_receipt(receipt.data.provider, outcome, 1)

    async def _cover(self, recipients: Collection[str]) -> None:
        """Merge the recipients' watermarks into the messages they cover."""
        settled: set[str] = set()
        for _ in range(MOST_TRIES):
            marks = await self.store.marks(recipients)
            if not marks:
                return
            before = {send.message_id: send for send in await self.store.covered(marks)}
            after = {key: cover(send, marks.get(send.recipient or "", ())) for key, send in before.items()}
            lost = await self._save(before, after)
            settled.update(after.keys() - lost)
            if not lost:
                await self.store.drain(settled)
                return
        raise TimeoutError

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
        finished = (send.recipient for send in sends if send.state is State.FINISHED)
        if recipients := {recipient for recipient in finished if recipient}:
            await self._cover(recipients)
        await self.store.drain([send.message_id for send in sends])

    async def _unpark(self, sends: Sequence[Send]) -> None:
        keys = {
            send.provider_key
            for send in sends
            if send.state is State.FINISHED and send.provider_key and send.provider != NO_REQUEST
        }
        if keys:
            await self._claim_parked(filter(None, keys))

    async def _claim_parked(self, provider_keys: Iterable[str]) -> None:
        """Take in the receipts that waited for what the provider names so."""
        found = await self.store.parked(provider_keys)
        if found:
            early = {receipt.id for receipt in await self._apply(found)}
            ours = [receipt for receipt in found if receipt.id not in early]
            await self.store.unpark(ours)
            self._count(ours, "unparked")
