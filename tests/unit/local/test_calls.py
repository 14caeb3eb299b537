"""A caller follows what ingest answers, and everything posted is signed as Twilio signs it."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from deploy.local import webhooks
from deploy.local.calls import Caller, call, followed
from deploy.local.send import account_of
from deploy.local.stack import HERE
from schemas.common import Channel
from services.chassis.accounts import Accounts
from services.ingest.channels import twilio_voice
from services.ingest.voice.menus import load_menus
from services.ingest.webhook import Arrival, Received, Webhook

PUBLIC = "https://parley.example/prefix"
ACCOUNTS = Accounts.load(HERE / "accounts.yaml")
ACCOUNT = account_of(ACCOUNTS, Channel.VOICE)
ARRIVAL = Arrival(
    ACCOUNT, ACCOUNTS, datetime.now(UTC), UUID(int=1), load_menus(HERE / "ivr.yaml", ["support", "fallback"])
)


def arriving(webhook: webhooks.Webhook) -> Webhook:
    path, _, query = webhook.path.partition("?")
    headers = {name.lower(): value for name, value in webhook.headers.items()}
    return Webhook("POST", path, query, headers, webhook.body, PUBLIC)


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ("9", ["", "choice", "recorded", "", "recording", "transcription"]),
        ("2", ["", "choice", "queued", ""]),
        ("12", ["", "choice", "choice", "queued", ""]),
        ("3", ["", "choice", ""]),
        ("", ["", "choice", "choice", "choice", "recorded", "", "recording", "transcription"]),
    ],
)
def test_a_call_is_played_to_its_end_as_one_call_of_one_caller(keys: str, steps: list[str]) -> None:
    said: list[Received] = []
    played: list[str] = []

    def ingest(webhook: webhooks.Webhook) -> str:
        request = arriving(webhook)
        assert twilio_voice.verify(request, ACCOUNT)
        assert not twilio_voice.verify(arriving(webhook.forged()), ACCOUNT)
        (item,) = twilio_voice.parse(request, ARRIVAL)
        assert isinstance(item, Received)
        said.append(item)
        played.append(dict(parse_qsl(request.query)).get("step", ""))
        return twilio_voice.answer(request, ARRIVAL)

    caller = Caller("+12025550101", keys, "It's me & nobody else", "ZOE QUILL")
    assert len(list(followed(call(ACCOUNT, PUBLIC, caller), ingest))) == len(steps)
    assert played == steps
    assert {item.key for item in said} == {"+12025550101"}
    assert len({item.record.data.call.call_id for item in said if item.record.data.call}) == 1
    assert len({item.record.id for item in said}) == len(said)
    if "transcription" in steps:
        assert said[-1].record.personal.text == "It's me & nobody else"
