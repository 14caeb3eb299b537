"""A verified webhook becomes records, large contents go to the blob store, and all of it into Kafka."""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from schemas import topics
from schemas.common import BlobRef
from schemas.ids import derive
from schemas.inbound import MessageReceived, QuarantineData, QuarantinePersonal, WebhookQuarantined
from schemas.signals import VisitorTyping
from services.chassis.accounts import Account, Accounts
from services.chassis.broker import Outgoing, Publisher
from services.chassis.clock import Clock
from services.chassis.logging import log
from services.ingest.channels.registry import Provider
from services.ingest.proofs import Proofs
from services.ingest.voice.menus import Menus
from services.ingest.webhook import Arrival, Item, Received, Reported, Unreadable, Webhook

RECORD_BYTES = 256_000
"""A larger record has its long parts in the blob store."""
_CUT_TEXT_CHARACTERS = 32_000
_INLINE_BODY_BYTES = 150_000
_MAIL = "message/rfc822"


class BlobStore(Protocol):
    """Keeps bytes that are too large for a record."""

    def put(self, data: bytes, content_type: str | None = None) -> Awaitable[BlobRef]:
        """Store `data` and return where it is."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a webhook's items: topic to number of records."""

    correlation: UUID
    published: Mapping[str, int]


@dataclass
class Intake:
    """Turns webhooks into records. All that varies is given: accounts, Kafka, blobs, time, ids."""

    accounts: Accounts
    publisher: Publisher
    blobs: BlobStore
    clock: Clock
    new_id: Callable[[], UUID]
    proofs: Proofs | None = None
    """Without it a provider that needs more than the request as proof is refused."""
    menus: Menus | None = None
    """What callers are asked."""

    def learn(self, accounts: Accounts) -> None:
        """Know these accounts from now on."""
        self.accounts = accounts

    def arrival(self, account: Account) -> Arrival:
        """Return the circumstances of a request that arrives now."""
        return Arrival(account, self.accounts, self.clock(), self.new_id(), self.menus)

    async def take(self, provider: Provider, webhook: Webhook, arrival: Arrival) -> Taken:
        """Publish every item of a verified webhook.

        Returns once all in-sync replicas have them. Raises BrokerUnavailable, or the blob store's
        error; then the provider is to send it again.
        """
        if provider.slow:
            items = await asyncio.to_thread(_parsed, provider, webhook, arrival)
        else:
            items = _parsed(provider, webhook, arrival)
        return await self.publish(items, arrival, webhook.content_type)

    async def publish(self, items: Iterable[Item], arrival: Arrival, content_type: str = "") -> Taken:
        """Publish `items`; see `take`."""
        batch = [await self._outgoing(item, arrival, content_type) for item in items]
        await self.publisher.publish(batch)
        return Taken(arrival.correlation, _counted(batch))

    async def signal(self, record: VisitorTyping) -> None:
        """Publish what only matters now. Raises BrokerUnavailable."""
        key = record.personal.visitor
        await self.publisher.publish([Outgoing(topics.CHATS_SIGNALS.name, key, record.json_bytes())])

    async def _outgoing(self, item: Item, arrival: Arrival, content_type: str) -> Outgoing:
        if isinstance(item, Reported):
            return Outgoing(topics.MESSAGES_DELIVERY.name, item.key, item.value)
        if isinstance(item, Unreadable):
            record = await self._quarantined(item, arrival, content_type)
            key = f"{arrival.account.provider}/{arrival.account.account}"
            return Outgoing(topics.WEBHOOKS_QUARANTINE.name, key, record.json_bytes())
        value = await self._message_bytes(item)
        return Outgoing(topics.MESSAGES_INBOUND.name, item.key, value)

    async def _message_bytes(self, item: Received) -> bytes:
        if item.raw is None and len(item.value) <= RECORD_BYTES:
            return item.value
        record = item.record
        if item.raw is not None:
            record = _with(record, raw=await self.blobs.put(item.raw, _MAIL))
        value = record.json_bytes()
        return value if len(value) <= RECORD_BYTES else (await self._cut(record)).json_bytes()

    async def _cut(self, record: MessageReceived) -> MessageReceived:
        """Return the record with its text cut, and all of the text in the blob store.

        What a mail quotes is cut too, and its HTML left out: its raw bytes are kept.
        """
        personal = record.personal
        if personal.text_raw is not None:
            rest = await self.blobs.put(personal.text_raw.encode(), "application/json")
        else:
            rest = await self.blobs.put(personal.text.encode(), "text/plain; charset=utf-8")
        return _with(
            record,
            text=personal.text[:_CUT_TEXT_CHARACTERS],
            text_raw=None,
            text_rest=rest,
            html=None,
            quoted=personal.quoted[:_CUT_TEXT_CHARACTERS] if personal.quoted else None,
        )

    async def _quarantined(self, item: Unreadable, arrival: Arrival, content_type: str) -> WebhookQuarantined:
        account = arrival.account
        large = len(item.body) > _INLINE_BODY_BYTES
        personal = QuarantinePersonal(
            body_base64=None if large else base64.b64encode(item.body).decode(),
            blob=await self.blobs.put(item.body, content_type or None) if large else None,
        )
        return WebhookQuarantined(
            id=derive("quarantine", arrival.correlation, base64.b85encode(item.body[:1000]), len(item.body)),
            occurred_at=arrival.received_at,
            correlation=arrival.correlation,
            data=QuarantineData(
                provider=account.provider,
                account=account.account,
                reason=item.reason,
                received_at=arrival.received_at,
                content_type=content_type[:100] or None,
                size=len(item.body),
            ),
            personal=personal,
        )


def _counted(batch: Sequence[Outgoing]) -> Mapping[str, int]:
    """Return how many records each topic gets; mostly it is one."""
    return {batch[0].topic: 1} if len(batch) == 1 else Counter(record.topic for record in batch)


def _parsed(provider: Provider, webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Parse; a fault of a parser costs nobody their message: the body is kept aside."""
    try:
        return provider.parse(webhook, arrival)
    except Exception as error:  # noqa: BLE001  (whatever it is, a provider may never send this again)
        log.error(
            "parser_failed",
            provider=provider.name,
            correlation=arrival.correlation,
            error=type(error).__name__,
            exc_info=error,
        )
        return [Unreadable(f"fault of the parser: {type(error).__name__}", webhook.body)]


def _with(record: MessageReceived, **changes: object) -> MessageReceived:
    return record.model_copy(update={"personal": record.personal.model_copy(update=changes)})
