"""The catalogue of events: what integrators get by webhook, and the words the live feed has of them too.

`data` of an event is the record's data with the personal fields that may be shown, its id and its place.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from schemas.common import Attachment
from schemas.conversations import (
    CallEnded,
    CallStarted,
    CallUpdated,
    MessageAdded,
    NoteAdded,
    TaskChanged,
    TaskCreated,
    TaskDue,
)
from schemas.customers import CustomerCreated, CustomerUpdated
from schemas.envelope import Envelope, rfc3339
from schemas.topics import (
    CONVERSATIONS_EVENTS,
    CUSTOMERS_EVENTS,
    WEBHOOKS_EVENTS,
    Topic,
    record_models,
    record_type,
)

TOPICS: tuple[Topic, ...] = (CONVERSATIONS_EVENTS, CUSTOMERS_EVENTS, WEBHOOKS_EVENTS)
"""Whose records integrators may have."""
_SHOWN: dict[type[Envelope], tuple[str, ...]] = {
    MessageAdded: ("text", "subject", "attachments"),
    NoteAdded: ("text",),
    **dict.fromkeys((CallStarted, CallUpdated, CallEnded), ("text", "attachments", "said")),
    **dict.fromkeys((TaskCreated, TaskChanged, TaskDue), ("title", "text")),
    CustomerCreated: ("name", "identifiers", "attributes"),
    CustomerUpdated: ("name", "identifiers", "attributes"),
}
_COMMON: dict[str, Any] = {
    "id": {"type": "string", "format": "uuid", "description": "the event; the header `webhook-id`"},
    "type": {"type": "string"},
    "at": {"type": "string", "format": "date-time"},
    "seq": {"type": ["integer", "null"], "description": "place among its thread's events"},
    "customer_id": {"type": ["string", "null"]},
    "conversation_id": {"type": ["string", "null"]},
}
_TRUNCATED = {
    "type": "boolean",
    "description": "true: the personal fields were too long and are left out; ask the API for them",
}


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the catalogue."""

    name: str
    model: type[Envelope]
    topic: Topic

    @property
    def summary(self) -> str:
        """What happened, in a line."""
        return (self.model.__doc__ or "").strip().splitlines()[0]

    @property
    def group(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]


EVENTS: dict[str, EventType] = {
    record_type(model): EventType(record_type(model), model, topic)
    for topic in TOPICS
    for model in record_models(topic)
}
"""Every type of event by its name."""


def words(record: Envelope) -> dict[str, Any]:
    """Return the personal fields of a record that may be shown, as JSON; none that it does not have."""
    shown = _SHOWN.get(type(record))
    if shown is None:
        return {}
    personal: Any = getattr(record, "personal")  # noqa: B009  (an envelope need not have one)
    fields: dict[str, Any] = personal.model_dump(mode="json", include=set(shown), exclude_none=True)
    if "attachments" in fields:
        fields["attachments"] = [file.shown() for file in personal.attachments]
    return fields


def place(record: Envelope, conversation_id: str | None) -> dict[str, Any]:
    """Return which event it is and whom it is about."""
    return {
        "id": str(record.id),
        "type": record.type,
        "at": rfc3339(record.occurred_at),
        "seq": record.seq,
        "customer_id": record.customer_id,
        "conversation_id": conversation_id,
    }


@cache
def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the payload of the event type `name`."""
    event = EVENTS[name]
    data = _part(event.model, "data", None)
    personal = _part(event.model, "personal", _SHOWN.get(event.model, ()))
    properties = {**data["properties"], **personal["properties"]}
    if personal["properties"]:
        properties["truncated"] = _TRUNCATED
    return {
        "title": name,
        "description": event.summary,
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": name},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {
                "type": "object",
                "required": sorted({*data["required"], "id", "type", "at"}),
                "properties": {**properties, **_COMMON, "type": {"const": name}},
            },
        },
        **({"$defs": definitions} if (definitions := {**data["$defs"], **personal["$defs"]}) else {}),
    }


def _part(model: type[Envelope], part: str, only: tuple[str, ...] | None) -> dict[str, Any]:
    """Return properties, required names and definitions of one part of a record."""
    if part not in model.model_fields:
        return {"properties": {}, "required": (), "$defs": {}}
    held: Any = model.model_fields[part].annotation
    whole = held.model_json_schema(mode="validation")
    properties = {key: value for key, value in whole["properties"].items() if only is None or key in only}
    definitions: dict[str, Any] = whole.get("$defs", {})
    if "attachments" in properties:
        file = definitions["Attachment"]
        seen = {key: value for key, value in file["properties"].items() if key in Attachment.SHOWN}
        definitions["Attachment"] = {**file, "description": "A file of a message.", "properties": seen}
    used = _named(properties, definitions)
    definitions = {key: value for key, value in definitions.items() if key in used}
    return {"properties": properties, "required": whole.get("required", ()), "$defs": definitions}


def _named(part: Any, definitions: dict[str, Any]) -> set[str]:  # noqa: ANN401  (JSON)
    """Return the names of all definitions that `part` leads to."""
    found, todo = set[str](), [part]
    while todo:
        text = json.dumps(todo.pop())
        new = {name for name in definitions if f'"#/$defs/{name}"' in text} - found
        found |= new
        todo += [definitions[name] for name in new]
    return found


def document() -> dict[str, Any]:
    """Return the catalogue as JSON: each type with its summary and the schema of its payload."""
    return {
        "events": [
            {"type": event.name, "summary": event.summary, "schema": schema(event.name)}
            for event in EVENTS.values()
        ]
    }


def page() -> str:
    """Return the catalogue for people, in Markdown."""
    lines = [
        "# Events",
        "",
        "Generated from `schemas/catalogue.py`; write it anew with: make schemas. How they are sent and",
        "verified: [webhooks](../../docs/webhooks.md). As JSON Schema: [catalogue.json](catalogue.json).",
        "",
        "Every event has in `data`, beside the fields named here: "
        + ", ".join(f"`{name}`" for name in _COMMON)
        + ". Fields marked `?` may be missing.",
    ]
    for group in dict.fromkeys(event.group for event in EVENTS.values()):
        lines += ["", f"## {group}", "", "| Type | When | Fields |", "|---|---|---|"]
        lines += [
            f"| `{event.name}` | {event.summary} | {_fields(event.name)} |"
            for event in EVENTS.values()
            if event.group == group
        ]
    return "\n".join(lines) + "\n"


def _fields(name: str) -> str:
    data = schema(name)["properties"]["data"]
    own = [field for field in data["properties"] if field not in _COMMON]
    return ", ".join(f"`{field}`{'' if field in data['required'] else '?'}" for field in own)
