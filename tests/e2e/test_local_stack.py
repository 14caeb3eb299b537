"""The local stack as a stranger meets it: up, token, send, demo, down."""

import json
from collections import defaultdict
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.send import CALLS_PROVIDER, CHAT_PROVIDER
from deploy.local.simulator.registry import STAND_INS
from tests.servers.stack import running_stack

MOVED_BY_THE_DAY = (
    "parley_ingest_received_webhooks_total",
    "parley_ingest_refused_webhooks_total",
    "parley_ingest_quarantined_items_total",
    "parley_published_records_total",
    "parley_consumed_records_total",
    "parley_handled_records_total",
    "parley_conversation_webhook_to_timeline_seconds_count",
    "parley_conversation_webhook_to_agent_seconds_count",
    "parley_notifier_webhook_to_stream_seconds_count",
    "parley_router_grants_total",
    "parley_router_capacity_conversations",
    "parley_notifier_sends_total",
    "parley_notifier_receipts_total",
)
ALWAYS_SHOWN = (
    "parley_consumer_lag_records",
    "parley_outbox_oldest_seconds",
    "parley_router_queue_conversations",
    "parley_router_capacity_used_conversations",
)


@pytest.mark.timeout(240)
def test_the_recorded_day_ends_well_and_the_stack_stops_in_order(tmp_path: Path) -> None:
    with running_stack(tmp_path / "data") as stack:
        services = httpx.get(stack.url).json()["services"]
        assert [service["name"] for service in services] == [
            "ingest", "identity", "conversation", "router", "notifier",
        ]  # fmt: skip
        for service in services:
            assert httpx.get(stack.url + service["health"]).status_code == 200
            assert httpx.get(stack.url + service["openapi"]).json()["info"]["title"]

        token = stack.run("deploy.local.token", "lea").stdout.strip()
        for channel, sender in (("sms", "+12025550177"), ("chat", "zoe")):
            sent = stack.run(
                "deploy.local.send", CHANNEL=channel, FROM=sender, TEXT="It's “urgent” & <b>$5</b>"
            )
            assert sent.returncode == 0, sent.stderr
        found = httpx.get(
            f"{stack.url}/identity/v1/customers",
            params={"identifier": "sms:+12025550177"},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert found.status_code == 200

        day = stack.run("deploy.local.demo", DAY_SECONDS="0")
        assert day.returncode == 0, day.stdout + day.stderr
        assert "Everything is where it belongs." in day.stdout
        for provider in (*(row.provider for row in STAND_INS), CHAT_PROVIDER, CALLS_PROVIDER):
            assert f" {provider} " in day.stdout
        for outcome in (
            "refused by the provider: failed (21614)",
            "the answer was lost: unknown",
            "a reply after STOP: not sent",
            "a reply after 24 hours: not sent, offered: parcel_update",
        ):
            assert outcome in day.stdout

        measured = measures(httpx.get(f"{stack.url}/router/metrics").text)
        assert [name for name in MOVED_BY_THE_DAY if not measured.get(name)] == []
        assert [name for name in ALWAYS_SHOWN if name not in measured] == []
        assert stack.stop() == 0
    check_log((tmp_path / "data" / "parley.log").read_text())


def measures(text: str) -> dict[str, float]:
    """Return each metric's samples, summed."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def check_log(text: str) -> None:
    """One correlation id goes from a webhook to the reply it leads to; what people wrote stands nowhere."""
    steps: dict[str, set[str]] = defaultdict(set)
    for line in map(json.loads, text.splitlines()):
        steps[line.get("correlation", "")].add(line["event"])
    assert any({"applied", "request_made"} <= events for events in steps.values())
    for words in ("urgent", "my lamp hums", "+12025550177", "Refund me"):
        assert words not in text
