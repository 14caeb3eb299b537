"""What mail providers tell of our mails afterwards: statuses, complaints, opt-outs.

A bounce that is final is a failure, whose code is an enhanced status code (RFC 3463); one that is tried
again changes nothing. A complaint or an unsubscription is a word of the Customer's: consent withdrawn.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from schemas.common import DeliveryStatus
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.ingest.channels.items import Said, our_id, received, reported
from services.ingest.webhook import Arrival, BadItem, Item

_ENHANCED = re.compile(r"\b([45]\.\d{1,3}\.\d{1,3})\b")
_WORDS = {
    "complaint": "[marked a mail of ours as spam]",
    "unsubscribe": "[unsubscribed]",
    "resubscribe": "[subscribed again]",
}


def status(
    arrival: Arrival,
    account: Account,
    what: DeliveryStatus,
    *,
    about: str,
    event: str,
    at: datetime | None,
    ours: object = None,
    code: str | None = None,
    detail: str | None = None,
) -> Item:
    """Return the report on the mail that the provider calls `about`; `event` tells it from others."""
    return reported(
        arrival,
        account,
        what,
        dedup=(event,),
        provider_message_id=about,
        at=at,
        ours=our_id(ours),
        error_code=code,
        error_detail=detail,
    )


def consent(
    arrival: Arrival,
    account: Account,
    kind: Literal["complaint", "unsubscribe", "resubscribe"],
    *,
    address: str,
    event: str,
    at: datetime | None,
) -> Item:
    """Return the Customer's word on whether we may write. Raises BadItem without an address."""
    try:
        sender = identifier("email", address)
    except InvalidIdentifier as error:
        raise BadItem(f"recipient: {error}") from None
    return received(
        arrival,
        account,
        Said(_WORDS[kind], kind),
        dedup=event,
        provider_message_id=event,
        identifiers=[sender],
        key=sender.value,
        sent_at=at,
        consent="start" if kind == "resubscribe" else "stop",
    )


def enhanced_code(*texts: str, default: str = "5.0.0") -> str:
    """Return the first enhanced status code (RFC 3463) that stands in one of `texts`."""
    found = (_ENHANCED.search(text[:2000]) for text in texts)
    return next((match[1] for match in found if match), default)


def iso_time(value: str) -> datetime | None:
    """Return the time in RFC 3339 or RFC 5322 form, else None."""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
