"""What a reply may consist of, and of which field a refusal speaks."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from services.conversation.inputs import ReplyInput

FILE = {"id": str(UUID(int=1))}
TEMPLATE = {"name": "parcel_update", "parameters": ["tomorrow"]}


@pytest.mark.parametrize(
    "body",
    [{"text": "hi"}, {"attachments": [FILE]}, {"text": "hi", "attachments": [FILE]}, {"template": TEMPLATE}],
)
def test_a_reply_is_words_files_or_both_or_a_template(body: dict[str, Any]) -> None:
    wanted = ReplyInput.model_validate(body).wanted
    assert wanted.text == body.get("text", "")
    assert (wanted.template is not None) == ("template" in body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": " \n "}, "text"),
        ({"attachments": []}, "text"),
        ({"text": "hi", "template": TEMPLATE}, "text"),
        ({"attachments": [FILE], "template": TEMPLATE}, "template"),
        ({"attachments": [FILE] * 11}, "attachments"),
    ],
)
def test_a_refusal_names_the_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ReplyInput.model_validate(body)
    assert {error["loc"][0] for error in refusal.value.errors()} == {field}
