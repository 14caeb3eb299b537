"""Events of Messenger and Instagram: the `messaging[]` and `standby[]` of each entry.

Documentation: https://developers.facebook.com/docs/messenger-platform/reference/webhook-events.
Dedup keys, within account and person: a message's mid; for an unsent one, an edit or a reaction also
what happened and when; a postback's mid, of old versions its time and payload. A watermark has its
person and time. The account is that of the entry's id.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from schemas.common import DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.ingest.channels.items import Said, covered, our_id, received, reported, unclaimed
from services.ingest.channels.meta import entries, guarded, trusted
from services.ingest.channels.meta_messaging_text import (
    said_by_edit,
    said_by_message,
    said_by_optin,
    said_by_postback,
    said_by_reaction,
    said_by_referral,
)
from services.ingest.channels.shapes import as_bytes, items, mapping, millisecond_moment, text
from services.ingest.webhook import Arrival, BadItem, Item, Received, Unreadable, Webhook

_PROVIDERS = {"page": "messenger", "instagram": "instagram"}
_UNTOLD_SENDERS = frozenset({"instagram"})
"""Whose echoes may leave out by which app the message was sent."""
_MOST_MIDS = 1000
Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Event:
    """Who met whom, and when."""

    customer: Identifier
    outbound: bool
    at: datetime | None
    standby: bool
    """Another app has the thread: recorded, and nobody here is asked to answer."""
    account: Account
    arrival: Arrival

    def says(self, said: Said, mid: str, version: str = "", *, automatic: bool = False) -> Received:
        if not mid:
            reason = "an event without message id"
            raise BadItem(reason)
        return received(
            self.arrival,
            self.account,
            said,
            dedup=mid + version,
            provider_message_id=mid,
            identifiers=[self.customer],
            key=self.customer.value,
            sent_at=self.at,
            outbound=self.outbound,
            automatic=automatic or (self.standby and not self.outbound),
        )

    def moment(self) -> str:
        return str(int(self.at.timestamp() * 1000)) if self.at else ""


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the items of every entry and event; a bad one never costs the others."""
    try:
        kind, found = entries(webhook)
        provider = _PROVIDERS.get(kind)
        if provider is None:
            return [Unreadable("of another product of Meta's", webhook.body)]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]
    return [item for entry in found for item in _entry(entry, provider, arrival)]


def _entry(entry: object, provider: str, arrival: Arrival) -> Iterator[Item]:
    fields = mapping(entry)
    events = [
        (event, name == "standby") for name in ("messaging", "standby") for event in items(fields.get(name))
    ]
    if not events:
        # `changes` holds comments and the like, and the test of Meta's dashboard
        yield Unreadable("an entry without messages", as_bytes(entry))
    ours = text(fields.get("id"))
    account = _addressee(ours, provider, arrival)
    for event, standby in events:
        if account is None:
            yield Unreadable("for a page or account that no account with this secret has", as_bytes(event))
        else:
            read = partial(_event, ours=ours, standby=standby, account=account, arrival=arrival)
            yield from guarded(read, event)


def _addressee(ours: str, provider: str, arrival: Arrival) -> Account | None:
    account = arrival.account
    if (provider, ours) == (account.provider, account.address):
        return account
    return trusted(account, arrival.accounts.by_address(provider, ours))


def _event(item: Part, *, ours: str, standby: bool, account: Account, arrival: Arrival) -> Sequence[Item]:
    read = next(((name, reader) for name, reader in _READERS.items() if name in item), None)
    if read is None:
        reason = "an event of an unknown kind"
        raise BadItem(reason)
    name, reader = read
    part = mapping(item[name])
    sender, recipient = (text(mapping(item.get(side)).get("id")) for side in ("sender", "recipient"))
    outbound = part.get("is_echo") is True or sender == ours
    event = _Event(
        customer=_customer(recipient if outbound else sender, ours, account),
        outbound=outbound,
        at=millisecond_moment(item.get("timestamp")),
        standby=standby,
        account=account,
        arrival=arrival,
    )
    return reader(event, part)


def _customer(value: str, ours: str, account: Account) -> Identifier:
    if not value or value == ours:
        reason = "an event without a person"
        raise BadItem(reason)
    try:
        return identifier(account.provider, value, verified=True)
    except InvalidIdentifier as error:
        raise BadItem(str(error)) from None


def _message(event: _Event, message: Part) -> Sequence[Item]:
    mid = text(message.get("mid"))
    if message.get("is_deleted") is True:
        return [event.says(Said("[deleted a message]", "revoke", in_reply_to=mid), mid, ":deleted")]
    if event.outbound:
        return [_echo(event, message, mid)]
    return [event.says(said_by_message(message), mid)]


def _echo(event: _Event, message: Part, mid: str) -> Item:
    """Tell our own sends, which are receipts, from what was sent by another app or by hand."""
    app, own_apps = text(message.get("app_id")), event.account.valid("app_id")
    ours, _, part = text(message.get("metadata")).partition("/")
    known = our_id(ours)
    others = bool(app and own_apps) and app not in own_apps
    if not others and (known is not None or app in own_apps):
        return reported(
            event.arrival,
            event.account,
            DeliveryStatus.SENT,
            dedup=("echo",),
            provider_message_id=mid,
            at=event.at,
            ours=None if part else known,
        )
    item = event.says(said_by_message(message), mid)
    return unclaimed(item) if not app and event.account.provider in _UNTOLD_SENDERS else item


def _edit(event: _Event, edit: Part) -> Sequence[Item]:
    version = text(edit.get("num_edit")) or event.moment()
    return [event.says(said_by_edit(edit), text(edit.get("mid")), f":edit:{version}")]


def _postback(event: _Event, postback: Part) -> Sequence[Item]:
    mid = text(postback.get("mid")) or f"postback:{event.moment()}:{text(postback.get('payload'))}"
    return [event.says(said_by_postback(postback), mid)]


def _reaction(event: _Event, reaction: Part) -> Sequence[Item]:
    version = f":{text(reaction.get('action'))}:{event.moment()}"
    return [event.says(said_by_reaction(reaction), text(reaction.get("mid")), version)]


def _referral(event: _Event, referral: Part) -> Sequence[Item]:
    mid = f"referral:{event.moment()}:{text(referral.get('ref'))}"
    return [event.says(said_by_referral(referral), mid, automatic=True)]


def _optin(event: _Event, optin: Part) -> Sequence[Item]:
    mid = f"optin:{event.moment()}:{text(optin.get('ref'))}"
    return [event.says(said_by_optin(optin), mid, automatic=True)]


def _delivery(event: _Event, delivery: Part) -> Sequence[Item]:
    """A watermark covers all before it; the mids, where they come, are exact."""
    mids = (mid for each in items(delivery.get("mids"))[:_MOST_MIDS] if (mid := text(each)).strip())
    at = millisecond_moment(delivery.get("watermark"))
    reports = [
        reported(
            event.arrival,
            event.account,
            DeliveryStatus.DELIVERED,
            dedup=("delivered",),
            provider_message_id=mid,
            at=at,
        )
        for mid in mids
    ]
    return [*reports, _watermark(event, DeliveryStatus.DELIVERED, at)]


def _read(event: _Event, read: Part) -> Sequence[Item]:
    if mid := text(read.get("mid")):
        report = reported(
            event.arrival,
            event.account,
            DeliveryStatus.READ,
            dedup=("read",),
            provider_message_id=mid,
            at=event.at,
        )
        return [report]
    return [_watermark(event, DeliveryStatus.READ, millisecond_moment(read.get("watermark")))]


def _watermark(
    event: _Event, status: Literal[DeliveryStatus.DELIVERED, DeliveryStatus.READ], up_to: datetime | None
) -> Item:
    if up_to is None:
        reason = "a receipt without a watermark"
        raise BadItem(reason)
    return covered(event.arrival, event.account, status, event.customer, up_to=up_to, at=event.at)


_READERS: Mapping[str, Callable[[_Event, Part], Sequence[Item]]] = {
    "message": _message,
    "message_edit": _edit,
    "postback": _postback,
    "reaction": _reaction,
    "delivery": _delivery,
    "read": _read,
    "referral": _referral,
    "optin": _optin,
}
