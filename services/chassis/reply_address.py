"""Reply addresses that name a Customer: `support+<token>@…`, signed, so that nobody can make one up.

The token is base32 in lower case, since mail systems may change the case of what stands before the `@`:
the 16 bytes of the Customer's id, and 80 bits of HMAC-SHA256 over it and our address.
What a valid one proves, and what it does not, is in docs/decisions/0015-signed-reply-address.md.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from uuid import UUID

_ID_BYTES, _MAC_BYTES = 16, 10
_TOKEN = re.compile(r"[a-z2-7]{42}")
_LOCAL_PART = 64
"""Longest part before the `@` (RFC 5321, 4.5.3.1.1)."""


def reply_address(address: str, customer_id: str, secret: str) -> str | None:
    """Return the address under `address` that names the Customer; None where there is no room for it."""
    local, _, domain = address.rpartition("@")
    try:
        name = UUID(customer_id).bytes
    except ValueError:
        return None
    token = base64.b32encode(name + _mac(address, name, secret)).decode().rstrip("=").lower()
    tagged = f"{local}+{token}"
    return f"{tagged}@{domain}" if len(tagged) <= _LOCAL_PART else None


def named_customer(address: str, recipient: str, secrets: Iterable[str]) -> str | None:
    """Return the id of the Customer whom `recipient`, an address under ours, names by a valid token."""
    local, _, domain = address.rpartition("@")
    theirs, _, their_domain = recipient.rpartition("@")
    mailbox, _, tag = theirs.partition("+")
    token = tag.lower()
    if (mailbox.lower(), their_domain.lower()) != (local.lower(), domain.lower()):
        return None
    if not _TOKEN.fullmatch(token):
        return None
    try:
        signed = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except binascii.Error:
        return None
    name, mac = signed[:_ID_BYTES], signed[_ID_BYTES:]
    if any(hmac.compare_digest(mac, _mac(address, name, secret)) for secret in secrets):
        return name.hex()
    return None


def without_tag(address: str) -> str:
    """Return the mailbox of an address with a `+tag`."""
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _mac(address: str, name: bytes, secret: str) -> bytes:
    text = b"reply address\n" + address.lower().encode() + b"\n" + name
    return hmac.digest(secret.encode(), text, "sha256")[:_MAC_BYTES]
