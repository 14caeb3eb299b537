"""What a Telegram message of any type says, in words an Agent can read.

Types: the optional fields of https://core.telegram.org/bots/api#message. One without a row here is
shown as `[<field>]`. A file's `media_id` is its file_id, good for getFile (20 MB at most).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schemas.common import Attachment
from services.chassis.text import line
from services.ingest.channels.items import Said
from services.ingest.channels.shapes import items, mapping, text

Content = Mapping[str, Any]
_MOST_LISTED = 50
_NAME_CHARACTERS = 255
_MOST_BYTES = 2**53
_ABOUT = frozenset(
    """
    message_id message_thread_id direct_messages_topic from sender_chat sender_boost_count
    sender_business_bot sender_tag date business_connection_id chat forward_origin forward_from forward_date
    forward_from_chat forward_from_message_id forward_signature forward_sender_name is_topic_message
    is_automatic_forward reply_to_message external_reply quote reply_to_story reply_to_checklist_task_id
    via_bot edit_date has_protected_content is_from_offline is_paid_post media_group_id author_signature
    paid_star_count entities caption_entities link_preview_options suggested_post_info effect_id caption
    show_caption_above_media has_media_spoiler reply_markup
    """.split()  # noqa: SIM905  (a list of names reads best as words)
)
"""Fields that say something about a message, not what it says."""


def said(message: Content) -> Said:
    """Return what `message` says; replies are the caller's business."""
    if isinstance(message.get("text"), str):
        return Said(f"{_forwarded(message)}{message['text']}")
    kind = next((name for name in _READERS if message.get(name)), None)
    if kind is None:
        unknown = next((name for name in message if name not in _ABOUT), "unknown")
        return Said(f"{_forwarded(message)}[{line(unknown, 64)}]", unknown)
    words, attachments = _READERS[kind](message[kind]), _attachments(kind, message[kind])
    caption = text(message.get("caption"))
    return Said(f"{_forwarded(message)}{words} {caption}".rstrip(), kind, attachments)


def name_of(user: Content) -> str | None:
    """Return a user's first and last name, else the username."""
    whole = " ".join(filter(None, (text(user.get("first_name")), text(user.get("last_name")))))
    return whole or text(user.get("username")) or None


def button_of(message: Content, data: object) -> str:
    """Return what stands on the button of `message` that carries `data`."""
    rows = items(mapping(message.get("reply_markup")).get("inline_keyboard"))
    buttons = (mapping(each) for row in rows[:_MOST_LISTED] for each in items(row)[:_MOST_LISTED])
    return next(
        (text(each.get("text")) for each in buttons if data and each.get("callback_data") == data), ""
    )


def _forwarded(message: Content) -> str:
    origin = mapping(message.get("forward_origin"))
    if not (origin or message.get("forward_date")):
        return ""
    chat = mapping(origin.get("chat")) or mapping(origin.get("sender_chat"))
    whom = (
        name_of(mapping(origin.get("sender_user")))
        or text(origin.get("sender_user_name"))
        or text(chat.get("title"))
    )
    return f"[forwarded: {line(whom, _NAME_CHARACTERS)}] " if whom else "[forwarded] "


def _file(what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        filename = line(text(mapping(value).get("file_name")), _NAME_CHARACTERS)
        return f"[{what}: {filename}]" if filename else f"[{what}]"

    return read


def _audio(value: object) -> str:
    track = mapping(value)
    name = ", ".join(filter(None, (text(track.get("performer")), text(track.get("title")))))
    label = line(name or text(track.get("file_name")), _NAME_CHARACTERS)
    return f"[audio: {label}]" if label else "[audio]"


def _sticker(value: object) -> str:
    return f"[sticker] {text(mapping(value).get('emoji'))}".rstrip()


def _point(value: object) -> str:
    place = mapping(value)
    return f"({text(place.get('latitude'))}, {text(place.get('longitude'))})"


def _location(value: object) -> str:
    return f"[location] {_point(value)}"


def _venue(value: object) -> str:
    venue = mapping(value)
    words = ", ".join(filter(None, (text(venue.get("title")), text(venue.get("address")))))
    return " ".join(filter(None, ("[location]", words, _point(venue.get("location")))))


def _contact(value: object) -> str:
    card = mapping(value)
    return f"[contact] {name_of(card) or ''} {text(card.get('phone_number'))}".rstrip()


def _poll(value: object) -> str:
    poll = mapping(value)
    return _listed("poll", text(poll.get("question")), poll.get("options"))


def _checklist(value: object) -> str:
    checklist = mapping(value)
    return _listed("checklist", text(checklist.get("title")), checklist.get("tasks"))


def _listed(what: str, title: str, entries: object) -> str:
    words = _joined(text(mapping(each).get("text")) for each in items(entries)[:_MOST_LISTED])
    return f"[{what}] {title}: {words}" if words else f"[{what}] {title}".rstrip()


def _joined(words: Iterable[str]) -> str:
    return "; ".join(filter(None, words))


def _dice(value: object) -> str:
    dice = mapping(value)
    return f"[dice] {text(dice.get('emoji'))} {text(dice.get('value'))}".rstrip()


def _titled(what: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        return f"[{what}] {text(mapping(value).get('title'))}".rstrip()

    return read


def _payment(value: object) -> str:
    paid = mapping(value)
    return f"[successful_payment] {text(paid.get('total_amount'))} {text(paid.get('currency'))}".rstrip()


def _web_app(value: object) -> str:
    app = mapping(value)
    button = line(text(app.get("button_text")), _NAME_CHARACTERS) or "answered"
    return f"[form: {button}] {text(app.get('data'))}".rstrip()


_READERS: dict[str, Callable[[object], str]] = {
    "animation": _file("animation"),  # before document, which such a message has too
    "photo": _file("photo"),
    "document": _file("document"),
    "audio": _audio,
    "voice": _file("voice message"),
    "video": _file("video"),
    "video_note": _file("video note"),
    "sticker": _sticker,
    "venue": _venue,  # before location, which such a message has too
    "location": _location,
    "contact": _contact,
    "poll": _poll,
    "checklist": _checklist,
    "dice": _dice,
    "game": _titled("game"),
    "invoice": _titled("invoice"),
    "successful_payment": _payment,
    "web_app_data": _web_app,
}
_TYPES = {
    "photo": "image/jpeg",
    "voice": "audio/ogg",
    "video_note": "video/mp4",
    "animation": "video/mp4",
    "video": "video/mp4",
}
_FILES = frozenset({*_TYPES, "document", "audio", "sticker"})


def _attachments(kind: str, value: object) -> tuple[Attachment, ...]:
    media = _largest(items(value)) if kind == "photo" else mapping(value)
    file_id = line(text(media.get("file_id")), _NAME_CHARACTERS)
    if kind not in _FILES or not file_id:
        return ()
    size = media.get("file_size")
    return (
        Attachment(
            content_type=line(text(media.get("mime_type")), 100) or _type(kind, media),
            filename=line(text(media.get("file_name")), _NAME_CHARACTERS) or None,
            size=size if type(size) is int and 0 <= size < _MOST_BYTES else None,
            media_id=file_id,
        ),
    )


def _type(kind: str, media: Content) -> str | None:
    """Return the type that Telegram's documents give for files it names none for."""
    if kind != "sticker":
        return _TYPES.get(kind)
    if media.get("is_animated"):
        return "application/x-tgsticker"
    return "video/webm" if media.get("is_video") else "image/webp"


def _largest(sizes: Sequence[object]) -> Content:
    """Return the last of the largest: the array holds sizes of one picture, mostly in ascending order."""
    return max(map(mapping, reversed(sizes)), key=_area, default={})


def _area(size: Content) -> int:
    width, height = size.get("width"), size.get("height")
    return width * height if isinstance(width, int) and isinstance(height, int) else 0
