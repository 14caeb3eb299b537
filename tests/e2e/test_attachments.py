"""Files from the customer to the Agent and back, on the whole local stack."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import httpx
import pytest

from deploy.local.signing import twilio_signature
from deploy.local.webhooks import Webhook, WhatsAppSender, whatsapp
from tests.e2e.conftest import Branch, person
from tests.system.client import LEAD, Client, Json
from tests.system.play import shown
from tests.system.waiting import until

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(64)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(64)
PROVIDERS = "/dev/providers"
FILES = "/conversation/v1/attachments"


async def lay_down(client: Client, data: bytes, content_type: str = "image/jpeg") -> str:
    """Let the simulated providers have a file; returns its name."""
    name = f"ME{uuid4().hex}"
    path = f"{client.site.simulator}{PROVIDERS}/media/{name}"
    assert (await client.http.put(path, content=data, headers={"content-type": content_type})).is_success
    return name


async def twilio_url(client: Client, data: bytes) -> str:
    name = await lay_down(client, data)
    place = f"{PROVIDERS}/twilio-sms/2010-04-01/Accounts/AC0/Messages/MM1/Media"
    return f"{client.site.simulator}{place}/{name}"


def mms(branch: Branch, sender: str, text: str, media: Sequence[str]) -> Webhook:
    plain = branch.webhook(sender, text)
    pairs = parse_qsl(plain.body.decode(), keep_blank_values=True)
    params = [pair for pair in pairs if pair[0] != "NumMedia"] + [("NumMedia", str(len(media)))]
    for number, url in enumerate(media):
        params += [(f"MediaUrl{number}", url), (f"MediaContentType{number}", "image/jpeg")]
    site = branch.client.site
    secret = site.account("twilio-sms", branch.name).secrets["auth_token"]
    signature = twilio_signature(secret, site.public_url + plain.path, params)
    return Webhook(plain.path, {**plain.headers, "X-Twilio-Signature": signature}, urlencode(params).encode())


async def files_of(client: Client, sender: str, text: str) -> list[Json]:
    """Return the message's attachments once none of them is pending."""

    async def look() -> list[Json]:
        message = await shown(client, sender, text)
        return list(message["attachments"])

    return await until(look, lambda files: all(file["status"] != "pending" for file in files), seconds=30)


async def get(client: Client, file: Json, by: str = LEAD) -> httpx.Response:
    return await client.send("GET", f"{FILES}/{file['id']}", by=by)


@pytest.mark.timeout(90)
async def test_files_of_an_mms_are_fetched_and_given_to_who_sees_the_conversation(branch: Branch) -> None:
    client, sender = branch.client, person()
    agent, stranger = await branch.agent(), "agent-of-nowhere"
    media = [await twilio_url(client, PNG), await twilio_url(client, SVG)]
    assert (await client.webhook(mms(branch, sender, "look", media))).status == 200
    picture, drawing = await files_of(client, sender, "look")
    assert picture["status"] == drawing["status"] == "stored"
    assert (picture["content_type"], picture["size"]) == ("image/png", len(PNG))
    assert set(picture) <= {"id", "content_type", "filename", "size", "status"}

    shown_ = await until(lambda: get(client, picture, agent), lambda answer: answer.status_code == 200)
    assert shown_.content == PNG
    assert shown_.headers["content-type"] == "image/png"
    assert shown_.headers["content-disposition"].startswith("inline; filename=")
    assert shown_.headers["x-content-type-options"] == "nosniff"
    assert shown_.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert shown_.headers["cache-control"].startswith("private")
    saved = await get(client, drawing)
    assert (saved.content, saved.headers["content-type"]) == (SVG, "application/octet-stream")
    assert saved.headers["content-disposition"].startswith("attachment; filename=")
    assert (await get(client, picture, stranger)).status_code == 404
    assert (await get(client, {"id": uuid4()})).status_code == 404
    assert (await client.send("GET", f"{FILES}/{picture['id']}")).status_code == 401


@pytest.mark.timeout(90)
async def test_files_that_are_not_kept_say_why(branch: Branch) -> None:
    client, sender = branch.client, person()
    site = client.site
    media = [
        await twilio_url(client, EXE),
        f"{site.simulator}/livez",
        f"{site.simulator}{PROVIDERS}/twilio-sms/../sent",
        "https://0x7f000001/secret",
        "https://[::ffff:169.254.169.254]/latest/meta-data/",
    ]
    assert (await client.webhook(mms(branch, sender, "take these", media))).status == 200
    files = await files_of(client, sender, "take these")
    reasons = ["type_not_allowed", *["address_not_allowed"] * 4]
    assert [(file["status"], file["reason"]) for file in files] == [("refused", each) for each in reasons]
    answer = await get(client, files[0])
    assert (answer.status_code, answer.json()["state"]) == (410, "type_not_allowed")


@pytest.mark.timeout(90)
async def test_whatsapp_media_and_parts_of_a_mail_are_kept(branch: Branch) -> None:
    client, sender = branch.client, person()
    content = {
        "type": "document",
        "document": {"id": await lay_down(client, PNG), "filename": "../a\u202egnp.png"},
    }
    account = client.site.account("whatsapp", branch.name)
    webhook = whatsapp(account, WhatsAppSender(sender), content, f"wamid.{uuid4().hex}", datetime.now(UTC))
    assert (await client.webhook(webhook)).status == 200
    (message,) = await until(lambda: client.messages(f"whatsapp:{sender.lstrip('+')}"))
    file = await until(
        lambda: get(client, message["attachments"][0]), lambda answer: answer.status_code == 200
    )
    assert file.content == PNG
    assert file.headers["content-disposition"] == 'inline; filename="agnp.png"'

    address = f"{uuid4().hex[:8]}@mail.example.org"
    mail = (
        f"From: {address}\r\nTo: {branch.name}@parley.example\r\n"
        f"Message-ID: <{uuid4().hex}@mail.example.org>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nsee below\r\n"
        '--b\r\nContent-Type: text/plain; name="a.txt"\r\nContent-Disposition: attachment\r\n\r\nfirst\r\n'
        "--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename*=UTF-8''%C3%A4.html\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\nPGI+eDwvYj4=\r\n--b--\r\n"
    )
    relay = client.site.account("mime", branch.name)
    headers = {"Authorization": f"Bearer {relay.secrets['token']}", "Content-Type": "message/rfc822"}
    assert (
        await client.webhook(Webhook(f"/ingest/v1/mime/{branch.name}", headers, mail.encode()))
    ).status == 200
    (message,) = await until(lambda: client.messages(f"email:{address}"))
    text, page = message["attachments"]
    first = await until(lambda: get(client, text), lambda answer: answer.status_code == 200)
    assert (first.content.strip(), first.headers["content-type"]) == (b"first", "text/plain; charset=utf-8")
    second = await until(lambda: get(client, page), lambda answer: answer.status_code == 200)
    assert (second.content, second.headers["content-type"]) == (b"<b>x</b>", "application/octet-stream")
    assert (
        second.headers["content-disposition"]
        == "attachment; filename=\"_.html\"; filename*=UTF-8''%C3%A4.html"
    )


@pytest.mark.timeout(90)
async def test_an_agent_sends_a_file_and_the_provider_fetches_it_by_its_link(branch: Branch) -> None:
    client, sender = branch.client, person()
    agent, other = await branch.agent(), await branch.agent(signed_on=False)
    conversation = (await branch.write(sender, "a picture, please"))["conversation_id"]
    await branch.status(conversation, "open")
    named = {"content-type": "image/png", "x-filename": "Pl%C3%A4ne.png"}
    uploaded = await client.send("POST", FILES, by=agent, content=PNG, headers=named)
    assert uploaded.status_code == 201
    file = uploaded.json()
    assert file["filename"] == "Pläne.png"
    assert (await get(client, file, agent)).content == PNG
    assert (await get(client, file, other)).status_code == 404  # not sent yet, so not theirs to see

    body = {"text": "here it is", "attachments": [{"id": file["id"]}]}
    assert (await branch.do(other, conversation, "replies", body)).status_code == 422
    assert (await branch.do(agent, conversation, "replies", body)).status_code == 202
    (sent,) = await until(lambda: _sent(client, sender))
    assert sent["text"] == "here it is"
    link = sent["media_urls"]
    assert link.startswith(f"{client.site.public_url}/notifier/v1/files/")
    fetched = await client.http.get(link)
    assert (fetched.status_code, fetched.content) == (200, PNG)
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert (await client.http.get(link[:-4] + "AAAA")).status_code == 404
    (reply,) = [each for each in await client.messages(f"sms:{sender}") if each["text"] == "here it is"]
    assert reply["attachments"] == [{**file, "status": "stored"}]
    assert (await get(client, file, other)).status_code == 200


async def _sent(client: Client, to: str) -> list[Json]:
    return [each for each in await client.sent() if each["to"] == to and each.get("media_urls")]


@pytest.mark.timeout(90)
async def test_a_visitor_sends_a_file_that_no_other_visitor_gets(branch: Branch) -> None:
    client = branch.client
    chat = f"/ingest/v1/webchat/{branch.name}"
    zoe, max_ = [(await client.send("POST", f"{chat}/sessions", json={})).json()["token"] for _ in range(2)]
    bearer = {"Authorization": f"Bearer {zoe}"}
    form = {"file": ("cat.png", PNG, "image/png")}
    file = (await client.send("POST", f"{chat}/attachments", files=form, headers=bearer)).json()
    body = {"client_id": uuid4().hex, "attachments": [file["id"]]}
    assert (await client.send("POST", f"{chat}/messages", json=body, headers=bearer)).status_code == 202
    own = f"/conversation/v1/webchat/{branch.name}/messages"

    async def messages() -> list[Json]:
        return list((await client.send("GET", own, headers=bearer)).json()["items"])

    (message,) = await until(messages)
    assert message["attachments"] == [{**file, "status": "stored"}]
    assert (await client.send("GET", f"{FILES}/{file['id']}", headers=bearer)).content == PNG
    theirs = {"Authorization": f"Bearer {max_}"}
    assert (await client.send("GET", f"{FILES}/{file['id']}", headers=theirs)).status_code == 404
    assert (await get(client, file)).content == PNG
