"""Files that go out: linked to, uploaded, or part of a mail."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Attachment, BlobRef, Channel, Identifier
from schemas.outbound import MessageSend, OutboundData, OutboundPersonal
from services.chassis.accounts import Account
from services.chassis.blobs import BlobMissing, BlobStoreUnavailable
from services.chassis.filetypes import safe_name
from services.notifier.channels import Means, Refused, Retry, Sent
from services.notifier.channels.files import LoadedFile
from services.notifier.channels.mail import compose
from services.notifier.channels.registry import SENDERS
from services.notifier.channels.sending import refused_for_size
from services.notifier.files import Links, StoredFiles

NOW = datetime(2096, 1, 1, tzinfo=UTC)
SECRET = "an invented secret of 32 bytes or more"
PNG, PDF = b"\x89PNG\r\n\x1a\n" + bytes(40), b"%PDF-1.7"
OURS = UUID(int=7)
SECRETS = ("access_token", "token", "api_key", "server_token")
Answer = Callable[[httpx.Request], httpx.Response]


class Bytes:
    """Blobs in memory, or away."""

    def __init__(self, kept: dict[str, bytes], *, down: bool = False) -> None:
        self.kept = kept
        self.down = down

    async def read(self, ref: str) -> AsyncIterator[bytes]:
        if self.down:
            raise BlobStoreUnavailable
        if ref not in self.kept:
            raise BlobMissing(ref)
        yield self.kept[ref]


def attachment(ref: str, content_type: str = "image/png", filename: str = "a.png") -> Attachment:
    blob = BlobRef(ref=ref, sha256="0" * 64, size=1)
    return Attachment(id=uuid4(), content_type=content_type, filename=filename, blob=blob)


def account(provider: str) -> Account:
    secrets = {"account_sid": "AC1", "auth_token": "t", "access_token": "t", "token": "t"}
    return Account(
        provider=provider,
        account="demo",
        channel=Channel.SMS if provider == "twilio-sms" else Channel.CHAT,
        address="+15550001111" if provider == "twilio-sms" else "support@parley.example",
        inbox="support",
        secrets=secrets,
        api_base="https://api.example",
    )


def message(provider: str, *files: Attachment, text: str = "hello") -> MessageSend:
    kind, value = ("email", "ann@mail.example.org") if provider == "mime" else ("phone", "+15551230001")
    return MessageSend(
        id=OURS,
        occurred_at=NOW,
        correlation=OURS,
        customer_id="c1",
        home="c1",
        seq=1,
        data=OutboundData(
            message_id=OURS, conversation_id="k1", provider=provider, account="demo", channel=Channel.SMS
        ),
        personal=OutboundPersonal(to=Identifier(kind=kind, value=value), text=text, attachments=files),
    )


def links(now: datetime = NOW, secret: str = SECRET) -> Links:
    return Links(secret, "https://parley.example/notifier/v1/files/", timedelta(hours=1), lambda: now)


async def send(provider: str, answer: Answer, what: MessageSend, files: Bytes, secret: str = SECRET) -> Sent:
    stored = StoredFiles(cast(Any, files), links(secret=secret).make)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await SENDERS[provider].send(Means(client, "", stored), account(provider), what)


# --- links ----------------------------------------------------------------------------------------------


def test_a_link_names_its_file_until_it_expires() -> None:
    file = uuid4()
    url = links().make(file)
    assert url is not None
    token = url.rpartition("/")[2]
    assert links().read(token) == str(file)
    assert links(NOW + timedelta(minutes=59)).read(token) == str(file)
    assert links(NOW + timedelta(minutes=61)).read(token) is None


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-3] + "AAA", lambda _: "", lambda _: "a.b.c", lambda t: t + "x"]
)
def test_a_forged_link_names_nothing(spoil: Callable[[str], str]) -> None:
    token = str(links().make(uuid4())).rpartition("/")[2]
    assert links().read(spoil(token)) is None
    assert links(secret="another secret of at least 32 bytes!").read(token) is None


@given(st.text())
def test_no_token_is_a_fault(token: str) -> None:
    assert links().read(token) is None


def test_without_a_secret_there_are_no_links() -> None:
    assert links(secret="").make(uuid4()) is None
    assert links(secret="").read("x") is None


# --- reading ----------------------------------------------------------------------------------------------


async def test_a_file_that_is_gone_refuses_the_message_and_an_absent_store_postpones_it() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    for files, outcome in ((Bytes({}), Refused), (Bytes({}, down=True), Retry)):
        for provider in ("mime", "whatsapp"):
            with pytest.raises(outcome):
                await send(provider, answer, message(provider, attachment("r1")), files)
    with pytest.raises(Refused):
        await send("twilio-sms", answer, message("twilio-sms", attachment("r1")), Bytes({}), secret="")
    assert sent == []


# --- Twilio -----------------------------------------------------------------------------------------------


async def test_twilio_is_given_links() -> None:
    forms: list[dict[str, list[str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        forms.append(parse_qs(request.content.decode()))
        return httpx.Response(201, json={"sid": "SM1"})

    files = attachment("r1"), attachment("r2")
    assert await send("twilio-sms", answer, message("twilio-sms", *files), Bytes({})) == Sent("SM1")
    tokens = [url.rpartition("/")[2] for url in forms[0]["MediaUrl"]]
    assert [links().read(token) for token in tokens] == [str(file.id) for file in files]


# --- WhatsApp ---------------------------------------------------------------------------------------------


class Cloud:
    """The Cloud API: keeps what it is sent; `fails` names the number of the message that fails."""

    def __init__(self, fails: int | None = None, media: httpx.Response | Exception | None = None) -> None:
        self.uploads: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        self._fails, self._media = fails, media

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/media"):
            if isinstance(self._media, Exception):
                raise self._media
            self.uploads.append(request.content)
            return self._media or httpx.Response(200, json={"id": f"media-{len(self.uploads)}"})
        self.messages.append(json.loads(request.content))
        if len(self.messages) == self._fails:
            return httpx.Response(400, json={"error": {"code": 131026}})
        return httpx.Response(200, json={"messages": [{"id": f"wamid.{len(self.messages)}"}]})


async def test_whatsapp_uploads_each_file_and_sends_it_with_the_text_as_caption() -> None:
    cloud = Cloud()
    files = attachment("r1"), attachment("r2", "application/zip", "März.zip")
    what = message("whatsapp", *files, text="look")
    assert await send("whatsapp", cloud, what, Bytes({"r1": PNG, "r2": PDF})) == Sent("wamid.2")
    assert PNG in cloud.uploads[0]
    assert b'name="messaging_product"' in cloud.uploads[0]
    assert [each["type"] for each in cloud.messages] == ["image", "document"]
    assert cloud.messages[0]["image"] == {"id": "media-1", "caption": "look"}
    assert cloud.messages[1]["document"] == {"id": "media-2", "filename": "März.zip"}
    assert [each.get("biz_opaque_callback_data") for each in cloud.messages] == [None, str(OURS)]


@pytest.mark.parametrize(("content_type", "text"), [("audio/ogg", "listen"), ("image/png", "x" * 1025)])
async def test_whatsapp_text_that_is_no_caption_goes_first(content_type: str, text: str) -> None:
    cloud = Cloud()
    await send(
        "whatsapp", cloud, message("whatsapp", attachment("r1", content_type), text=text), Bytes({"r1": PNG})
    )
    assert [each["type"] for each in cloud.messages] == ["text", content_type.partition("/")[0]]


async def test_whatsapp_never_repeats_a_message_of_which_a_part_was_sent() -> None:
    files = attachment("r1"), attachment("r2")
    with pytest.raises(Refused, match="131026") as refusal:
        await send("whatsapp", Cloud(fails=2), message("whatsapp", *files), Bytes({"r1": PNG, "r2": PNG}))
    assert "1 of 2 parts were sent" in refusal.value.detail
    with pytest.raises(Refused):
        await send("whatsapp", Cloud(fails=1), message("whatsapp", *files), Bytes({"r1": PNG, "r2": PNG}))


@pytest.mark.parametrize(
    ("media", "outcome"),
    [
        (httpx.ReadTimeout("slow"), Retry),
        (httpx.Response(500), Retry),
        (httpx.Response(200, json={}), Retry),
        (httpx.Response(400, json={"error": {"code": 131053}}), Refused),
    ],
)
async def test_a_whatsapp_upload_that_fails_sends_nothing(
    media: httpx.Response | Exception, outcome: type[Exception]
) -> None:
    cloud = Cloud(media=media)
    with pytest.raises(outcome):
        await send("whatsapp", cloud, message("whatsapp", attachment("r1")), Bytes({"r1": PNG}))
    assert cloud.messages == []


# --- mail -------------------------------------------------------------------------------------------------


def parsed(raw: bytes) -> EmailMessage:
    assert b"\n" not in raw.replace(b"\r\n", b"")
    return cast(EmailMessage, message_from_bytes(raw, policy=cast(Any, policy.default)))


@pytest.mark.parametrize("provider", ["whatsapp", "mime", "telegram", "sendgrid", "postmark"])
async def test_files_are_read_with_room_for_all_of_them(provider: str) -> None:
    asked: list[int] = []

    class Full:
        def __call__(self) -> AbstractContextManager[None]:
            return nullcontext()

        async def room(self, size: int, /) -> None:
            asked.append(size)
            raise refused_for_size(50_000_000)

    files = StoredFiles(cast(Any, Bytes({})), links().make)
    what = message(provider, attachment("a"), attachment("b"))
    to = {"telegram": ("telegram", "77"), "whatsapp": ("phone", "+15551230001")}
    kind, value = to.get(provider, ("email", "ann@mail.example.org"))
    personal = what.personal.model_copy(update={"to": Identifier(kind=kind, value=value)})
    ours = account(provider).model_copy(update={"secrets": dict.fromkeys(SECRETS, "t")})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))) as client:
        with pytest.raises(Refused, match="too_large"):
            await SENDERS[provider].send(
                Means(client, "", files, Full()), ours, what.model_copy(update={"personal": personal})
            )
    assert asked == [2]


def test_a_mail_carries_its_text_and_its_files() -> None:
    files = [
        LoadedFile(PNG, "image/png", "Grüße aus Köln.png"),
        LoadedFile(PDF * 1000, "application/pdf", "a.pdf"),
    ]
    raw = compose("support@parley.example", message("mime", text="Grüße\n.\nende"), files=files)
    mail = parsed(raw)
    assert mail.get_content_type() == "multipart/mixed"
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines() == ["Grüße", ".", "ende"]
    found = [
        (each.get_filename(), each.get_content_type(), each.get_content()) for each in mail.iter_attachments()
    ]
    assert found == [(file.filename, file.content_type, file.data) for file in files]


@given(st.text(min_size=1, max_size=120), st.text(max_size=40), st.binary(max_size=300))
def test_no_name_or_type_of_a_file_adds_a_header(name: str, kind: str, data: bytes) -> None:
    safe = safe_name(name, "image/png", "file")
    mail = parsed(compose("support@parley.example", message("mime"), files=[LoadedFile(data, kind, safe)]))
    (part,) = mail.iter_attachments()
    assert set(part.keys()) == {
        "Content-Type",
        "Content-Transfer-Encoding",
        "Content-Disposition",
        "MIME-Version",
    }
    assert part.get_filename() == safe
    assert part.get_payload(decode=True) == data


async def test_a_mail_is_sent_with_its_files() -> None:
    mails: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        mails.append(request.content)
        return httpx.Response(202)

    await send("mime", answer, message("mime", attachment("r1")), Bytes({"r1": PNG}))
    (part,) = parsed(mails[0]).iter_attachments()
    assert part.get_content() == PNG
