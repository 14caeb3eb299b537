"""Comparing what a request claims with what we compute, whatever bytes the request holds."""

import base64
import binascii
import hmac

from services.chassis.accounts import Account


def same(claimed: str, expected: str) -> bool:
    """Compare in constant time. Bytes, because `compare_digest` raises on non-ASCII text."""
    return hmac.compare_digest(
        claimed.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def bearer(authorization: str) -> str:
    """Return the token of an `Authorization: Bearer` header, or an empty string."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(authorization: str) -> str:
    """Return `name:password` of an `Authorization: Basic` header (RFC 7617), or an empty string."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip().encode("latin-1", "replace"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def is_basic(authorization: str, account: Account) -> bool:
    """Tell whether the header holds the account's `username` and `password`."""
    given = basic(authorization)
    pairs = [(name, word) for name in account.valid("username") for word in account.valid("password")]
    return any(same(given, f"{name}:{word}") for name, word in pairs)
