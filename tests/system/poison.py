"""Records that no service wrote: every way of being wrong, for every topic that is consumed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.topics import Topic
from services.chassis.broker import MAX_RECORD_BYTES
from tests.contract import examples
from tests.system.topics import PLANTED

WORD = "Xylocopa"
"""Stands in every planted key and body; no log may show it."""
UNDECODABLE = "undecodable:"


@dataclass(frozen=True, slots=True)
class Poison:
    """One wrong record. `error` is how its error class begins; None: harmless, nothing becomes of it."""

    name: str
    value: bytes | None
    error: str | None = UNDECODABLE
    attempts: int = 1
    keyed: bool = True


@dataclass(frozen=True, slots=True)
class Planted:
    """A wrong record in the log."""

    topic: str
    partition: int
    offset: int
    poison: Poison


def unreadable(topic: Topic) -> list[Poison]:
    """Return records that nobody can decode as one of the topic's."""
    golden = json.loads(examples.text(examples.names(topic)[0])) | {"note": WORD}
    text = json.dumps(golden)
    body = text.encode()

    def changed(**fields: Any) -> bytes:
        return json.dumps(golden | fields).encode()

    def with_raw(name: str, raw: str) -> bytes:
        return (text[:-1] + f', "{name}": {raw}}}').encode()

    return [
        Poison("nothing", b""),
        Poison("a tombstone", None),
        Poison("no JSON", f"{WORD}, not JSON".encode()),
        Poison("no JSON, no key", f"{WORD}, not JSON".encode(), keyed=False),
        Poison("truncated", body[: len(body) // 2]),
        Poison("not UTF-8", body.replace(WORD.encode(), b"\xff\xfe")),
        Poison("a lone surrogate", with_raw("note", '"\\ud800"')),
        Poison("the wrong shape", f'["{WORD}"]'.encode()),
        Poison("an unknown type", changed(type=f"{WORD}.happened")),
        Poison("an unknown version", changed(version=2)),
        Poison("deep nesting", with_raw("deep", "[" * 10_000 + "]" * 10_000)),
        Poison("a huge number", with_raw("seq", "1" + "0" * 400)),
        Poison("not a number", with_raw("seq", "NaN")),
        Poison("infinite", with_raw("seq", "-Infinity")),
        Poison("the year 0", changed(occurred_at="0000-01-01T00:00:00Z")),
        Poison("a very long id", changed(id=WORD * 10_000)),
        Poison("nearly 1 MB", b'"' + WORD.encode() + b"x" * (MAX_RECORD_BYTES - 100) + b'"'),
        Poison("the same key twice", with_raw("id", f'"{WORD}"')),
    ]


def golden(name: str, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return an example, changed."""
    record = json.loads(examples.text(name)) | {"note": WORD}
    change(record)
    return json.dumps(record).encode()


async def plant(
    producer: AIOKafkaProducer, topic: Topic, partition: int, poisons: Sequence[Poison]
) -> list[Planted]:
    """Write the records to a partition, in this order."""
    key, headers = WORD.encode(), [(PLANTED, b"1")]
    found = []
    for poison in poisons:
        sent = await producer.send_and_wait(
            topic.name,
            poison.value,
            key=key if poison.keyed else None,
            partition=partition,
            headers=headers,
        )
        found.append(Planted(topic.name, partition, sent.offset, poison))
    return found
