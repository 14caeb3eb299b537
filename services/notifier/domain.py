"""What becomes of a message that is to be sent: pure rules on frozen values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from schemas import ids
from schemas.common import DeliveryStatus
from schemas.outbound import MessageSend, MessageStatus, StatusData
from services.chassis.text import without_addresses

RANK = {
    DeliveryStatus.RECEIVED: 0,
    DeliveryStatus.QUEUED: 1,
    DeliveryStatus.UNKNOWN: 2,
    DeliveryStatus.SENT: 3,
    DeliveryStatus.FAILED: 4,
    DeliveryStatus.DELIVERED: 5,
    DeliveryStatus.READ: 6,
}
"""The higher status is the truer one, in whatever order they are heard.

A failure tells more than that the provider took the message, and less than that it arrived; any word of
the provider tells more than our not knowing.
"""

_ENHANCED = re.compile(r"[45]\.\d{1,3}\.\d{1,3}")
"""Status code of a mail system (RFC 3463); no other provider's codes look so."""


def rank(status: DeliveryStatus, error_code: str | None, failed_part: str | None = None) -> float:
    """Return how much a word counts.

    A mail that came back did so after a system on its way had taken it: "delivered" says less. Whatever
    became of a message's last part, one of which another part failed did not arrive.
    """
    if failed_part is not None:
        return RANK[DeliveryStatus.READ] + 0.5
    bounced = status is DeliveryStatus.FAILED and _ENHANCED.fullmatch(error_code or "") is not None
    return RANK[DeliveryStatus.DELIVERED] + 0.5 if bounced else RANK[status]


class State(StrEnum):
    """Whose turn it is: ours until the provider was asked."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A word on a message's delivery, ours or the provider's. `cause` is the record that brought it."""

    status: DeliveryStatus
    at: datetime
    cause: UUID | None = None
    provider_message_id: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    error_kind: str | None = None
    taken_at: datetime | None = None
    """When the provider took the message, by its own clock."""
    failed_part: str | None = None
    """As `1 of 2`: it speaks of one earlier part alone."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """A provider's word on all it took for one recipient until `up_to`, by its clock."""

    status: DeliveryStatus
    up_to: datetime
    at: datetime
    cause: UUID


@dataclass(frozen=True, slots=True)
class Send:
    """One message to be sent once, and how far it is. `version` counts its changes."""

    message_id: str
    customer_id: str
    home: str
    conversation_id: str
    provider: str
    account: str
    seq: int
    correlation: UUID
    stored_at: datetime
    cause: UUID | None = None
    record: bytes | None = None
    """The MessageSend as it came; dropped once finished."""
    state: State = State.WAITING
    next_at: datetime | None = None
    attempts: int = 0
    claim: str | None = None
    """Name of the one request that may be made now."""
    claimed_until: datetime | None = None
    status: DeliveryStatus = DeliveryStatus.QUEUED
    status_at: datetime | None = None
    status_seq: int = 0
    provider_message_id: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    error_kind: str | None = None
    failed_part: str | None = None
    """The earlier part whose failure is the message's."""
    recipient: str | None = None
    """See `recipient_key`; only where the provider tells receipts by watermarks."""
    taken_at: datetime | None = None
    """When the provider took it, in its own words; until then the earliest it can have been."""
    version: int = 0

    @property
    def source(self) -> str:
        """The account it is sent from."""
        return source_of(self.provider, self.account)

    @property
    def lane(self) -> str:
        """Messages of one lane are sent one after another."""
        return f"{self.source}/{self.customer_id}"

    @property
    def provider_key(self) -> str | None:
        """What a receipt names it by; None until the provider gave an id."""
        if self.provider_message_id is None:
            return None
        return provider_key(self.provider, self.account, self.provider_message_id)


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How long and how often a message is offered to a provider that cannot take it now."""

    first: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(minutes=10)
    limit: timedelta = timedelta(hours=24)
    """Counted from when it was stored."""


def source_of(provider: str, account: str) -> str:
    """Return the name of one account of ours."""
    return f"{provider}/{account}"


def provider_key(provider: str, account: str, provider_message_id: str) -> str:
    """Return the name of a provider's message; providers' ids are unique only within an account."""
    return f"{provider}/{account}/{provider_message_id}"


def recipient_key(provider: str, account: str, address: str) -> str:
    """Return the name of one recipient of an account's messages, which does not tell the address."""
    return str(ids.derive("recipient", provider, account, address))


def new_send(message: MessageSend, now: datetime, record: bytes, *, watermarks: bool = False) -> Send:
    """Return the message as it is first stored; `watermarks`: its provider tells receipts so."""
    data = message.data
    to = message.personal.to.value
    return Send(
        message_id=str(data.message_id),
        customer_id=message.customer_id,
        home=message.home,
        conversation_id=data.conversation_id,
        provider=data.provider,
        account=data.account,
        seq=message.seq,
        correlation=message.correlation,
        stored_at=now,
        cause=message.id,
        record=record,
        next_at=now,
        recipient=recipient_key(data.provider, data.account, to) if watermarks else None,
    )


def merge(send: Send, evidence: Evidence) -> Send:
    """Take in one more word. The result of several does not depend on their order, and never falls back.

    Of equal words the earliest moment stands; nothing happens twice.
    """
    evidence = replace(evidence, error_detail=without_addresses(evidence.error_detail))
    learned = send.provider_message_id or evidence.provider_message_id
    taken_at = (evidence.taken_at if send.recipient else None) or send.taken_at
    send = replace(send, provider_message_id=learned, taken_at=taken_at)
    heard = rank(evidence.status, evidence.error_code, evidence.failed_part)
    known = rank(send.status, send.error_code, send.failed_part)
    higher = heard > known
    same_earlier = heard == known and send.status_at is not None and evidence.at < send.status_at
    if not higher and not same_earlier:
        return send
    return replace(
        send,
        status=evidence.status,
        status_at=evidence.at,
        status_seq=send.status_seq + (evidence.status is not send.status),
        error_code=evidence.error_code,
        error_detail=evidence.error_detail,
        error_kind=evidence.error_kind,
        failed_part=evidence.failed_part,
        cause=evidence.cause or send.cause,
    )


_COVERED = frozenset({DeliveryStatus.SENT, DeliveryStatus.DELIVERED})


def cover(send: Send, marks: Iterable[Watermark]) -> Send:
    """Take in the highest watermark that covers the message.

    It speaks of what the provider took: of a message whose request is out, was refused or was never
    answered it says nothing, until other evidence shows that the provider has it.
    """
    if send.state is not State.FINISHED or send.status not in _COVERED or send.taken_at is None:
        return send
    covering = [mark for mark in marks if send.taken_at <= mark.up_to]
    if not covering:
        return send
    highest = max(covering, key=lambda mark: RANK[mark.status])
    return merge(send, Evidence(highest.status, highest.at, highest.cause))


def without_account(send: Send, now: datetime) -> Send:
    """There is no account to send it from."""
    detail = f"there is no account {send.source}"
    return finish(send, Evidence(DeliveryStatus.FAILED, now, error_code="no_account", error_detail=detail))


def with_broken_account(send: Send, now: datetime, code: str) -> Send:
    """The account it is sent from has not worked for too long; `code` is the provider's."""
    return finish(send, _broken(now, code))


def _broken(now: datetime, code: str) -> Evidence:
    detail = "our account at the provider does not work"
    return Evidence(
        DeliveryStatus.FAILED, now, error_code=code, error_detail=detail, error_kind="account_broken"
    )


def finish(send: Send, evidence: Evidence) -> Send:
    """The provider was asked, or need not be: it is not our turn any more."""
    return replace(
        merge(send, evidence),
        state=State.FINISHED,
        record=None,
        next_at=None,
        claim=None,
        claimed_until=None,
    )


def postpone(
    send: Send,
    now: datetime,
    rules: RetryRules,
    *,
    claim: str | None,
    code: str,
    after_seconds: float | None,
    spread: float,
    otherwise: DeliveryStatus = DeliveryStatus.FAILED,
) -> Send:
    """The request made under `claim` may be made again: try later, or at the limit settle for `otherwise`.

    Either the provider certainly did not take it, or it takes a repeated one only once.
    The pause doubles with each attempt, `spread` (0 to 1) shortens it by up to half, and it is never
    shorter than the provider's `after_seconds`.
    """
    pause = min(rules.most, rules.first * 2 ** min(max(send.attempts - 1, 0), 20)) * (1 - spread / 2)
    next_at = now + max(pause, timedelta(seconds=after_seconds or 0))
    detail = f"the provider could not take it within {rules.limit}"
    failure = Evidence(otherwise, now, error_code=code, error_detail=detail)
    return _again(send, now, next_at, rules, claim, failure)


def hold(send: Send, now: datetime, rules: RetryRules, *, claim: str | None, code: str) -> Send:
    """The provider refused our account in the request made under `claim`, and so did not take the message.

    It is due at once, since the account is what waits; such a try is not counted. At the limit it fails.
    """
    held = _again(send, now, now, rules, claim, _broken(now, code))
    put_back = send.state is State.CLAIMED and held.state is State.WAITING
    return replace(held, attempts=send.attempts - 1) if put_back else held


def _again(
    send: Send, now: datetime, next_at: datetime, rules: RetryRules, claim: str | None, failure: Evidence
) -> Send:
    """Offer it again at `next_at`, unless its fate is known or the limit is over: then it is `failure`."""
    if send.state is State.FINISHED:  # taken for lost meanwhile; now its fate is known
        return finish(send, replace(failure, error_detail=None))
    if send.claim != claim:  # put back already
        return send
    if send.status is not DeliveryStatus.QUEUED:  # a receipt says that the provider has it after all
        return finish(send, Evidence(DeliveryStatus.UNKNOWN, now))
    if next_at > send.stored_at + rules.limit:
        return finish(send, failure)
    return replace(send, state=State.WAITING, next_at=next_at, claim=None, claimed_until=None)


def recover(send: Send, now: datetime, *, deduplicates: bool) -> Send:
    """The claim's owner is gone: nobody knows whether the request left."""
    if deduplicates:
        return replace(send, state=State.WAITING, next_at=now, claim=None, claimed_until=None)
    detail = "the sender was interrupted; the provider may have it"
    evidence = Evidence(DeliveryStatus.UNKNOWN, now, error_code="interrupted", error_detail=detail)
    return finish(send, evidence)


def status_record(send: Send, now: datetime) -> MessageStatus:
    """Return the record that tells the present status; the same status has the same id."""
    return MessageStatus(
        id=ids.derive("status", send.message_id, send.status_seq),
        occurred_at=now,
        correlation=send.correlation,
        causation=send.cause,
        customer_id=send.customer_id,
        home=send.home,
        seq=send.status_seq,
        data=StatusData(
            message_id=UUID(send.message_id),
            conversation_id=send.conversation_id,
            status=send.status,
            at=send.status_at or now,
            provider_message_id=send.provider_message_id,
            error_code=send.error_code,
            error_detail=send.error_detail,
            error_kind=send.error_kind,
        ),
    )
