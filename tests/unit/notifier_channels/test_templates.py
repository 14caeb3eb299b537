"""A template is asked for as the provider wants it, and refusals are the same kind however they come."""

import json
from urllib.parse import parse_qs

import httpx
import pytest

from schemas.common import TemplateUse
from services.notifier.channels.registry import kind_of
from tests.unit.notifier_channels.test_senders import account, message, send

USE = TemplateUse(name="update", language="en_US", parameters=("Zoë", "7731"))
TEXT = "Zoë, parcel 7731 is on its way."
SID = "HX00000000000000000000000000000001"
TEMPLATE = {"name": "update", "language": "en_US", "text": "{{1}}, parcel {{2}} is on its way."}


async def test_whatsapp_gets_the_template_and_its_parameters_in_order() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json={"messages": [{"id": "wamid.1"}]})

    await send("whatsapp", answer, what=message("whatsapp", text=TEXT, template=USE))
    plain = USE.model_copy(update={"parameters": ()})
    await send("whatsapp", answer, what=message("whatsapp", text=TEXT, template=plain))
    values = [{"type": "text", "text": "Zoë"}, {"type": "text", "text": "7731"}]
    assert [each["type"] for each in asked] == ["template", "template"]
    assert [each["template"] for each in asked] == [
        {
            "name": "update",
            "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": values}],
        },
        {"name": "update", "language": {"code": "en_US"}, "components": []},
    ]
    assert not any("text" in each for each in asked)


@pytest.mark.parametrize("content_sid", [SID, None])
async def test_twilio_gets_the_content_s_id_or_else_its_words(content_sid: str | None) -> None:
    ours = account("twilio-sms", templates=[{**TEMPLATE, "content_sid": content_sid}])
    asked = {}

    def answer(request: httpx.Request) -> httpx.Response:
        asked.update(parse_qs(request.content.decode()))
        return httpx.Response(201, json={"sid": "SM1"})

    await send("twilio-sms", answer, ours, message("twilio-sms", text=TEXT, template=USE))
    if content_sid:
        assert asked["ContentSid"] == [SID]
        assert json.loads(asked["ContentVariables"][0]) == {"1": "Zoë", "2": "7731"}
        assert "Body" not in asked
    else:
        assert asked["Body"] == [TEXT]
        assert "ContentSid" not in asked


@pytest.mark.parametrize(
    ("provider", "code", "kind"),
    [
        ("twilio-sms", "21610", "opted_out"),
        ("twilio-sms", "63016", "outside_window"),
        ("whatsapp", "131050", "opted_out"),
        ("whatsapp", "131047", "outside_window"),
        ("whatsapp", "190", "account_broken"),
        ("whatsapp", "99", None),
        ("whatsapp", "canceled", None),
        ("whatsapp", "²", None),
        ("whatsapp", None, None),
        ("mime", "550", None),
        ("nobody", "1", None),
    ],
)
def test_a_receipt_s_code_is_understood_as_an_answer_s(provider: str, code: str | None, kind: str) -> None:
    assert kind_of(provider, code) == kind
