"""What integrators get fits the catalogue, and has the words of the live feed."""

import json

import pytest
from jsonschema import Draft202012Validator

from schemas import catalogue
from schemas.catalogue import EVENTS
from schemas.common import Attachment
from schemas.generate import HERE
from schemas.topics import CONVERSATIONS_EVENTS
from services.chassis.delivery import Delivery
from services.notifier.feed.chats import Chats
from services.notifier.feed.items import item_of
from services.notifier.webhooks.payload import body
from tests.contract import examples

NAMES = [name for topic in catalogue.TOPICS for name in examples.names(topic)]
THREADS = [name for name in NAMES if examples.topic_of(name) == CONVERSATIONS_EVENTS.name]
MOST = 65_536


def validator(name: str) -> Draft202012Validator:
    document = json.loads((HERE / "events" / "catalogue.json").read_text())
    (schema,) = [each["schema"] for each in document["events"] if each["type"] == name]
    Draft202012Validator.check_schema(schema)
    schema["properties"]["data"]["additionalProperties"] = False
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_fits_its_schema_and_has_nothing_else(name: str) -> None:
    record = examples.record(name)
    for most in (MOST, 1):
        event = json.loads(body(record, most))
        assert list(validator(record.type).iter_errors(event)) == []
        assert (event["type"], event["data"]["id"]) == (record.type, str(record.id))
    assert not validator(record.type).is_valid(event | {"type": "other"})
    assert not validator(record.type).is_valid({**event, "data": event["data"] | {"unheard": 1}})


@pytest.mark.parametrize("name", THREADS)
def test_data_is_what_the_live_feed_says(name: str) -> None:
    record = examples.record(name)
    item = item_of(Delivery(CONVERSATIONS_EVENTS.name, 0, 0, record), Chats())
    assert json.loads(body(record, MOST))["data"] == json.loads(item.data)


def test_an_event_that_is_too_large_comes_without_its_words() -> None:
    record = examples.record("conversations.events/message.added-inbound")
    whole, cut = body(record, MOST), body(record, len(body(record, MOST)) - 1)
    assert json.loads(whole)["data"]["text"] == record.personal.text
    data = json.loads(cut)["data"]
    assert data["truncated"] is True
    assert not {"text", "attachments", "subject"} & data.keys()
    assert data["message_id"] == str(record.data.message_id)


def test_nobody_is_told_where_a_file_is() -> None:
    record = examples.record("conversations.events/message.added-inbound")
    file = Attachment(content_type="image/png", filename="a.png", size=3, url="https://media.example/secret")
    record = record.model_copy(
        update={"personal": record.personal.model_copy(update={"attachments": (file,)})}
    )
    event = json.loads(body(record, MOST))
    assert event["data"]["attachments"] == [{"content_type": "image/png", "filename": "a.png", "size": 3}]
    schema = catalogue.schema(record.type)
    assert validator(record.type).is_valid(event)
    assert schema["$defs"]["Attachment"]["properties"].keys() == Attachment.SHOWN


def test_the_same_record_always_has_the_same_bytes() -> None:
    for name in NAMES:
        assert body(examples.record(name), MOST) == body(examples.record(name), MOST)


def test_the_page_names_every_type() -> None:
    page = (HERE / "events" / "README.md").read_text()
    for name in EVENTS:
        assert f"| `{name}` |" in page
