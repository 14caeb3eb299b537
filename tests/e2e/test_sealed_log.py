"""A day on all channels is played, and no word of anybody's stands in the log in clear."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.demo.day import FILE
from deploy.local.servers import kafka_server
from schemas.topics import TOPICS
from tests.servers.stack import running_stack
from tests.system.topics import raw_records

BEFORE_IDENTITY = {
    "messages.inbound",
    "messages.delivery",
    "webhooks.quarantine",
    "deadletters",
    "chats.signals",
}
SHORTEST = 8
"""Characters from which a text is nobody else's."""


def personal_words() -> set[str]:
    """Return the texts of the day, and the names and addresses of its people, as JSON writes them."""
    day = yaml.safe_load(FILE.read_text())
    told = [value for person in day["people"].values() for value in person.values()]
    told += [value for event in day["events"] for name, value in event.items() if name in {"text", "subject"}]
    lines = [line.strip() for each in told for line in str(each).splitlines()]
    return {json.dumps(line, ensure_ascii=False)[1:-1] for line in lines if len(line) >= SHORTEST}


def parts(record: dict[str, Any]) -> Iterator[str]:
    yield from (name for name in ("personal", "sealed") if name in record)


@pytest.mark.timeout(240)
async def test_no_word_of_a_played_day_is_readable_on_any_topic_after_identity(tmp_path: Path) -> None:
    with (
        kafka_server(tmp_path / "kafka" / "data") as kafka,
        running_stack(tmp_path / "data", KAFKA_BOOTSTRAP_SERVERS=kafka) as stack,
    ):
        day = stack.run("deploy.local.demo", DAY_SECONDS="0")
        assert day.returncode == 0, day.stdout + day.stderr
        log = {topic: await raw_records(kafka, topic) for topic in TOPICS}
    words = personal_words()
    assert len(words) > 50
    inbound = b"\n".join(
        record.value for topic, found in log.items() if topic.name == "messages.inbound" for record in found
    )
    assert sum(word.encode() in inbound for word in words) > 20, "what is looked for must be what is written"
    for topic, found in log.items():
        if topic.name in BEFORE_IDENTITY:
            continue
        text = b"\n".join(
            b"%s %s %s" % (each.key or b"", each.value or b"", repr(each.headers).encode()) for each in found
        ).decode()
        assert sorted(word for word in words if word in text) == [], topic.name
        if topic.sealed:
            held = [set(parts(json.loads(record.value))) for record in found]
            assert {"sealed"} in held, topic.name
            assert {"personal"} not in held, topic.name
