"""Comparing what a request claims with what we compute, whatever bytes the request holds."""

import hmac


def same(claimed: str, expected: str) -> bool:
    """Compare in constant time. Bytes, because `compare_digest` raises on non-ASCII text."""
    return hmac.compare_digest(
        claimed.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def bearer(authorization: str) -> str:
    """Return the token of an `Authorization: Bearer` header, or an empty string."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
