"""Accounts, circumstances and requests for the tests of ingest. All people and secrets are invented."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from services.chassis.accounts import Account, Accounts
from services.ingest.webhook import Arrival, Webhook
from tests import recorded

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
CORRELATION = UUID("11111111-1111-4111-8111-111111111111")
FIXTURES = Path(__file__).parents[2] / "fixtures" / "webhooks"

ACCOUNTS = [
    Account(
        provider="twilio-sms",
        account="demo",
        channel="sms",
        address="+15550001111",
        inbox="support",
        secrets={"auth_token": "token-1"},
    ),
    Account(
        provider="twilio-sms",
        account="sales",
        channel="sms",
        address="+15550002222",
        inbox="sales",
        secrets={"auth_token": "token-1"},
    ),
    Account(
        provider="twilio-sms",
        account="foreign",
        channel="sms",
        address="+15550003333",
        inbox="other",
        secrets={"auth_token": "token-2"},
    ),
    Account(
        provider="whatsapp",
        account="demo",
        channel="whatsapp",
        address="900100200300",
        inbox="support",
        secrets={"app_secret": "app-secret-1", "verify_token": "verify-1"},
    ),
    Account(
        provider="whatsapp",
        account="sales",
        channel="whatsapp",
        address="900100200301",
        inbox="sales",
        secrets={"app_secret": "app-secret-1"},
    ),
    Account(
        provider="whatsapp",
        account="foreign",
        channel="whatsapp",
        address="900100200302",
        inbox="other",
        secrets={"app_secret": "app-secret-2"},
    ),
    Account(
        provider="messenger",
        account="demo",
        channel="messenger",
        address="100200300400",
        inbox="support",
        secrets={"app_secret": "app-secret-1", "app_id": "700800900100", "verify_token": "verify-1"},
    ),
    Account(
        provider="messenger",
        account="sales",
        channel="messenger",
        address="100200300401",
        inbox="sales",
        secrets={"app_secret": "app-secret-1"},
    ),
    Account(
        provider="messenger",
        account="foreign",
        channel="messenger",
        address="100200300402",
        inbox="other",
        secrets={"app_secret": "app-secret-2"},
    ),
    Account(
        provider="instagram",
        account="demo",
        channel="instagram",
        address="178400500600",
        inbox="support",
        secrets={"app_secret": "app-secret-1", "app_id": "700800900100", "verify_token": "verify-1"},
    ),
    Account(
        provider="mime",
        account="demo",
        channel="email",
        address="support@parley.example",
        inbox="support",
        secrets={"token": "relay-token"},
    ),
    Account(
        provider="sendgrid",
        account="sales",
        channel="email",
        address="sales@parse.parley.example",
        inbox="sales",
        secrets={"username": "hook", "password": "s3cret"},
    ),
    Account(
        provider="ses",
        account="demo",
        channel="email",
        address="support@ses.parley.example",
        inbox="support",
        secrets={
            "topic_arn": "arn:aws:sns:eu-west-1:123456789012:ses-inbound",
            "reply_secret": "reply_secret",
        },
    ),
    Account(
        provider="webchat",
        account="demo",
        channel="chat",
        address="demo-widget",
        inbox="support",
        secrets={"identity_secret": "identity-secret-of-at-least-32-bytes"},
        source="shop",
    ),
    Account(provider="webchat", account="other", channel="chat", address="other-widget", inbox="support"),
    *recorded.accounts().values(),
]


@pytest.fixture(scope="session")
def accounts() -> Accounts:
    return Accounts(ACCOUNTS)


@pytest.fixture(scope="session")
def arrival(accounts: Accounts) -> Callable[[str], Arrival]:
    def make(provider: str, account: str = "demo") -> Arrival:
        found = accounts.find(provider, account)
        assert found is not None
        return Arrival(found, accounts, NOW, CORRELATION)

    return make


@pytest.fixture(scope="session")
def webhook() -> Callable[..., Webhook]:
    def make(
        body: bytes = b"",
        *,
        method: str = "POST",
        path: str = "/ingest/v1/x/demo",
        query: str = "",
        public_url: str = "https://hooks.example.com",
        **headers: str,
    ) -> Webhook:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Webhook(method, path, query, named, body, public_url)

    return make
