"""Deterministic ids: the same cause always names the same record, so a repeat is seen as one.

Ids are UUIDv5 (RFC 9562, section 5.5) over an unambiguous join of their parts. Only Customer ids
are random; they are made by identity.
"""

from hashlib import sha1
from json.encoder import encode_basestring_ascii
from string import hexdigits
from uuid import UUID

_NAMESPACE = UUID("6f1c7a52-6d0e-5c3b-9d2f-4b8a6a1d0c11").bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in hexdigits}


def derived(kind: str, *parts: object) -> str:
    """Return the id of the `kind` of record that `parts` cause.

    Parts are joined as a JSON array, so `("a", "bc")` and `("ab", "c")` differ. Every record has such an
    id, hence the short way instead of `uuid5(…, json.dumps(…))`.
    """
    name = f"[{', '.join(map(encode_basestring_ascii, (kind, *map(str, parts))))}]"
    found = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANT[found[16]]
    return f"{found[:8]}-{found[8:12]}-5{found[13:16]}-{variant}{found[17:20]}-{found[20:32]}"


def derive(kind: str, *parts: object) -> UUID:
    """Return the id of the `kind` of record that `parts` cause; see `derived`, which gives its text."""
    return UUID(derived(kind, *parts))


def message_id(provider: str, account: str, sender: str, dedup_key: str) -> str:
    """Return the id of a provider's message, as text.

    `dedup_key` is what the provider repeats on redelivery (see each channel module's docstring);
    `account` and `sender` scope it, since providers' ids are unique only there.
    """
    return derived("message", provider, account, sender, dedup_key)


def attachment_id(message: UUID, index: int) -> UUID:
    """Return the id of the file that stands at `index` among a provider's message's attachments."""
    return derive("attachment", message, index)


def command_id(subject: str, route: str, idempotency_key: str) -> UUID:
    """Return the id from which all effects of one HTTP command follow."""
    return derive("command", subject, route, idempotency_key)
