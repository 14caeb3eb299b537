"""Who has opted out of what: a copy of conversation's word, looked at just before a provider is asked.

Kept in `consents` by a hash of (provider, account, address). The latest word counts; of two at once the
one that opts out, as conversation has it.
"""

from collections.abc import Sequence
from typing import Protocol

from pymongo import ReplaceOne

from schemas import ids
from schemas.common import Identifier
from schemas.conversations import ConsentChanged
from schemas.outbound import OPTED_OUT, MessageSend
from services.chassis.accounts import Account
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.mongo import Database, Document, bulk
from services.notifier.channels import Refused
from services.notifier.channels.sending import REFUSALS


class Forbids(Protocol):
    """Says what must not be sent."""

    async def __call__(self, account: Account, message: MessageSend, /) -> Refused | None:
        """Return the refusal that the provider need not be asked for, if there is one."""


async def nobody_opted_out(_account: Account, _message: MessageSend, /) -> Refused | None:
    """Forbid nothing."""
    return None


class Consents:
    """Keeps consents and answers by them."""

    def __init__(self, database: Database) -> None:
        self._consents = database["consents"]

    async def learn(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Consumer of `conversations.events`: keep the latest `consent.changed` of each address."""
        latest: dict[str, ConsentChanged] = {}
        for delivery in batch:
            if isinstance(event := delivery.message, ConsentChanged):
                known = latest.setdefault(_key(event), event)
                latest[_key(event)] = max(known, event, key=_weight)
        await bulk(self._consents, [_write(key, event) for key, event in latest.items()])
        return [HANDLED] * len(batch)

    async def forbids(self, account: Account, message: MessageSend) -> Refused | None:
        """Return the refusal of a message to somebody who has opted out of its like."""
        key = _id(account.provider, account.account, message.personal.to)
        found = await self._consents.find_one({"_id": key})
        if found is None or not found["opted_out"]:
            return None
        if message.data.consent_at is not None and found["at"] < message.data.consent_at:
            return None  # conversation knew a later word than has come here
        if found["scope"] == "marketing" and not _marketing(account, message):
            return None
        return Refused(OPTED_OUT, REFUSALS["opted_out"], "opted_out")


def _marketing(account: Account, message: MessageSend) -> bool:
    use = message.personal.template
    if use is None:
        return False
    found = account.template(use.name, use.language)
    return found is None or found.category == "marketing"


def _weight(event: ConsentChanged) -> tuple[object, ...]:
    return event.data.changed_at, event.data.opted_out


def _id(provider: str, account: str, address: Identifier) -> str:
    return str(ids.derive("consent", provider, account, address.value))


def _key(event: ConsentChanged) -> str:
    return _id(event.data.provider, event.data.account, event.personal.address)


def _write(key: str, event: ConsentChanged) -> ReplaceOne[Document]:
    """Return the write; where a later word is known it is a duplicate key, and does nothing."""
    at, opted_out = event.data.changed_at, event.data.opted_out
    earlier = {"at": {"$lte" if opted_out else "$lt": at}}
    document = {"_id": key, "at": at, "opted_out": opted_out, "scope": event.data.scope, "home": event.home}
    return ReplaceOne({"_id": key, **earlier}, document, upsert=True)
