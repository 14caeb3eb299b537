"""Requests as providers make them: ingest's own verification takes them, and no forged ones."""

import json
import subprocess
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from types import ModuleType
from uuid import UUID

import pytest

from deploy.local import webhooks
from deploy.local.send import account_of
from deploy.local.signing import SNS
from deploy.local.simulator.registry import STAND_INS
from deploy.local.simulator.standin import StandIn, Writing
from deploy.local.stack import HERE
from deploy.local.webhooks import Mail, WhatsAppSender
from schemas.common import Channel
from services.chassis.accounts import Account, Accounts
from services.ingest.channels import instagram, messenger, mime, twilio_sms
from services.ingest.channels import whatsapp as cloud
from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Received, Webhook

PUBLIC = "https://parley.example"
ACCOUNTS = Accounts.load(HERE / "accounts.yaml")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "It's 50 % “off” & more\n<b>café</b> 😀 $HOME `x` \\"


def account(channel: Channel) -> Account:
    return account_of(ACCOUNTS, channel)


def built() -> list[tuple[ModuleType, Channel, webhooks.Webhook]]:
    number, sender = account(Channel.SMS), WhatsAppSender("+12025550101", "Maya")
    text = {"type": "text", "text": {"body": TEXT}}
    mail = Mail("Pia <pia@mail.example.org>", "Öffnung", TEXT, "<1@mail.example.org>")
    return [
        (twilio_sms, Channel.SMS, webhooks.sms(number, PUBLIC, "+12025550101", TEXT, "SM1")),
        (twilio_sms, Channel.SMS, webhooks.sms_status(number, PUBLIC, "+12025550101", "SM1", "delivered")),
        (cloud, Channel.WHATSAPP, webhooks.whatsapp(account(Channel.WHATSAPP), sender, text, "wamid.1", NOW)),
        (cloud, Channel.WHATSAPP, webhooks.whatsapp_body(account(Channel.WHATSAPP), b'{"entry":[')),
        *(
            (module, channel, webhooks.direct_message(account(channel), "7100", TEXT, "m_1", NOW))
            for module, channel in ((messenger, Channel.MESSENGER), (instagram, Channel.INSTAGRAM))
        ),
        (mime, Channel.EMAIL, webhooks.email(account(Channel.EMAIL), mail, NOW)),
    ]


def written() -> list[tuple[StandIn, webhooks.Webhook]]:
    """Return what somebody writes, told by every provider there is a stand-in for."""
    told = []
    for row in STAND_INS:
        writing = Writing(row.sender, TEXT, "0123456789abcdef" * 2, NOW, "Maya")
        told.append((row, row.writes(account_of(ACCOUNTS, row.provider), PUBLIC, writing)))
    return told


@pytest.mark.parametrize(("row", "webhook"), written())
def test_what_somebody_writes_is_taken_and_read_and_nothing_forged_is(
    row: StandIn, webhook: webhooks.Webhook
) -> None:
    provider, ours = PROVIDERS[row.provider], account_of(ACCOUNTS, row.provider)
    assert provider.verify(arriving(webhook), ours)
    assert not provider.verify(arriving(webhook.forged()), ours)
    (item,) = provider.parse(arriving(webhook), Arrival(ours, ACCOUNTS, NOW, UUID(int=1)))
    assert isinstance(item, Received)
    assert item.record.personal.text == TEXT
    assert item.record.personal.sender.value.lstrip("+") == row.sender.lstrip("+")
    assert item.record.data.channel is row.channel


def arriving(webhook: webhooks.Webhook) -> Webhook:
    headers = {name.lower(): value for name, value in webhook.headers.items()}
    return Webhook("POST", webhook.path, "", headers, webhook.body, PUBLIC, SNS.certificate)


@pytest.mark.parametrize(("provider", "channel", "webhook"), built())
def test_ingest_takes_what_is_signed_and_nothing_forged(
    provider: ModuleType, channel: Channel, webhook: webhooks.Webhook
) -> None:
    assert provider.verify(arriving(webhook), account(channel))
    assert not provider.verify(arriving(webhook.forged()), account(channel))


@pytest.mark.parametrize(("provider", "channel", "webhook"), built())
def test_the_curl_makes_the_same_request(
    provider: ModuleType, channel: Channel, webhook: webhooks.Webhook
) -> None:
    assert account(channel).provider == provider.PROVIDER
    words = shell_words(webhook.curl("http://127.0.0.1:8080"))
    assert words[:4] == ["-i", "-X", "POST", f"http://127.0.0.1:8080{webhook.path}"]
    headers = {words[n + 1] for n, word in enumerate(words) if word == "-H"}
    assert headers == {f"{name}: {value}" for name, value in webhook.headers.items()}
    assert words[words.index("--data-raw") + 1].encode() == webhook.body


def shell_words(command: str) -> list[str]:
    """Let a real shell read the command, with a curl that tells its arguments."""
    script = "curl() { printf '%s\\0' \"$@\"; }\n" + command
    run = subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True)  # noqa: S603 - our own text
    return run.stdout.decode().split("\0")[:-1]


def test_a_user_without_a_number_is_named_by_the_business_scoped_id() -> None:
    sender = WhatsAppSender("NL.demo7f3a91c2", "Lin")
    webhook = webhooks.whatsapp(account(Channel.WHATSAPP), sender, {"type": "text"}, "wamid.1", NOW)
    value = json.loads(webhook.body)["entry"][0]["changes"][0]["value"]
    assert value["contacts"] == [{"profile": {"name": "Lin"}, "user_id": "NL.demo7f3a91c2"}]
    assert value["messages"][0]["from_user_id"] == "NL.demo7f3a91c2"
    assert "from" not in value["messages"][0]


def test_a_mail_says_what_it_should() -> None:
    mail = Mail(
        "Tom <tom@adeyemi.example>", "Away", TEXT, "<2@x.example>", "<1@x.example>",
        more={"Auto-Submitted": "auto-replied"},
    )  # fmt: skip
    raw = webhooks.email(account(Channel.EMAIL), mail, NOW).body
    read = message_from_bytes(raw, policy=default)
    assert (read["In-Reply-To"], read["Auto-Submitted"]) == ("<1@x.example>", "auto-replied")
    assert read["To"] == account(Channel.EMAIL).address
    assert read.get_content().strip() == TEXT
    assert raw.isascii()
    assert b"\r" not in raw
