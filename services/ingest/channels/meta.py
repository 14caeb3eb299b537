"""What Meta's webhooks have in common: the handshake, the signature, items that fail one by one.

Signature: https://developers.facebook.com/docs/graph-api/webhooks/getting-started, over the
body's bytes as they came; Meta escapes non-ASCII characters before it signs.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from services.chassis.accounts import Account
from services.ingest.channels.shapes import as_bytes, items, mapping, read_json
from services.ingest.channels.signatures import same
from services.ingest.webhook import BadItem, Handshake, Item, Unreadable, Webhook

_SIGNATURE = "x-hub-signature-256"
APP_SECRETS = ("app_secret", "instagram_app_secret")
"""Instagram signs with its own app's secret where the business logged in with Instagram."""


def handshake(webhook: Webhook, account: Account) -> Handshake:
    """Answer Meta's check of the callback URL: the challenge, if the verify token is ours."""
    query = parse_qs(webhook.query, keep_blank_values=True)
    given = query.get("hub.verify_token", [""])[0]
    ours = any(same(given, token) for token in account.valid("verify_token"))
    if not ours or query.get("hub.mode") != ["subscribe"]:
        return Handshake(403, "verify token does not match\n")
    return Handshake(200, query.get("hub.challenge", [""])[0])


def verify(webhook: Webhook, account: Account) -> bool:
    """Check X-Hub-Signature-256 over the raw body."""
    claimed = webhook.headers.get(_SIGNATURE, "")
    return bool(claimed) and any(
        same(claimed, signature(webhook.body, secret))
        for name in APP_SECRETS
        for secret in account.valid(name)
    )


def signature(body: bytes, secret: str) -> str:
    """Return the header's value for `body`."""
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def trusted(account: Account, other: Account | None) -> Account | None:
    """Return `other` if what `account`'s signature proves holds for it too."""
    if other is None or not any(other.shares(name, account) for name in APP_SECRETS):
        return None
    return other


def entries(webhook: Webhook) -> tuple[str, Sequence[Any]]:
    """Return the body's `object` and its entries. Raises BadItem."""
    document = mapping(read_json(webhook.body))
    found = items(document.get("entry"))
    if not found:
        reason = "no entries"
        raise BadItem(reason)
    kind = document.get("object")
    return kind if isinstance(kind, str) else "", found


def guarded(read: Callable[[Mapping[str, Any]], Sequence[Item]], item: object) -> Sequence[Item]:
    """Return what `read` makes of one item; a bad one is kept aside and never costs the others."""
    try:
        return read(mapping(item))
    except BadItem as error:
        return [Unreadable(str(error), as_bytes(item))]
