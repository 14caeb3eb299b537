"""Secrets and signatures (https://www.standardwebhooks.com, version 1.0.0: symmetric, `v1`)."""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a random signing secret, `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(event_id: str, at: datetime, body: bytes, valid: Sequence[str]) -> dict[str, str]:
    """Return the headers of an attempt at the moment `at`, signed with every valid secret."""
    moment, text = at.astimezone(UTC), body.decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(event_id, moment, text) for secret in valid),
    }
