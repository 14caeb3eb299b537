"""The local stack as a stranger meets it: up, token, send, demo, down."""

from pathlib import Path

import httpx
import pytest

from tests.servers.stack import running_stack


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

        assert stack.stop() == 0
