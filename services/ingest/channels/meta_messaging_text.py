"""What an event of Messenger or Instagram says, in words an Agent can read.

A story's content may not be stored, and its address dies with it within a day: it stands in the text
and is never an attachment, so nothing fetches it. The same holds of a page that somebody links to.
"""

from collections.abc import Mapping
from typing import Any

from schemas.common import Attachment
from services.chassis.text import line
from services.ingest.channels.items import Said
from services.ingest.channels.shapes import items, mapping, text

Content = Mapping[str, Any]
_MOST_LISTED = 50
_WORD_CHARACTERS = 64
_TITLE_CHARACTERS = 255
_URL_CHARACTERS = 2000
_LABELS = {
    "ig_reel": "reel",
    "ig_post": "post",
    "share": "post",
    "story_mention": "mentioned us in a story",
    "fallback": "link",
    "appointment_booking": "appointment booking",
}
_ONLY_LINKS = frozenset({"story_mention", "fallback"})


def said_by_message(message: Content) -> Said:
    """Return what a `message` says, an echo too."""
    answered = mapping(message.get("reply_to"))
    mid = text(answered.get("mid")) or None
    if message.get("is_unsupported") is True:
        return Said("[unsupported]", "unsupported", in_reply_to=mid)
    attached = _distinct(items(message.get("attachments")))
    words = " ".join(filter(None, (*(_label(each) for each in attached), text(message.get("text")))))
    files = tuple(file for each in attached if (file := _file(each)))
    kind = _kind(attached[0]) if attached else "text"
    if story := mapping(answered.get("story")):
        link = line(text(story.get("url")), _URL_CHARACTERS)
        words, kind = " ".join(filter(None, ("[reply to a story]", words, link))), "story_reply"
    elif quick := mapping(message.get("quick_reply")):
        words, kind = words or text(quick.get("payload")), "quick_reply"
    words = " ".join(filter(None, (words, _referral(mapping(message.get("referral"))))))
    return Said(words or "[empty]", kind, files, mid)


def said_by_edit(edit: Content) -> Said:
    """Return what a `message_edit` says."""
    return Said(f"[edited] {text(edit.get('text'))}".rstrip(), "edit", in_reply_to=text(edit.get("mid")))


def said_by_postback(postback: Content) -> Said:
    """Return what a pressed button says."""
    words = text(postback.get("title")) or text(postback.get("payload")) or "[button]"
    return Said(f"{words} {_referral(mapping(postback.get('referral')))}".rstrip(), "postback")


def said_by_reaction(reaction: Content) -> Said:
    """Return a reaction, or that one was taken back."""
    given = text(reaction.get("emoji")) or line(text(reaction.get("reaction")), _WORD_CHARACTERS)
    taken_back = reaction.get("action") == "unreact"
    words = "[reaction removed]" if taken_back else f"[reaction] {given}".rstrip()
    return Said(words, "reaction", in_reply_to=text(reaction.get("mid")) or None)


def said_by_referral(referral: Content) -> Said:
    """Return by which link or ad somebody came back to the thread."""
    return Said(_referral(referral) or "[came by a link]", "referral")


def said_by_optin(optin: Content) -> Said:
    """Return what somebody agreed to receive."""
    what = text(optin.get("title")) or text(optin.get("ref")) or text(optin.get("type"))
    return Said(f"[opted in] {line(what, _TITLE_CHARACTERS)}".rstrip(), "optin")


def _referral(referral: Content) -> str:
    names = ("source", "ref", "ad_id")
    words = " ".join(filter(None, (line(text(referral.get(name)), _TITLE_CHARACTERS) for name in names)))
    return f"[came by: {words}]" if words else ""


def _distinct(attachments: Any) -> list[Content]:  # noqa: ANN401  (any JSON array)
    """Return the attachments; a sticker that comes as an image too counts once, as a sticker."""
    kept: dict[object, Content] = {}
    for number, each in enumerate(map(mapping, attachments[:_MOST_LISTED])):
        sticker = text(mapping(each.get("payload")).get("sticker_id"))
        kept[sticker or number] = each
    return list(kept.values())


def _kind(attachment: Content) -> str:
    if text(mapping(attachment.get("payload")).get("sticker_id")):
        return "sticker"
    return line(text(attachment.get("type")), _WORD_CHARACTERS) or "attachment"


def _label(attachment: Content) -> str:
    kind, payload = _kind(attachment), mapping(attachment.get("payload"))
    what = _LABELS.get(kind, kind)
    title = line(text(payload.get("title")) or text(attachment.get("title")), _TITLE_CHARACTERS)
    label = f"[{what}: {title}]" if title else f"[{what}]"
    if place := mapping(payload.get("coordinates")):
        return f"{label} ({text(place.get('lat'))}, {text(place.get('long'))})"
    return f"{label} {_url(attachment)}".rstrip() if kind in _ONLY_LINKS else label


def _url(attachment: Content) -> str:
    url = text(mapping(attachment.get("payload")).get("url")) or text(attachment.get("url"))
    return line(url, _URL_CHARACTERS)


def _file(attachment: Content) -> Attachment | None:
    url = _url(attachment)
    if not url or _kind(attachment) in _ONLY_LINKS:
        return None
    return Attachment(url=url)
