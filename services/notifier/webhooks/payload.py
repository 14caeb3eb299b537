"""An event as integrators get it: `{"type", "timestamp", "data"}`, the same bytes for the same record.

`data` has the words of the live feed; the schemas are in the catalogue (`schemas/events`).
"""

import json
from typing import Any

from schemas import catalogue
from schemas.envelope import Envelope


def body(record: Envelope, most_bytes: int) -> bytes:
    """Return the body of the event; where it is above `most_bytes` without its personal fields."""
    content: Any = getattr(record, "data")  # noqa: B009  (every record of a topic has it)
    data: dict[str, Any] = content.model_dump(mode="json", exclude_none=True)
    place = catalogue.place(record, data.get("conversation_id"))
    words = catalogue.words(record)
    whole = _json(record, {**data, **words, **place})
    if len(whole) <= most_bytes or not words:
        return whole
    return _json(record, {**data, "truncated": True, **place})


def _json(record: Envelope, data: dict[str, Any]) -> bytes:
    event = {"type": record.type, "timestamp": data["at"], "data": data}
    return json.dumps(event, separators=(",", ":")).encode()
