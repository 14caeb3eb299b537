"""Golden messages cover every record type, and fit model and JSON Schema alike."""

import json
from datetime import datetime

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from schemas.envelope import rfc3339
from schemas.generate import HERE
from schemas.topics import MESSAGES_IDENTIFIED, MESSAGES_INBOUND, TOPICS, Topic, record_models, record_type
from tests.contract import examples

NAMES = [name for topic in TOPICS for name in examples.names(topic)]
CHECKER = FormatChecker(formats=("uuid",))


@CHECKER.checks("date-time", raises=ValueError)
def _is_utc_with_milliseconds(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return rfc3339(datetime.fromisoformat(value)) == value


def _validator(topic: str) -> Draft202012Validator:
    schema = json.loads((HERE / "json" / f"{topic}.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=CHECKER)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_record_type_has_an_example(topic: Topic) -> None:
    types = {record_type(model) for model in record_models(topic)}
    assert {examples.type_of(name) for name in examples.names(topic)} == types


def test_no_example_belongs_to_no_topic() -> None:
    assert {path.name for path in examples.ROOT.iterdir()} == {topic.name for topic in TOPICS}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_the_json_schema(name: str) -> None:
    errors = list(_validator(examples.topic_of(name)).iter_errors(json.loads(examples.text(name))))
    assert errors == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_survives_reading_and_writing(name: str) -> None:
    record = examples.record(name)
    assert record.type == examples.type_of(name)
    written = record.json_bytes()
    assert examples.BY_NAME[examples.topic_of(name)].adapter.validate_json(written) == record
    _assert_within(json.loads(examples.text(name)), json.loads(written))


def _assert_within(golden: object, written: object) -> None:
    """Nothing of the example is lost; what newer models add by default may come on top."""
    if isinstance(golden, dict):
        assert isinstance(written, dict)
        for name, value in golden.items():
            _assert_within(value, written[name])
    else:
        assert golden == written


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_the_json_schema_refuses_what_no_consumer_can_read(topic: Topic) -> None:
    validator = _validator(topic.name)
    golden = json.loads(examples.text(examples.names(topic)[0]))
    for missing in ("id", "type", "occurred_at", "correlation", "data"):
        broken = {name: value for name, value in golden.items() if name != missing}
        assert not validator.is_valid(broken), missing
    assert not validator.is_valid(golden | {"type": "never.heard.of"})
    assert not validator.is_valid(golden | {"id": 7})


@pytest.mark.parametrize("name", NAMES)
def test_a_newer_producers_additions_are_ignored(name: str) -> None:
    golden = json.loads(examples.text(name))
    newer = golden | {"added": 1, "data": golden["data"] | {"added": {"later": True}}}
    assert _validator(examples.topic_of(name)).is_valid(newer)
    adapter = examples.BY_NAME[examples.topic_of(name)].adapter
    assert adapter.validate_json(json.dumps(newer)) == examples.record(name)


def test_inbound_and_identified_examples_are_the_same_messages() -> None:
    received = {name.partition("-")[2]: examples.record(name) for name in examples.names(MESSAGES_INBOUND)}
    known = {name.partition("-")[2]: examples.record(name) for name in examples.names(MESSAGES_IDENTIFIED)}
    assert received.keys() == known.keys()
    for variant, message in received.items():
        assert (known[variant].id, known[variant].data) == (message.id, message.data)
        assert known[variant].personal == message.personal
