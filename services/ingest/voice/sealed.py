"""The caller's address inside our own callback URLs, where the provider does not repeat it.

Sealed (AES-SIV, RFC 5297) with a key made of the account's secret, since URLs end up in logs; the same
address of the same call gives the same text, so a repeated webhook gets the same answer.
"""

import base64
import binascii
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from services.chassis.accounts import Account


def seal(address: str, call: str, account: Account) -> str:
    """Return `address` sealed for this call."""
    cipher = AESSIV(_key(account.secret("auth_token")))
    sealed = cipher.encrypt(address.encode("utf-8", "replace"), [call.encode("utf-8", "replace")])
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(text: str, call: str, account: Account) -> str | None:
    """Return the address, None where it was not sealed by us for this call."""
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    for token in account.valid("auth_token"):
        try:
            return AESSIV(_key(token)).decrypt(sealed, [call.encode("utf-8", "replace")]).decode()
        except (InvalidTag, ValueError):
            continue
    return None


def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"parley/voice/caller", hashlib.sha256)
