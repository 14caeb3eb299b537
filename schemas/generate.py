"""`python -m schemas.generate [--check]`: the contracts as JSON Schema and AsyncAPI documents.

`json/<topic>.json` is a JSON Schema (draft 2020-12) of what a consumer accepts; `asyncapi/<service>.json`
is an AsyncAPI 3.0 document of the topics a service reads and writes; `events/` is the catalogue of what
integrators get by webhook, for people and as JSON Schema. All are committed. `--check` writes nothing and
exits with 1, naming what differs from the models.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from schemas import catalogue
from schemas.topics import TOPICS, Topic, record_models, record_type

HERE = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KAFKA_BINDING = "0.5.0"
"""Version of AsyncAPI's Kafka binding (asyncapi/bindings, kafka/README.md)."""


def services() -> list[str]:
    """Return every service that reads or writes a topic."""
    return sorted({name for topic in TOPICS for name in (*topic.producers, *topic.consumers)})


def topic_schema(topic: Topic) -> dict[str, Any]:
    """Return the JSON Schema of a topic's records."""
    schema = topic.adapter.json_schema(mode="validation")
    _require_type([schema, *schema.get("$defs", {}).values()])
    return {
        "$schema": DIALECT,
        "$id": f"urn:parley:topic:{topic.name}",
        "title": topic.name,
        "description": f"Records of the topic {topic.name}; key: {topic.key}.",
        **{name: value for name, value in schema.items() if name not in {"title", "description"}},
    }


def _require_type(definitions: Sequence[dict[str, Any]]) -> None:
    """Every producer writes `type`; only our own constructors may leave it out."""
    for definition in definitions:
        if "const" in definition.get("properties", {}).get("type", {}):
            definition["required"] = sorted({*definition.get("required", ()), "type"})


def service_document(service: str) -> dict[str, Any]:
    """Return the AsyncAPI document of a service."""
    written = [topic for topic in TOPICS if service in topic.producers]
    read = [topic for topic in TOPICS if service in topic.consumers]
    topics = [topic for topic in TOPICS if topic in written or topic in read]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Parley {service}",
            "version": "1.0.0",
            "description": f"The topics that {service} reads and writes.",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {
            **{f"receive.{topic.name}": _operation("receive", topic, service) for topic in read},
            **{f"send.{topic.name}": _operation("send", topic, service) for topic in written},
        },
        "components": {"messages": {name: message for topic in topics for name, message in _messages(topic)}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    retention = -1 if topic.retention is None else topic.retention // timedelta(milliseconds=1)
    return {
        "address": topic.name,
        "description": f"Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name, _ in _messages(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["compact" if topic.compact else "delete"],
                    "retention.ms": retention,
                },
                "bindingVersion": KAFKA_BINDING,
            }
        },
        "x-producers": list(topic.producers),
        "x-consumers": list(topic.consumers),
        "x-dead-letter": topic.dead_letter,
    }


def _operation(action: str, topic: Topic, service: str) -> dict[str, Any]:
    channel = f"#/channels/{topic.name}"
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name, _ in _messages(topic)],
    }
    if action == "receive":
        group = {"type": "string", "enum": [service]}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": KAFKA_BINDING}}
    return operation


def _messages(topic: Topic) -> Iterator[tuple[str, dict[str, Any]]]:
    models = record_models(topic)
    for model in models:
        within = f"#/$defs/{model.__name__}" if len(models) > 1 else ""
        yield (
            record_type(model),
            {
                "name": record_type(model),
                "title": model.__name__,
                "summary": (model.__doc__ or "").strip().splitlines()[0],
                "payload": {
                    "schemaFormat": "application/schema+json;version=draft-2020-12",
                    "schema": {"$ref": f"../json/{topic.name}.json{within}"},
                },
                "bindings": {
                    "kafka": {
                        "key": {"type": "string", "description": topic.key},
                        "bindingVersion": KAFKA_BINDING,
                    }
                },
            },
        )


def documents() -> dict[Path, str]:
    """Return every generated file, by its path below `schemas/`."""
    contents: Mapping[Path, Any] = {
        **{Path("json", f"{topic.name}.json"): topic_schema(topic) for topic in TOPICS},
        **{Path("asyncapi", f"{name}.json"): service_document(name) for name in services()},
        Path("events", "catalogue.json"): catalogue.document(),
    }
    return {
        **{path: json.dumps(content, indent=2) + "\n" for path, content in contents.items()},
        Path("events", "README.md"): catalogue.page(),
    }


def drift(root: Path = HERE) -> list[Path]:
    """Return the files below `root` that are missing, differ, or belong to nothing."""
    wanted = documents()
    present = {
        path.relative_to(root) for name in ("json", "asyncapi", "events") for path in (root / name).glob("*")
    }
    differing = {
        path
        for path, text in wanted.items()
        if path in present and (root / path).read_text(encoding="utf-8") != text
    }
    return sorted(differing | (wanted.keys() ^ present))


def write(root: Path = HERE) -> None:
    """Write every generated file below `root`, and remove what belongs to nothing."""
    wanted = documents()
    for path in drift(root):
        if path not in wanted:
            (root / path).unlink()
            continue
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(wanted[path], encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` only compare; returns the exit code."""
    if list(arguments) == ["--check"]:
        drifted = drift()
        for path in drifted:
            sys.stderr.write(f"schemas/{path}: differs from the models; run `make schemas`\n")
        return 1 if drifted else 0
    if arguments:
        sys.stderr.write("usage: python -m schemas.generate [--check]\n")
        return 2
    write()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
