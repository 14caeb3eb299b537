"""Signatures against the providers' published vectors and vectors of our own, made with openssl."""

from urllib.parse import parse_qsl

import pytest

from deploy.local.signing import line_signature, meta_signature, twilio_signature

# twilio-python, tests/unit/test_request_validator.py
PUBLISHED_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
PUBLISHED_PARAMS = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
OWN_BODY = (
    "ToCountry=US&MessageSid=SM0123456789abcdef0123456789abcdef&NumMedia=0&ToCity=&FromZip=&Body=+Caf%C3%A9+%F0%9F%98%80+"
    "&From=%2B31612345678&To=%2B15550001111&AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01"
)


def test_twilio_published_form() -> None:
    assert twilio_signature("12345", PUBLISHED_URL, PUBLISHED_PARAMS) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_twilio_signs_a_repeated_value_once_and_different_values_sorted() -> None:
    params = [
        ("Sid", "CA123"),
        ("SidAccount", "AC123"),
        ("Digits", "5678"),
        ("Digits", "1234"),
        ("Digits", "1234"),
    ]
    assert twilio_signature("12345", PUBLISHED_URL, params) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


def test_twilio_signs_blank_values_and_keeps_blanks_around_a_text() -> None:
    url = "https://hooks.example.com/v1/ingest/twilio/sms?tenant=acme"
    params = parse_qsl(OWN_BODY, keep_blank_values=True)
    assert (
        twilio_signature("twilio_auth_token_0123456789abcdef", url, params) == "km9lRBRijNgD9yBRDkILTYocQOk="
    )


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (
            b'{"object":"page","entry":[{"id":"1","time":1767225600000,"messaging":[]}]}',
            "sha256=a53e7cd25d64cebfaf5b9012b60dd943864c6e3ffc55ac3f64d3307dd93cbbf4",
        ),
    ],
)
def test_meta_signs_the_bytes_of_the_body(body: bytes, signature: str) -> None:
    assert meta_signature("meta_app_secret_0123456789abcdef", body) == signature


@pytest.mark.parametrize(
    ("secret", "body", "signature"),
    [
        ("channel_secret", b"bodybodybodybody", "/gg9a+LvFevTH1sd7XCQycD7tsWclCsInj7MhBHxN7k="),
        (
            "line_channel_secret_0001",
            b'{"destination":"U0","events":[]}',
            "BMbSma3w8xS3SUTaXbLXaVwX5+kXb5hM5qeZ76j5xCw=",
        ),
    ],
)
def test_line_signs_the_bytes_of_the_body(secret: str, body: bytes, signature: str) -> None:
    assert line_signature(secret, body) == signature
