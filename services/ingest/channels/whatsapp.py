"""Meta's WhatsApp Cloud API: the handshake, messages, echoes and statuses in nested batches.

Signature: see `meta`. Dedup keys: a message's id within its phone_number_id; for edits and
revocations also their time; for a status (id, status, recipient, timestamp); for a preference all it
says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from schemas.common import DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.chassis.text import line
from services.ingest.channels import meta
from services.ingest.channels.items import ConsentWord, Said, our_id, received, reported
from services.ingest.channels.shapes import EMPTY, as_bytes, items, mapping, moment, text
from services.ingest.channels.whatsapp_text import said
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "whatsapp"
handshake = meta.handshake
verify = meta.verify
signature = meta.signature
_MARKETING: Mapping[str, ConsentWord] = {"stop": "stop", "resume": "start"}
_PREFERENCE_CHARACTERS = 100
Content = Mapping[str, Any]
_VERSIONED = frozenset({"edit", "revoke"})
_STATUSES = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "played": DeliveryStatus.READ,
    "failed": DeliveryStatus.FAILED,
}


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the items of every entry and change; a bad one never costs the others."""
    try:
        _, entries = meta.entries(webhook)
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]
    return [item for entry in entries for item in _entry(entry, arrival)]


def _entry(entry: object, arrival: Arrival) -> Iterator[Item]:
    changes = items(mapping(entry).get("changes"))
    if not changes:
        yield Unreadable("an entry without changes", as_bytes(entry))
    for change in changes:
        yield from _change(change, arrival)


@dataclass(frozen=True, slots=True)
class _Change:
    """What the items of one change have in common."""

    account: Account
    arrival: Arrival
    people: Mapping[str, Content]
    """contacts[] by number and by user id."""


def _change(change: object, arrival: Arrival) -> Iterator[Item]:
    value = mapping(mapping(change).get("value"))
    if not any(items(value.get(name)) for name in _READERS):
        yield Unreadable("a change without messages or statuses", as_bytes(change))
        return
    account = _addressee(value, arrival)
    if account is None:
        yield Unreadable("for a phone_number_id that no account with this secret has", as_bytes(change))
        return
    change_ = _Change(account, arrival, _people(value))
    for name, reader in _READERS.items():
        for item in items(value.get(name)):
            yield from meta.guarded(partial(reader, change_), item)


def _addressee(value: Content, arrival: Arrival) -> Account | None:
    """Return the account of the change's phone_number_id, if it has the secret that was checked."""
    number = text(mapping(value.get("metadata")).get("phone_number_id"))
    account = arrival.account
    if number == account.address:
        return account
    return meta.trusted(account, arrival.accounts.by_address(PROVIDER, number))


def _people(value: Content) -> dict[str, Content]:
    """Return contacts[] by number and by user id; they are not aligned with messages[]."""
    people: dict[str, Content] = {}
    for contact in map(mapping, items(value.get("contacts"))):
        for name in ("wa_id", "user_id"):
            if known := text(contact.get(name)):
                people[known] = contact
    return people


def _message(change: _Change, item: Content) -> Sequence[Item]:
    names = [text(item.get(name)) for name in ("from", "from_user_id", "from_parent_user_id")]
    contact = next((change.people[known] for known in names if known in change.people), EMPTY)
    told = [text(contact.get(name)) for name in ("wa_id", "user_id", "parent_user_id")]
    profile = mapping(contact.get("profile"))
    name = text(profile.get("name")) or text(profile.get("username"))
    person = [own or of_contact for own, of_contact in zip(names, told, strict=True)]
    return [_received(change, item, person, name=name)]


def _echo(change: _Change, item: Content) -> Sequence[Item]:
    """Read what a colleague sent from the WhatsApp Business app: ours, to the Customer in `to`."""
    person = [text(item.get(name)) for name in ("to", "to_user_id", "to_parent_user_id")]
    return [_received(change, item, person, outbound=True)]


def _received(
    change: _Change,
    item: Content,
    person: Sequence[str],
    *,
    name: str | None = None,
    outbound: bool = False,
) -> Item:
    kind, wamid = text(item.get("type")), text(item.get("id"))
    if not wamid:
        reason = "a message without id"
        raise BadItem(reason)
    identifiers, key = _identified(*person)
    version = f":{kind}:{text(item.get('timestamp'))}" if kind in _VERSIONED else ""
    return received(
        change.arrival,
        change.account,
        said(item),
        dedup=wamid + version,
        provider_message_id=wamid,
        identifiers=[*identifiers, *_new_number(item)],
        key=key,
        name=name,
        sent_at=moment(item.get("timestamp")),
        outbound=outbound,
        automatic=kind == "system",
    )


@lru_cache(maxsize=16_384)
def _identified(number: str, user: str, parent: str = "") -> tuple[tuple[Identifier, ...], str]:
    """Return all that Meta vouches for, and the key: the phone number if there is one.

    That is the wa_id, the business-scoped user id, the phone number, and the user id that is known to
    all of an enterprise's businesses. Since 2026 the number can be missing, then the user id is all
    there is.
    """
    found = [known for value in (number, user) if value and (known := _known("whatsapp", value))]
    if found and (phone := _phone(found[0])):
        found.append(phone)
    if not found:
        reason = "a message without a sender"
        raise BadItem(reason)
    widely = _known("whatsapp", parent) if parent else None
    return (*found, *([widely] if widely else [])), found[-1].value


def _phone(known: Identifier) -> Identifier | None:
    return _known("phone", f"+{known.value}") if known.value.isdigit() else None


def _new_number(item: Content) -> list[Identifier]:
    """Return the number that somebody goes on with, where Meta says so: both are one Customer's."""
    system = mapping(item.get("system"))
    number = text(system.get("wa_id"))
    if system.get("type") != "user_changed_number" or not number:
        return []
    known = _known("whatsapp", number)
    return [each for each in (known, _phone(known)) if each] if known else []


def _preference(change: _Change, item: Content) -> Sequence[Item]:
    """Read that somebody stopped or resumed marketing messages: shown, and asking nobody for anything."""
    what, value, at = (text(item.get(name)) for name in ("category", "value", "timestamp"))
    identifiers, key = _identified(text(item.get("wa_id")), text(item.get("user_id")))
    words = line(f"{what.replace('_', ' ')}: {value}", _PREFERENCE_CHARACTERS)
    preference = received(
        change.arrival,
        change.account,
        Said(f"[{words}]", "preference"),
        dedup=f"preference:{what}:{value}:{at}",
        provider_message_id=f"preference:{what}:{value}:{at}",
        identifiers=identifiers,
        key=key,
        sent_at=moment(item.get("timestamp")),
        automatic=True,
        consent=_MARKETING.get(value) if what == "marketing_messages" else None,
    )
    return [preference]


def _known(kind: str, value: str) -> Identifier | None:
    try:
        return identifier(kind, value, verified=True)
    except InvalidIdentifier:
        return None


def _status(change: _Change, item: Content) -> Sequence[Item]:
    word = text(item.get("status"))
    if word not in _STATUSES:
        reason = "unknown message status"
        raise BadItem(reason)
    recipient = text(item.get("recipient_participant_id")) or text(item.get("recipient_id"))
    error = mapping(next(iter(items(item.get("errors"))), None))
    report = reported(
        change.arrival,
        change.account,
        _STATUSES[word],
        dedup=(word, recipient or text(item.get("recipient_user_id")), text(item.get("timestamp"))),
        provider_message_id=text(item.get("id")),
        at=moment(item.get("timestamp")),
        ours=our_id(item.get("biz_opaque_callback_data")),
        error_code=text(error.get("code")) or None,
        error_detail=text(error.get("title")) or text(error.get("message")) or None,
    )
    return [report]


_READERS: Mapping[str, Callable[[_Change, Content], Sequence[Item]]] = {
    "messages": _message,
    "message_echoes": _echo,
    "statuses": _status,
    "user_preferences": _preference,
}
