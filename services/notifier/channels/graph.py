"""What the errors of Meta's Graph API mean, for all products that are sent through it.

https://developers.facebook.com/docs/graph-api/guides/error-handling; the codes are each product's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from services.notifier.channels.sending import (
    RefusalKind,
    Retry,
    document,
    refused,
    retry_after,
    unexplained,
)

BASE = "https://graph.facebook.com"
INSTAGRAM_BASE = "https://graph.instagram.com"
"""For tokens of Instagram's own log-in."""
VERSION = "v23.0"
ACCOUNT_BROKEN = frozenset({0, 3, 10, 102, 190, 368, *range(200, 300)})
"""No token, no permission, or a block of the account: the same in every product."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A product's error codes by what follows from them."""

    slow_down: frozenset[int]
    """The whole account sends too much."""
    transient: frozenset[int]
    kinds: Mapping[RefusalKind, frozenset[int]]
    subcodes: Mapping[RefusalKind, frozenset[int]] = field(default_factory=dict)
    """What `error_subcode` says goes before what `code` says."""
    pauses: Mapping[int, float] = field(default_factory=dict)
    """Seconds to leave one recipient alone."""


def meaning(answer: httpx.Response, codes: Codes) -> Exception:
    """Return the outcome that an answer without a message id stands for."""
    error = document(answer).get("error")
    code = _number(error.get("code")) if isinstance(error, dict) else None
    if answer.is_success or not isinstance(error, dict) or code is None:
        return unexplained(answer)
    if code in codes.pauses:
        return Retry(retry_after(answer) or codes.pauses[code], str(code))
    subcode = _number(error.get("error_subcode"))
    kind = _kind(codes.subcodes, subcode)
    name = f"{code}/{subcode}" if kind else str(code)
    throttled = code in codes.slow_down or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    if throttled or (kind is None and (code in codes.transient or error.get("is_transient") is True)):
        return Retry(retry_after(answer), name, whole_account=throttled)
    kind = kind or _kind(codes.kinds, code)
    if kind is None and answer.is_server_error:
        return unexplained(answer)
    return refused(name, kind or "rejected")


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _kind(kinds: Mapping[RefusalKind, frozenset[int]], code: int | None) -> RefusalKind | None:
    return next((kind for kind, codes in kinds.items() if code in codes), None)
