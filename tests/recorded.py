"""What is recorded of each provider in `tests/fixtures`, so that adding one needs no change to a test.

`webhooks/<provider>/`: `<case>.json` (`.form`, `.multipart`, `.eml`) with `<case>.expected.json`,
`account.yaml`, and `signatures.yaml`. `sends/<provider>.yaml`: what a sender asks, and what it makes of
the answers.
"""

from pathlib import Path
from typing import Any

import yaml

from services.chassis.accounts import Account

FIXTURES = Path(__file__).parent / "fixtures"
WEBHOOKS = FIXTURES / "webhooks"
TYPES = {
    ".form": "application/x-www-form-urlencoded",
    ".multipart": "multipart/form-data; boundary=xYzZY",
    ".json": "application/json",
    ".eml": "message/rfc822",
}


def payloads() -> list[Path]:
    """Return the files of all recorded webhooks."""
    found = WEBHOOKS.glob("*/*")
    return sorted(path for path in found if path.suffix in TYPES and not path.name.endswith(".expected.json"))


def accounts() -> dict[str, Account]:
    """Return the recorded accounts, by provider."""
    found = (Account.model_validate(load(path)) for path in sorted(WEBHOOKS.glob("*/account.yaml")))
    return {account.provider: account for account in found}


def signatures() -> list[tuple[str, dict[str, Any]]]:
    """Return provider and request of all recorded signatures."""
    paths = sorted(WEBHOOKS.glob("*/signatures.yaml"))
    return [(path.parent.name, request) for path in paths for request in load(path)]


def sends() -> dict[str, dict[str, Any]]:
    """Return what is recorded of senders, by provider."""
    return {path.stem: load(path) for path in sorted((FIXTURES / "sends").glob("*.yaml"))}


def load(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))
