"""Moments in a query string."""

import re
from datetime import UTC, datetime, timedelta

from services.chassis.problems import invalid

_STEP = timedelta(milliseconds=1)
"""Between two moments that a database tells apart."""
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC) + _STEP, datetime.max.replace(tzinfo=UTC) - _STEP
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+\- ]\d\d:\d\d)")


def moment_of(field: str, text: str) -> datetime:
    """Return the RFC 3339 time that `text` names; a `+` that arrives as a space is a `+`.

    Raises Problem 422.
    """
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError
        zone = text[-6:].replace(" ", "+") if text[-6] in " +-" else "Z"
        return datetime.fromisoformat(f"{text[:19]}{_fraction(text)}{zone}".upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(field, "is no RFC 3339 time, such as 2026-01-31T12:00:00Z") from error


def _fraction(text: str) -> str:
    found = re.match(r"\.\d{1,6}", text[19:])
    return found.group() if found else ""


def until(moment: datetime) -> dict[str, datetime]:
    """Return the condition of all up to `moment` and with it.

    The embedded server drops what lies on an inclusive bound of a field that others follow in the index;
    an exclusive one a millisecond on says the same.
    """
    return {"$lt": min(moment, _LAST) + _STEP}


def since(moment: datetime) -> dict[str, datetime]:
    """Return the condition of all from `moment` on; see `until`."""
    return {"$gt": max(moment, _FIRST) - _STEP}
