"""Meta's WhatsApp Cloud API: the handshake, messages, echoes and statuses in nested batches.

Signature: https://developers.facebook.com/docs/graph-api/webhooks/getting-started, over the
body's bytes. Dedup keys: a message's id within its phone_number_id; for edits and revocations
also their time; for a status (id, status, recipient, timestamp).
"""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qs

from schemas.common import DeliveryStatus, Identifier
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.ingest.channels.items import our_id, received, reported
from services.ingest.channels.shapes import EMPTY, as_bytes, items, mapping, moment, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.channels.whatsapp_text import said
from services.ingest.webhook import Arrival, BadItem, Handshake, Item, Unreadable, Webhook

PROVIDER = "whatsapp"
_SIGNATURE = "x-hub-signature-256"
_VERSIONED = frozenset({"edit", "revoke"})
_STATUSES = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "played": DeliveryStatus.READ,
    "failed": DeliveryStatus.FAILED,
}


def handshake(webhook: Webhook, account: Account) -> Handshake:
    """Answer Meta's check of the callback URL: the challenge, if the verify token is ours."""
    query = parse_qs(webhook.query, keep_blank_values=True)
    given = query.get("hub.verify_token", [""])[0]
    ours = any(same(given, token) for token in account.valid("verify_token"))
    if not ours or query.get("hub.mode") != ["subscribe"]:
        return Handshake(403, "verify token does not match\n")
    return Handshake(200, query.get("hub.challenge", [""])[0])


def verify(webhook: Webhook, account: Account) -> bool:
    """Check X-Hub-Signature-256 over the raw body."""
    claimed = webhook.headers.get(_SIGNATURE, "")
    return any(same(claimed, signature(webhook.body, secret)) for secret in account.valid("app_secret"))


def signature(body: bytes, secret: str) -> str:
    """Return the header's value for `body`."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the items of every entry and change; a bad one never costs the others."""
    try:
        entries = items(mapping(read_json(webhook.body)).get("entry"))
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]
    if not entries:
        return [Unreadable("no entries", webhook.body)]
    return [item for entry in entries for item in _entry(entry, arrival)]


def _entry(entry: object, arrival: Arrival) -> Iterator[Item]:
    changes = items(mapping(entry).get("changes"))
    if not changes:
        yield Unreadable("an entry without changes", as_bytes(entry))
    for change in changes:
        yield from _change(change, arrival)


def _change(change: object, arrival: Arrival) -> Iterator[Item]:
    value = mapping(mapping(change).get("value"))
    messages, echoes, statuses = (
        items(value.get(name)) for name in ("messages", "message_echoes", "statuses")
    )
    if not (messages or echoes or statuses):
        yield Unreadable("a change without messages or statuses", as_bytes(change))
        return
    account = _addressee(value, arrival)
    if account is None:
        yield Unreadable("for a phone_number_id that no account with this secret has", as_bytes(change))
        return
    people = _people(value)
    for message in messages:
        yield _guarded(partial(_message, people=people, arrival=arrival, account=account), message)
    for echo in echoes:
        yield _guarded(partial(_echo, arrival=arrival, account=account), echo)
    for status in statuses:
        yield _guarded(partial(_status, arrival=arrival, account=account), status)


def _guarded(read: Callable[[Mapping[str, Any]], Item], item: object) -> Item:
    try:
        return read(mapping(item))
    except BadItem as error:
        return Unreadable(str(error), as_bytes(item))


def _addressee(value: Mapping[str, Any], arrival: Arrival) -> Account | None:
    """Return the account of the change's phone_number_id, if it has the secret that was checked."""
    number = text(mapping(value.get("metadata")).get("phone_number_id"))
    account = arrival.account
    if number == account.address:
        return account
    other = arrival.accounts.by_address(PROVIDER, number)
    return other if other is not None and other.shares("app_secret", account) else None


def _people(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return contacts[] by number and by user id; they are not aligned with messages[]."""
    people: dict[str, Mapping[str, Any]] = {}
    for contact in map(mapping, items(value.get("contacts"))):
        for name in ("wa_id", "user_id"):
            if known := text(contact.get(name)):
                people[known] = contact
    return people


def _message(
    item: Mapping[str, Any], people: Mapping[str, Mapping[str, Any]], arrival: Arrival, account: Account
) -> Item:
    number, user = text(item.get("from")), text(item.get("from_user_id"))
    contact = people.get(number) or people.get(user) or EMPTY
    number = number or text(contact.get("wa_id"))
    user = user or text(contact.get("user_id"))
    profile = mapping(contact.get("profile"))
    name = text(profile.get("name")) or text(profile.get("username"))
    return _received(item, (number, user), arrival, account, name=name)


def _echo(item: Mapping[str, Any], arrival: Arrival, account: Account) -> Item:
    """Read what a colleague sent from the WhatsApp Business app: ours, to the Customer in `to`."""
    return _received(
        item, (text(item.get("to")), text(item.get("to_user_id"))), arrival, account, outbound=True
    )


def _received(
    item: Mapping[str, Any],
    person: tuple[str, str],
    arrival: Arrival,
    account: Account,
    *,
    name: str | None = None,
    outbound: bool = False,
) -> Item:
    kind, wamid = text(item.get("type")), text(item.get("id"))
    if not wamid:
        reason = "a message without id"
        raise BadItem(reason)
    identifiers = _identifiers(*person)
    version = f":{kind}:{text(item.get('timestamp'))}" if kind in _VERSIONED else ""
    return received(
        arrival,
        account,
        said(item),
        dedup=wamid + version,
        provider_message_id=wamid,
        identifiers=identifiers,
        key=identifiers[-1].value,
        name=name,
        sent_at=moment(item.get("timestamp")),
        outbound=outbound,
        automatic=kind == "system",
    )


@lru_cache(maxsize=16_384)
def _identifiers(number: str, user: str) -> tuple[Identifier, ...]:
    """Return all that Meta vouches for: wa_id, business-scoped user id, and, last, the phone number.

    Since 2026 the number can be missing, then the user id is all there is.
    """
    found = [known for value in (number, user) if value and (known := _known("whatsapp", value))]
    if found and (phone := _known("phone", f"+{found[0].value}") if found[0].value.isdigit() else None):
        found.append(phone)
    if not found:
        reason = "a message without a sender"
        raise BadItem(reason)
    return tuple(found)


def _known(kind: str, value: str) -> Identifier | None:
    try:
        return identifier(kind, value, verified=True)
    except InvalidIdentifier:
        return None


def _status(item: Mapping[str, Any], arrival: Arrival, account: Account) -> Item:
    word = text(item.get("status"))
    if word not in _STATUSES:
        reason = "unknown message status"
        raise BadItem(reason)
    recipient = text(item.get("recipient_participant_id")) or text(item.get("recipient_id"))
    error = mapping(next(iter(items(item.get("errors"))), None))
    return reported(
        arrival,
        account,
        _STATUSES[word],
        dedup=(word, recipient or text(item.get("recipient_user_id")), text(item.get("timestamp"))),
        provider_message_id=text(item.get("id")),
        at=moment(item.get("timestamp")),
        ours=our_id(item.get("biz_opaque_callback_data")),
        error_code=text(error.get("code")) or None,
        error_detail=text(error.get("title")) or None,
    )
