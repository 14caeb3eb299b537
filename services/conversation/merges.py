"""What identity tells of Customers who are one person, or were not after all."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas import ids
from schemas.customers import CustomerMerged, CustomerSplit
from services.chassis.delivery import DUPLICATE, ERASED, HANDLED, Delivery, Outcome
from services.conversation.domain.draft import Draft
from services.conversation.domain.merging import Merge, merge, undo
from services.conversation.handlers import MOST_TRIES, Conflicted, Loaded, Threads

MergeEvent = CustomerMerged | CustomerSplit


@dataclass(frozen=True)
class Merges:
    """Applies merges and their undoing in the order in which identity tells them."""

    threads: Threads

    async def apply(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `customers.events`; all events besides merges are passed over."""
        return [
            await self._apply(delivery.message) if isinstance(delivery.message, MergeEvent) else HANDLED
            for delivery in batch
        ]

    async def _apply(self, event: MergeEvent) -> Outcome:
        for _ in range(MOST_TRIES):
            into, other = await self._pair(event)
            if into.thread.erased or other.thread.erased:
                return ERASED
            if event.data.n <= other.thread.link_n:
                await self.threads.store.drain([item for item in (into, other) if item.pending])
                return DUPLICATE
            if any(item.pending for item in (into, other)):
                await self.threads.store.drain([into, other])
            if await self._change(event, into, other):
                await self.threads.store.drain([into, other])
                return HANDLED
        raise Conflicted

    async def _pair(self, event: MergeEvent) -> tuple[Loaded, Loaded]:
        """Return the thread that stands for the survivor, and the absorbed Customer's own."""
        data = event.data
        whole = (await self.threads.store.load([data.survivor]))[data.survivor]
        other = (await self.threads.store.own([data.customer_id]))[data.customer_id]
        return whole, other

    async def _change(self, event: MergeEvent, into: Loaded, other: Loaded) -> bool:
        data, now = event.data, event.occurred_at
        whole = Draft(into.thread, event.id, event.correlation, now, into.thread.customer_id)
        cause = ids.derive("merge.absorbed", event.id)
        part = Draft(other.thread, cause, event.correlation, now, data.customer_id)
        done = Merge(data.merge_id, data.survivor, data.customer_id, data.n, data.by, data.reason)
        if isinstance(event, CustomerMerged):
            merge(whole, part, done)
        else:
            undo(whole, part, done)
        for item, draft in ((into, whole), (other, part)):
            item.take(draft)
            item.pending = False
        # who gets a Conversation back has it before the other begins a new one
        return await self.threads.store.join([other, into], self.threads.due)
