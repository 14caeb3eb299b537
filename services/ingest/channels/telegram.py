"""Telegram's Bot API: one Update a webhook.

Documented at https://core.telegram.org/bots/api#getting-updates. Proof: the secret_token that was given
to setWebhook, in a header; the body is not signed. Dedup keys, within the chat: a message's message_id;
of an edit also edit_date and update_id; a callback query's id; of the rest the update_id with the date,
since update ids start anew at random after an idle week. Message ids are unique only within a chat, so
ours read `<chat>:<message_id>`.

Private chats are conversations. What is said in a group or channel is said to many, and an answer would
be read by all: it is kept aside. Forbid the bot to join any (BotFather, /setjoingroups).
"""

import json
from collections.abc import Callable, Mapping, Sequence

from schemas.common import Identifier, IdentifierKind
from services.chassis.accounts import Account
from services.ingest.channels.items import ConsentWord, Said, received
from services.ingest.channels.shapes import items, mapping, moment, read_json, text
from services.ingest.channels.signatures import same
from services.ingest.channels.telegram_text import Content, button_of, name_of, said
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "telegram"
_PROOF = "x-telegram-bot-api-secret-token"
_ID_DIGITS = 16
"""Ids of users have at most 52 bits."""
_SERVICE = frozenset(
    {"pinned_message", "write_access_allowed", "message_auto_delete_timer_changed", "chat_background_set"}
    | {"proximity_alert_triggered", "boost_added"}
)


def verify(webhook: Webhook, account: Account) -> bool:
    """Compare the header with the account's secret_token."""
    claimed = webhook.headers.get(_PROOF, "")
    return any(same(claimed, token) for token in account.valid("secret_token"))


def answer(webhook: Webhook, _arrival: Arrival) -> str:
    """Return the body of our 200. It answers a callback query, whose button else goes on turning.

    https://core.telegram.org/bots/api#making-requests-when-getting-updates: a method may be called by
    the answer to a webhook; its result is not told, and this one has none of interest.
    """
    if b"callback_query" not in webhook.body:
        return "{}"
    try:
        query = text(mapping(mapping(read_json(webhook.body)).get("callback_query")).get("id"))
    except BadItem:
        query = ""
    return json.dumps({"method": "answerCallbackQuery", "callback_query_id": query}) if query else "{}"


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the one item of the update."""
    try:
        update = mapping(read_json(webhook.body))
        kind = next((name for name in _READERS if isinstance(update.get(name), dict)), None)
        if kind is None:
            return [Unreadable("an update of a type that is not read", webhook.body)]
        return [_READERS[kind](update[kind], text(update.get("update_id")), arrival)]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]


def _message(message: Content, _update: str, arrival: Arrival) -> Item:
    chat, number = _chat(message), _number(message)
    service = next((name for name in _SERVICE if name in message), None)
    what = Said(f"[{service}]", "system") if service else said(message)
    return _received(
        message, chat, what, arrival, dedup=number, name=f"{chat}:{number}", automatic=bool(service)
    )


def _edited(message: Content, update: str, arrival: Arrival) -> Item:
    """Read an edit as a message about the one it changes; a live location moves by itself."""
    chat, number = _chat(message), _number(message)
    moved = "location" in message
    now = said(message)
    what = Said(
        now.text if moved else f"[edited] {now.text}", "location" if moved else "edit", now.attachments
    )
    edited_at = message.get("edit_date") or message.get("date")
    return _received(
        {**message, "date": edited_at, "reply_to_message": message},
        chat,
        what,
        arrival,
        dedup=f"{number}:{text(edited_at)}:{update}",
        name=f"{chat}:{number}",
        automatic=moved,
    )


def _callback(query: Content, _update: str, arrival: Arrival) -> Item:
    """Read a pressed button: what stood on it, else its data."""
    shown, number = mapping(query.get("message")), text(query.get("id"))
    if not number:
        reason = "a callback query without id"
        raise BadItem(reason)
    chat = _chat(shown) if shown else _person(query)
    words = (
        button_of(shown, query.get("data")) or text(query.get("data")) or text(query.get("game_short_name"))
    )
    about = {"from": query.get("from"), "reply_to_message": shown}
    return _received(
        about,
        chat,
        Said(words, "callback_query"),
        arrival,
        dedup=f"callback:{number}",
        name=f"callback:{number}",
    )


def _reaction(reaction: Content, update: str, arrival: Arrival) -> Item:
    """Read which emoji stand under a message now; none is a reaction taken back."""
    chat, number, date = _chat(reaction), _number(reaction), text(reaction.get("date"))
    emoji = [text(mapping(each).get("emoji")) or "[custom]" for each in items(reaction.get("new_reaction"))]
    words = f"[reaction] {' '.join(emoji[:10])}" if emoji else "[reaction removed]"
    dedup = f"{number}:reaction:{date}:{update}"
    about = {**reaction, "from": reaction.get("user"), "reply_to_message": reaction}
    return _received(about, chat, Said(words, "reaction"), arrival, dedup=dedup, name=f"{chat}:{dedup}")


def _member(change: Content, update: str, arrival: Arrival) -> Item:
    """Read that the user blocked the bot, which is an opt-out, or let it in again."""
    chat = _chat(change)
    status = text(mapping(change.get("new_chat_member")).get("status"))
    blocked = status in {"kicked", "left"}
    what = Said("[blocked us]" if blocked else "[unblocked us]", "my_chat_member")
    dedup = f"member:{text(change.get('date'))}:{update}"
    return _received(
        change,
        chat,
        what,
        arrival,
        dedup=dedup,
        name=f"{chat}:{dedup}",
        automatic=True,
        consent="stop" if blocked else "start",
    )


_READERS: Mapping[str, Callable[[Content, str, Arrival], Item]] = {
    "message": _message,
    "edited_message": _edited,
    "callback_query": _callback,
    "message_reaction": _reaction,
    "my_chat_member": _member,
}


def _received(
    message: Content,
    chat: str,
    what: Said,
    arrival: Arrival,
    *,
    dedup: str,
    name: str,
    automatic: bool = False,
    consent: ConsentWord | None = None,
) -> Item:
    """Return the message; one from the bot itself is an echo, ours to whose chat it is."""
    author, account = mapping(message.get("from")), arrival.account
    ours = bool(author) and text(author.get("id")) == account.address
    answered = text(mapping(message.get("reply_to_message")).get("message_id"))
    about = f"{chat}:{answered}" if answered else None
    return received(
        arrival,
        account,
        Said(what.text, what.kind, what.attachments, about),
        dedup=dedup,
        provider_message_id=name,
        identifiers=[Identifier(kind=IdentifierKind.TELEGRAM, value=chat, verified=True)],
        key=chat,
        name=None if ours else name_of(author),
        sent_at=moment(message.get("date")),
        outbound=ours,
        automatic=automatic,
        consent=consent,
    )


def _chat(message: Content) -> str:
    """Return the id of the private chat, which is its user's. Raises BadItem for any other chat."""
    chat = mapping(message.get("chat"))
    if text(chat.get("type")) not in {"", "private"}:
        reason = "in a group or channel: only private chats are conversations"
        raise BadItem(reason)
    return _user_id(chat.get("id"))


def _person(query: Content) -> str:
    return _user_id(mapping(query.get("from")).get("id"))


def _user_id(value: object) -> str:
    known = text(value)
    if not (known.isascii() and known.isdigit() and len(known) <= _ID_DIGITS):
        reason = "no id of a user"
        raise BadItem(reason)
    return known


def _number(message: Content) -> str:
    number = text(message.get("message_id"))
    if not number:
        reason = "a message without id"
        raise BadItem(reason)
    return number
