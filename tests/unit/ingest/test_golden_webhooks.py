"""Every recorded webhook is read as the file beside it says."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Item, Unreadable, Webhook

FIXTURES = Path(__file__).parents[2] / "fixtures" / "webhooks"
TYPES = {
    ".form": "application/x-www-form-urlencoded",
    ".multipart": "multipart/form-data; boundary=xYzZY",
    ".json": "application/json",
    ".eml": "message/rfc822",
}
PAYLOADS = sorted(
    path for path in FIXTURES.glob("*/*") if path.suffix in TYPES and not path.name.endswith(".expected.json")
)


def shown(item: Item) -> dict[str, object]:
    if isinstance(item, Unreadable):
        return {"unreadable": item.reason, "body": item.body.decode("latin-1")}
    return {"key": item.key, **item.record.model_dump(mode="json", exclude_none=True)}


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recorded_webhook_is_read_as_expected(
    path: Path, arrival: Callable[[str], Arrival], webhook: Callable[..., Webhook]
) -> None:
    provider = path.parent.name
    request = webhook(path.read_bytes(), content_type=TYPES[path.suffix])
    items = PROVIDERS[provider].parse(request, arrival(provider))
    expected = path.with_suffix(".expected.json")
    assert [shown(item) for item in items] == json.loads(expected.read_text(encoding="utf-8"))


def test_every_provider_that_calls_us_has_recorded_webhooks() -> None:
    assert {path.parent.name for path in PAYLOADS} == set(PROVIDERS)
