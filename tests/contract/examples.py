"""The golden messages of `schemas/examples/<topic>/<type>[-variant].json`."""

from pathlib import Path
from typing import Any

from schemas.topics import TOPICS, Topic

ROOT = Path(__file__).resolve().parents[2] / "schemas" / "examples"
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}


def names(topic: Topic) -> list[str]:
    """Return the examples of a topic, as `<topic>/<type>[-variant]`."""
    return sorted(f"{topic.name}/{path.name.removesuffix('.json')}" for path in (ROOT / topic.name).glob("*"))


def text(name: str) -> bytes:
    return (ROOT / f"{name}.json").read_bytes()


def record(name: str) -> Any:
    """Return an example as its consumers decode it."""
    return BY_NAME[topic_of(name)].adapter.validate_json(text(name))


def topic_of(name: str) -> str:
    return name.partition("/")[0]


def type_of(name: str) -> str:
    return name.partition("/")[2].partition("-")[0]
