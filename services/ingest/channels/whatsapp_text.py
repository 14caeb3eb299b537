"""What a WhatsApp message of any type says, in words an Agent can read.

Types: the `messages[]` shapes of the Cloud API. One without a row here is shown as `[<type>]`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.common import Attachment
from services.chassis.text import line
from services.ingest.channels.items import Said
from services.ingest.channels.shapes import items, mapping, text
from services.ingest.webhook import BadItem

Content = Mapping[str, Any]
_MOST_LISTED = 50
_NAME_CHARACTERS = 255


def said(message: Content) -> Said:
    """Return what `message`, one element of messages[] or message_echoes[], says. Raises BadItem."""
    kind = text(message.get("type")) or "unknown"
    read = _READERS.get(kind)
    words = read(message) if read else f"[{line(kind, 64)}]"
    whole = "".join((_forwarded(message), words, _referral(message)))
    return Said(whole, kind, _attachments(kind, message), _answered(kind, message))


def _forwarded(message: Content) -> str:
    context = mapping(message.get("context"))
    if context.get("frequently_forwarded") is True:
        return "[forwarded many times] "
    return "[forwarded] " if context.get("forwarded") is True else ""


def _referral(message: Content) -> str:
    """Return by which ad or post somebody came to write."""
    referral = mapping(message.get("referral"))
    names = ("source_type", "headline", "source_url")
    words = " ".join(filter(None, (line(text(referral.get(name)), _NAME_CHARACTERS) for name in names)))
    return f" [came by: {words}]" if words else ""


def _text(message: Content) -> str:
    body = mapping(message.get("text")).get("body")
    if not isinstance(body, str):
        reason = "a text message without text"
        raise BadItem(reason)
    return body


def _media(kind: str) -> Callable[[Content], str]:
    def read(message: Content) -> str:
        media = mapping(message.get(kind))
        what = "voice message" if kind == "audio" and media.get("voice") else kind
        filename = line(text(media.get("filename")), _NAME_CHARACTERS)
        label = f"[{what}: {filename}]" if filename else f"[{what}]"
        return f"{label} {text(media.get('caption'))}".rstrip()

    return read


def _location(message: Content) -> str:
    place = mapping(message.get("location"))
    words = ", ".join(filter(None, (text(place.get("name")), text(place.get("address")))))
    point = f"({text(place.get('latitude'))}, {text(place.get('longitude'))})"
    return " ".join(filter(None, ("[location]", words, point, text(place.get("url")))))


def _contacts(message: Content) -> str:
    cards = []
    for card in map(mapping, items(message.get("contacts"))[:_MOST_LISTED]):
        phones = [text(mapping(phone).get("phone")) for phone in items(card.get("phones"))[:_MOST_LISTED]]
        name = text(mapping(card.get("name")).get("formatted_name"))
        cards.append(" ".join(filter(None, (name, *phones))))
    return f"[contacts] {'; '.join(cards)}".rstrip()


def _reaction(message: Content) -> str:
    """Two forms take a reaction back: an empty emoji, and none at all."""
    emoji = text(mapping(message.get("reaction")).get("emoji"))
    return f"[reaction] {emoji}" if emoji else "[reaction removed]"


def _interactive(message: Content) -> str:
    answer = mapping(message.get("interactive"))
    chosen = mapping(answer.get("button_reply")) or mapping(answer.get("list_reply"))
    if title := text(chosen.get("title")):
        return title
    if form := mapping(answer.get("nfm_reply")):
        name = line(text(form.get("name")), _NAME_CHARACTERS) or "answered"
        # response_json need not be JSON, so it is shown as it came
        answers = (text(form.get(part)) for part in ("body", "response_json"))
        return " ".join(filter(None, (f"[form: {name}]", *answers)))
    return "[interactive]"


def _button(message: Content) -> str:
    button = mapping(message.get("button"))
    return text(button.get("text")) or text(button.get("payload")) or "[button]"


def _order(message: Content) -> str:
    order = mapping(message.get("order"))
    lines = []
    for product in map(mapping, items(order.get("product_items"))[:_MOST_LISTED]):
        price = f"{text(product.get('item_price'))} {text(product.get('currency'))}".strip()
        lines.append(
            f"{text(product.get('quantity'))} x {text(product.get('product_retailer_id'))} ({price})"
        )
    return " ".join(filter(None, ("[order]", ", ".join(lines), text(order.get("text")))))


def _unsupported(message: Content) -> str:
    what = text(mapping(message.get("unsupported")).get("type"))
    error = mapping(next(iter(items(message.get("errors"))), None))
    label = f"[unsupported: {line(what, 64)}]" if what else "[unsupported]"
    return f"{label} {text(error.get('title'))}".rstrip()


def _system(message: Content) -> str:
    return f"[system] {text(mapping(message.get('system')).get('body'))}".rstrip()


def _edited(message: Content) -> Content:
    return mapping(mapping(message.get("edit")).get("message"))


def _edit(message: Content) -> str:
    edited = _edited(message)
    read = _READERS.get(text(edited.get("type")))
    return f"[edited] {read(edited) if read and read is not _edit else ''}".rstrip()


def _revoke(_: Content) -> str:
    return "[deleted a message]"


_MEDIA = ("image", "video", "audio", "sticker", "document")
_READERS: dict[str, Callable[[Content], str]] = {
    "text": _text,
    **{kind: _media(kind) for kind in _MEDIA},
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "unsupported": _unsupported,
    "system": _system,
    "edit": _edit,
    "revoke": _revoke,
}


def _attachments(kind: str, message: Content) -> tuple[Attachment, ...]:
    if kind == "edit":
        message = _edited(message)
        kind = text(message.get("type"))
    media = mapping(message.get(kind)) if kind in _MEDIA else {}
    if not media:
        return ()
    return (
        Attachment(
            content_type=line(text(media.get("mime_type")), 100) or None,
            filename=line(text(media.get("filename")), _NAME_CHARACTERS) or None,
            media_id=line(text(media.get("id")), _NAME_CHARACTERS) or None,
            url=line(text(media.get("url")), 2000) or None,
        ),
    )


def _answered(kind: str, message: Content) -> str | None:
    """Return the id of the message this one is about."""
    about = {
        "reaction": ("reaction", "message_id"),
        "edit": ("edit", "original_message_id"),
        "revoke": ("revoke", "original_message_id"),
    }.get(kind, ("context", "id"))
    return text(mapping(message.get(about[0])).get(about[1])) or None
