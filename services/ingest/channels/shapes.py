"""Reading JSON from outside without trusting its shape."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from services.ingest.webhook import BadItem

EMPTY: Mapping[str, Any] = {}
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
_SECONDS_DIGITS = 12
_MILLISECONDS_DIGITS = 15


def read_json(body: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    """Return the value `body` holds. Raises BadItem.

    Lone surrogates, which orjson refuses, are read too: people type them.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        reason = "not JSON"
        raise BadItem(reason) from None


def _refuse(_: str) -> None:
    raise ValueError


def as_bytes(value: object) -> bytes:
    """Return a JSON value as ASCII JSON, to be kept aside."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b'"nested too deeply"'


def mapping(value: object) -> Mapping[str, Any]:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else EMPTY


def items(value: object) -> Sequence[Any]:
    """Return `value` if it is an array, else an empty one."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str:
    """Return `value` if it is text or a number, else an empty string."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def moment(value: object) -> datetime | None:
    """Return the time that `value`, seconds since 1970 as text or number, stands for, else None."""
    return _second(text(value))


@lru_cache(maxsize=1024)
def _second(seconds: str) -> datetime | None:
    """Return the same object for the same second: what is kept about it is then found at once."""
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= _SECONDS_DIGITS):
        return None
    return datetime.fromtimestamp(min(int(seconds), _LAST_SECOND), UTC)


def millisecond_moment(value: object) -> datetime | None:
    """Return the time that `value`, milliseconds since 1970 as text or number, stands for, else None."""
    digits = text(value)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MILLISECONDS_DIGITS):
        return None
    seconds, milliseconds = divmod(int(digits), 1000)
    whole = datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC)
    return whole.replace(microsecond=milliseconds * 1000)
