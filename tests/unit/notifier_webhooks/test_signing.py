"""Signatures by the published vectors, and as the reference library verifies them."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from services.notifier.webhooks.requests import retry_after
from services.notifier.webhooks.signing import headers, new_secret

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
PUBLISHED = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OWN = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OWN_BODY = '{"type":"message.received","timestamp":"2026-01-01T00:00:00Z","data":{"id":"m_1","text":"café"}}'
OWN_SIGNATURE = "v1,t1/xlN/xFYJgp7U3O6hWKxl8vGuq4zTjm48bMlIX3Xg="


def test_the_published_vector() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    signed = headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', [PUBLISHED])
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_body_that_is_not_ascii() -> None:
    at = datetime.fromtimestamp(1767225600, UTC)
    signed = headers("msg_2b9e", at, OWN_BODY.encode(), [OWN])
    assert signed["webhook-signature"] == OWN_SIGNATURE


def test_a_rotation_signs_with_every_valid_secret_and_either_verifies() -> None:
    now, old, fresh = datetime.now(UTC), new_secret(), new_secret()
    signed = headers("e1", now, b"{}", [fresh, old])
    assert len(signed["webhook-signature"].split(" ")) == 2
    for secret in (old, fresh):
        assert Webhook(secret).verify(b"{}", signed) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(b"{}", signed)


@given(st.binary(min_size=1, max_size=40), st.text(max_size=200), st.uuids())
def test_what_is_signed_verifies_and_anything_else_does_not(key: bytes, text: str, event: object) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps({"text": text}).encode()
    signed = headers(str(event), datetime.now(UTC), body, [secret])
    assert Webhook(secret).verify(body, signed) == {"text": text}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, signed | {"webhook-id": "other"})


def test_a_secret_has_the_form_of_the_standard() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert new_secret() != secret


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("120", timedelta(seconds=120)),
        ("0", timedelta(0)),
        ("Sun, 01 Mar 2026 09:02:00 GMT", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 08:00:00 GMT", None),
        ("9" * 400, timedelta(days=30)),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("Sun, 01 Mar 2026 09:02:00", None),
    ],
)
def test_retry_after_in_both_forms(value: str, pause: timedelta | None) -> None:
    assert retry_after(value, NOW) == pause


@given(st.text(max_size=60))
def test_no_retry_after_is_a_fault(value: str) -> None:
    pause = retry_after(value, NOW)
    assert pause is None or timedelta(0) <= pause <= timedelta(days=30)
