"""Every recorded webhook is read as the file beside it says."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Item, Unreadable, Webhook
from tests import recorded

WRITE = os.environ.get("PARLEY_WRITE_EXPECTED") == "1"
PAYLOADS = recorded.payloads()


def shown(item: Item) -> dict[str, object]:
    if isinstance(item, Unreadable):
        return {"unreadable": item.reason, "body": item.body.decode("latin-1")}
    return {"key": item.key, **item.record.model_dump(mode="json", exclude_none=True)}


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recorded_webhook_is_read_as_expected(
    path: Path, arrival: Callable[[str], Arrival], webhook: Callable[..., Webhook]
) -> None:
    provider = path.parent.name
    request = webhook(path.read_bytes(), content_type=recorded.TYPES[path.suffix])
    items = [shown(item) for item in PROVIDERS[provider].parse(request, arrival(provider))]
    expected = path.with_suffix(".expected.json")
    if WRITE:
        expected.write_text(json.dumps(items, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert items == json.loads(expected.read_text(encoding="utf-8"))


def test_every_provider_that_calls_us_has_recorded_webhooks() -> None:
    assert {path.parent.name for path in PAYLOADS} == set(PROVIDERS)
