"""LINE's Messaging API: events[] of one channel (our account) a webhook.

Signature and events: https://developers.line.biz/en/reference/messaging-api/#webhooks. Dedup key:
webhookEventId, which a redelivered event keeps (`deliveryContext.isRedelivery`); such events come late, so
order is by their timestamp. A media file's `media_id` is the message's id, good for a limited time at
`api-data.line.me/v2/bot/message/{id}/content`. In mode "standby" another module answers: recorded, no more.
"""

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from schemas.common import Attachment, Identifier, IdentifierKind
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.chassis.text import line
from services.ingest.channels.items import ConsentWord, Said, received
from services.ingest.channels.shapes import as_bytes, items, mapping, moment, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "line"
_SIGNATURE = "x-line-signature"
_NAME_CHARACTERS = 255
_TYPES = {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/mp4", "file": None}
"""Of files whose own type is told only with their content."""
Content = Mapping[str, Any]


def verify(webhook: Webhook, account: Account) -> bool:
    """Check x-line-signature over the raw body."""
    claimed = webhook.headers.get(_SIGNATURE, "")
    return any(same(claimed, signature(webhook.body, key)) for key in account.valid("channel_secret"))


def signature(body: bytes, secret: str) -> str:
    """Return the header's value: base64(HMAC-SHA256(channel secret, body))."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return an item for each event; none for the console's check of our address, which has none."""
    try:
        body = mapping(read_json(webhook.body))
        if not isinstance(body.get("events"), list):
            return [Unreadable("no events", webhook.body)]
        return [_item(event, text(body.get("destination")), arrival) for event in body["events"]]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]


def _item(event: object, destination: str, arrival: Arrival) -> Item:
    try:
        return _event(mapping(event), _addressee(destination, arrival), arrival)
    except BadItem as error:
        return Unreadable(str(error), as_bytes(event))


def _addressee(destination: str, arrival: Arrival) -> Account:
    """Return the account of that bot's user id, if it has the secret that was checked."""
    account = arrival.account
    if destination == account.address:
        return account
    other = arrival.accounts.by_address(PROVIDER, destination)
    if other is None or not other.shares("channel_secret", account):
        reason = "for a destination that no account with this secret has"
        raise BadItem(reason)
    return other


def _event(event: Content, account: Account, arrival: Arrival) -> Item:
    kind, event_id = text(event.get("type")), text(event.get("webhookEventId"))
    if not event_id:
        reason = "an event without webhookEventId"
        raise BadItem(reason)
    sender = _sender(mapping(event.get("source")))
    message = mapping(event.get("message"))
    read = _EVENTS.get(kind, _other)
    what = read(event)
    return received(
        arrival,
        account,
        what,
        dedup=event_id,
        provider_message_id=text(message.get("id")) or event_id,
        identifiers=[sender],
        key=sender.value,
        sent_at=_moment(event.get("timestamp")),
        automatic=kind not in _WRITTEN or event.get("mode") == "standby",
        consent=_CONSENT.get(kind),
    )


def _sender(source: Content) -> Identifier:
    """Return the user. What is said in groups and rooms is said to many: no conversation of ours."""
    if text(source.get("type")) != "user":
        reason = "in a group or room: only users' own chats are conversations"
        raise BadItem(reason)
    try:
        return identifier(IdentifierKind.LINE, text(source.get("userId")), verified=True)
    except InvalidIdentifier:
        reason = "an event without a user"
        raise BadItem(reason) from None


def _moment(milliseconds: object) -> datetime | None:
    if type(milliseconds) is not int:
        return None
    at = moment(milliseconds // 1000)
    return at + timedelta(milliseconds=milliseconds % 1000) if at else None


def _message(event: Content) -> Said:
    message = mapping(event.get("message"))
    kind = text(message.get("type")) or "unknown"
    words = _MESSAGES[kind](message) if kind in _MESSAGES else f"[{line(kind, 64)}]"
    return Said(words, kind, _attachments(kind, message), text(message.get("quotedMessageId")) or None)


def _text(message: Content) -> str:
    if not isinstance(message.get("text"), str):
        reason = "a text message without text"
        raise BadItem(reason)
    return text(message.get("text"))


def _file(message: Content) -> str:
    return f"[file: {line(text(message.get('fileName')), _NAME_CHARACTERS)}]"


def _location(message: Content) -> str:
    words = ", ".join(filter(None, (text(message.get("title")), text(message.get("address")))))
    point = f"({text(message.get('latitude'))}, {text(message.get('longitude'))})"
    return " ".join(filter(None, ("[location]", words, point)))


def _sticker(message: Content) -> str:
    """Return the text on a message sticker, else what the sticker is about."""
    about = ", ".join(filter(None, map(text, items(message.get("keywords"))[:3])))
    return f"[sticker] {text(message.get('text')) or about}".rstrip()


_MESSAGES: Mapping[str, Callable[[Content], str]] = {
    "text": _text,
    "file": _file,
    "location": _location,
    "sticker": _sticker,
}


def _attachments(kind: str, message: Content) -> tuple[Attachment, ...]:
    """Return the file; a bot of ours can send one from elsewhere (`external`), a person never does."""
    if kind not in _TYPES:
        return ()
    provided = mapping(message.get("contentProvider"))
    url = line(text(provided.get("originalContentUrl")), 2000)
    size = message.get("fileSize")
    return (
        Attachment(
            content_type=_TYPES[kind],
            filename=line(text(message.get("fileName")), _NAME_CHARACTERS) or None,
            size=size if type(size) is int and 0 <= size < 2**53 else None,
            media_id=None if url else line(text(message.get("id")), _NAME_CHARACTERS) or None,
            url=url or None,
        ),
    )


def _postback(event: Content) -> Said:
    """Return a pressed button's data, and the date or menu that was chosen with it."""
    postback = mapping(event.get("postback"))
    chosen = ", ".join(filter(None, map(text, mapping(postback.get("params")).values())))
    return Said(f"{text(postback.get('data'))} {chosen}".strip(), "postback")


def _unsend(event: Content) -> Said:
    about = text(mapping(event.get("unsend")).get("messageId"))
    return Said("[deleted a message]", "unsend", in_reply_to=about or None)


def _other(event: Content) -> Said:
    return Said(f"[{line(text(event.get('type')), 64) or 'unknown'}]", "system")


_EVENTS: Mapping[str, Callable[[Content], Said]] = {
    "message": _message,
    "postback": _postback,
    "unsend": _unsend,
    "follow": lambda _: Said("[follows us]", "follow"),
    "unfollow": lambda _: Said("[blocked us]", "unfollow"),
}
_WRITTEN = frozenset({"message", "postback", "unsend"})
_CONSENT: Mapping[str, ConsentWord] = {"follow": "start", "unfollow": "stop"}
