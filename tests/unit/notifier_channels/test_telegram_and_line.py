"""How Telegram is given files, and what neither provider takes in one request."""

import json
from email import message_from_bytes

import httpx
import pytest

from schemas.common import Attachment
from services.notifier.channels import Means, Refused, Retry
from services.notifier.channels.registry import SENDERS
from tests.unit.notifier_channels.test_senders import account, message


class Sized:
    """Attachments of as many bytes as their media_id says."""

    async def read(self, attachment: Attachment, /) -> bytes:
        return b"x" * int(attachment.media_id or "1")

    def link(self, attachment: Attachment, /) -> str:
        return f"https://files.example.com/{attachment.media_id}"


async def asked(provider: str, **personal: object) -> httpx.Request:
    """Return the one request that is made for a message."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(503)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(Retry):
            await SENDERS[provider].send(
                Means(client, files=Sized()), account(provider), message(provider, **personal)
            )
    (request,) = requests
    return request


def form(request: httpx.Request) -> dict[str, tuple[str | None, str, bytes]]:
    """Return the parts of a multipart form: file name, type and content by name."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parts = {}
    for part in message_from_bytes(head + request.content).get_payload():
        name = part.get_param("name", header="content-disposition")
        parts[str(name)] = (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
    return parts


def files(*types: str | None, size: int = 1, filename: str | None = None) -> tuple[Attachment, ...]:
    return tuple(Attachment(content_type=each, media_id=str(size), filename=filename) for each in types)


@pytest.mark.parametrize(
    ("content_type", "size", "method", "field"),
    [
        ("image/jpeg", 5, "sendPhoto", "photo"),
        ("IMAGE/PNG; x=y", 5, "sendPhoto", "photo"),
        ("image/jpeg", 10_000_001, "sendDocument", "document"),
        ("image/gif", 5, "sendAnimation", "animation"),
        ("image/svg+xml", 5, "sendDocument", "document"),
        ("video/mp4", 5, "sendVideo", "video"),
        ("audio/mpeg", 5, "sendAudio", "audio"),
        ("audio/ogg", 5, "sendDocument", "document"),
        ("application/pdf", 5, "sendDocument", "document"),
        (None, 5, "sendDocument", "document"),
    ],
)
async def test_a_file_is_uploaded_by_the_method_for_its_type(
    content_type: str | None, size: int, method: str, field: str
) -> None:
    attachments = files(content_type, size=size, filename="räch\r\nnung.x")
    request = await asked("telegram", text="look", in_reply_to="6200000001:5", attachments=attachments)
    assert request.url.path.endswith(f"/{method}")
    parts = form(request)
    assert set(parts) == {"chat_id", "caption", "reply_parameters", field}
    assert (parts["chat_id"][2], parts["caption"][2]) == (b"6200000001", b"look")
    assert json.loads(parts["reply_parameters"][2]) == {"message_id": 5, "allow_sending_without_reply": True}
    assert len(parts[field][2]) == size
    assert "\n" not in (parts[field][0] or "")


async def test_a_file_alone_has_no_caption() -> None:
    request = await asked("telegram", text="", attachments=files("image/jpeg"))
    assert set(form(request)) == {"chat_id", "photo"}


@pytest.mark.parametrize(
    ("types", "kinds"),
    [
        (["image/jpeg", "video/mp4"], ["photo", "video"]),
        (["audio/mpeg", "audio/mp4"], ["audio", "audio"]),
        (["image/jpeg", "application/pdf"], ["document", "document"]),
        (["image/jpeg", "audio/mpeg"], ["document", "document"]),
        (["image/gif", "image/gif"], ["document", "document"]),
    ],
)
async def test_several_files_are_one_album_of_kinds_that_mix(types: list[str], kinds: list[str]) -> None:
    request = await asked("telegram", text="look", attachments=files(*types))
    assert request.url.path.endswith("/sendMediaGroup")
    parts = form(request)
    media = json.loads(parts["media"][2])
    assert [each["type"] for each in media] == kinds
    assert [each.get("caption") for each in media] == ["look", None]
    assert [each["media"] for each in media] == ["attach://file0", "attach://file1"]
    assert {"file0", "file1"} <= set(parts)


@pytest.mark.parametrize(
    ("provider", "personal", "code"),
    [
        ("telegram", {"text": "x" * 4097}, "too_long"),
        ("telegram", {"text": "😀" * 2049}, "too_long"),
        ("telegram", {"text": "x" * 1025, "attachments": files("image/jpeg")}, "too_long"),
        ("telegram", {"text": "", "attachments": files(*["image/jpeg"] * 11)}, "too_many_files"),
        ("telegram", {"text": "", "attachments": files("video/mp4", size=50_000_001)}, "too_large"),
        ("line", {"text": "x" * 25_001}, "too_long"),
        ("line", {"text": "x" * 20_001, "attachments": files("image/png")}, "too_long"),
        ("line", {"text": "", "attachments": files("video/mp4")}, "not_an_image"),
    ],
)
async def test_what_one_request_cannot_hold_is_refused_with_what_to_do(
    provider: str, personal: dict[str, object], code: str
) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
        with pytest.raises(Refused) as refused:
            await SENDERS[provider].send(
                Means(client, files=Sized()), account(provider), message(provider, **personal)
            )
    assert (refused.value.code, refused.value.kind) == (code, "rejected")
    assert any(word in refused.value.detail for word in ("Telegram", "LINE", "files"))


def never(_: httpx.Request) -> httpx.Response:
    raise AssertionError


@pytest.mark.parametrize("text", ["x" * 4096, "😀" * 2048, "\ufffd" * 4096])
async def test_telegram_takes_the_longest_text(text: str) -> None:
    assert json.loads((await asked("telegram", text=text)).content)["text"] == text


async def test_a_long_text_for_line_breaks_between_words() -> None:
    text = "word " * 1500
    messages = json.loads((await asked("line", text=text)).content)["messages"]
    assert [each["text"][-5:] for each in messages] == [" word"] * 2
    assert " ".join(each["text"] for each in messages) == text.strip()


async def test_a_message_for_line_without_words_or_images_asks_nobody() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
        with pytest.raises(Refused, match="empty"):
            await SENDERS["line"].send(Means(client), account("line"), message("line", text=" \n"))


@pytest.mark.parametrize("provider", ["telegram", "line"])
async def test_repeating_a_message_is_harmless_only_where_it_carries_our_id(provider: str) -> None:
    request = await asked(provider)
    ours = str(message(provider).data.message_id)
    assert (ours in request.headers.values()) is SENDERS[provider].deduplicates
