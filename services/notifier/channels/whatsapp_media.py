"""Which WhatsApp message a text or a file becomes.

Types that each kind takes: Meta, Cloud API, Media, "Supported media types". What is none of them goes
as a document, with its name.
"""

from typing import Any

from services.notifier.channels.files import LoadedFile

_CAPTION_CHARACTERS = 1024
_KINDS = {
    "image": frozenset({"image/jpeg", "image/png"}),
    "video": frozenset({"video/mp4", "video/3gpp"}),
    "audio": frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}),
}


def kind_of(file: LoadedFile) -> str:
    """Return the message type for the file."""
    return next((kind for kind, types in _KINDS.items() if file.content_type in types), "document")


def takes_caption(file: LoadedFile, text: str) -> bool:
    """Tell whether the text fits under the file."""
    return bool(text.strip()) and kind_of(file) != "audio" and len(text) <= _CAPTION_CHARACTERS


def text(words: str) -> dict[str, Any]:
    """Return a text message."""
    return {"type": "text", "text": {"body": words, "preview_url": False}}


def message(file: LoadedFile, media_id: str, caption: str = "") -> dict[str, Any]:
    """Return a message that shows the uploaded file."""
    kind = kind_of(file)
    content = {"id": media_id}
    if caption:
        content["caption"] = caption
    if kind == "document":
        content["filename"] = file.filename
    return {"type": kind, kind: content}
