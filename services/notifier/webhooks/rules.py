"""What becomes of an event on its way to an endpoint, and of the endpoint: pure rules on frozen values.

A *post* is one event on its way to one endpoint. Posts of one thread to one endpoint are its lane: they go
out one after another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from schemas.catalogue import EVENTS
from schemas.hooks import PauseReason

CLOCKS_DIFFER = timedelta(minutes=1)
"""By how much the clocks of two replicas may differ."""
TRIPPED = 3
"""Failures in a row after which an endpoint rests between requests."""
_MOST_REST = timedelta(minutes=5)
_MOST_SECRETS = 5
_GONE = 410
_BUSY = (429, 503)
Place = tuple[str, int]
"""Topic and partition."""


class PostState(StrEnum):
    """Whose turn it is: ours until it was delivered or given up."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class EndpointState(StrEnum):
    """Whether it gets anything."""

    ACTIVE = "active"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How long and how often an endpoint is tried."""

    schedule: tuple[timedelta, ...]
    """The pause after each failed attempt; the last one for all later."""
    give_up_after: timedelta
    """From the first attempt of an event, while the endpoint takes others."""
    pause_after: timedelta
    """Of nothing but failures; not above `give_up_after`, so that nothing is given up by a dead endpoint."""
    pause_failures: int
    """And after at least so many of them."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One signing secret; `until` is None for the present one."""

    value: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A stretch of the log an endpoint still has to get before anything new: a replay, or what it missed."""

    id: str
    since: datetime | None = None
    """A replay: events from then on are sent, again where they were sent before."""
    missed: Mapping[Place, int] = field(default_factory=dict)
    """First offset of each partition that was passed over while it was paused."""
    positions: Mapping[Place, int] | None = None
    """The next offset to read of each partition; None until reading has begun."""

    def wants(self, place: Place, offset: int, at: datetime) -> bool:
        """Tell whether a record of the stretch is to be sent."""
        return self.again(at) or offset >= self.missed.get(place, offset + 1)

    def again(self, at: datetime) -> bool:
        """Tell whether an event of then is sent though it was sent before."""
        return self.since is not None and at >= self.since


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscription, and how its endpoint does."""

    id: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[Secret, ...]
    created_at: datetime
    updated_at: datetime
    state: EndpointState = EndpointState.ACTIVE
    reason: PauseReason | None = None
    paused_at: datetime | None = None
    failures: int = 0
    """Failed requests since the last success."""
    failing_since: datetime | None = None
    rest_until: datetime | None = None
    last_success_at: datetime | None = None
    """As of the last success that ended failures."""
    last_status: int | None = None
    last_error: str | None = None
    missed: Mapping[Place, int] = field(default_factory=dict)
    reading: Reading | None = None
    version: int = 0

    def wants(self, event: str) -> bool:
        """Tell whether it subscribes to events of this type."""
        return any(matches(pattern, event) for pattern in self.events)

    def may_post(self, now: datetime) -> bool:
        """Tell whether a request may be made now."""
        rests = self.rest_until is not None and now < self.rest_until
        return self.state is EndpointState.ACTIVE and self.reading is None and not rests

    def at_once(self, most: int) -> int:
        """Return how many requests at a time it may have: one that fails is asked one by one."""
        return 1 if self.failures else most

    def valid_secrets(self, now: datetime) -> list[str]:
        """Return the secrets to sign with, the newest first."""
        return [secret.value for secret in self.secrets if secret.until is None or now < secret.until]


@dataclass(frozen=True, slots=True)
class Post:
    """One event on its way to one endpoint."""

    endpoint: str
    event: str
    """The event's id, the same on every attempt."""
    type: str
    at: datetime
    place: Place
    offset: int
    customer_id: str | None
    body: bytes | None = None
    """Dropped once delivered or given up."""
    state: PostState = PostState.WAITING
    next_at: datetime | None = None
    attempts: int = 0
    first_at: datetime | None = None
    claim: str | None = None
    last_status: int | None = None
    last_error: str | None = None
    finished_at: datetime | None = None

    @property
    def id(self) -> str:
        """The same for the same event and endpoint."""
        return f"{self.endpoint}/{self.event}"

    @property
    def lane(self) -> str:
        """Posts of one lane go out one after another, in the order of the log."""
        topic, partition = self.place
        return f"{self.endpoint}/{topic}/{partition}/{self.customer_id or ''}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said, or why it said nothing."""

    status: int | None = None
    error: str | None = None
    after: timedelta | None = None
    """Of Retry-After."""

    @property
    def accepted(self) -> bool:
        """Only a 2xx is."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  (HTTP's successes)

    @property
    def gone(self) -> bool:
        """The endpoint wants nothing more."""
        return self.status == _GONE


# --- events ---------------------------------------------------------------------------------------


def matches(pattern: str, event: str) -> bool:
    """Tell whether `pattern` (`*`, `conversation.*`, or a type) covers events of the type `event`."""
    if pattern.endswith("*"):
        return event.startswith(pattern[:-1])
    return pattern == event


def unknown_pattern(pattern: str) -> bool:
    """Tell whether `pattern` covers nothing of the catalogue, or has its star where none may be."""
    form = pattern == "*" or pattern.endswith(".*") or "*" not in pattern
    return not form or not any(matches(pattern, event) for event in EVENTS)


# --- attempts -------------------------------------------------------------------------------------


def tried(post: Post, answer: Answer, now: datetime, first_at: datetime) -> Post:
    """Count an attempt."""
    return replace(
        post,
        attempts=post.attempts + 1,
        first_at=post.first_at or first_at,
        claim=None,
        last_status=answer.status,
        last_error=answer.error,
        state=PostState.DELIVERED if answer.accepted else PostState.WAITING,
        next_at=None if answer.accepted else now,
        finished_at=now if answer.accepted else None,
    )


def after_attempt(
    post: Post,
    endpoint: Endpoint,
    answer: Answer,
    rules: RetryRules,
    *,
    began: datetime,
    now: datetime,
    spread: float,
) -> Post:
    """Return the post after an attempt that began at `began`: delivered, waiting, or given up.

    It is given up only by an endpoint that took something since the first attempt. `spread` (0 to 1)
    shortens a pause by up to a fifth; it is never shorter than Retry-After, nor that longer than the
    schedule's longest.
    """
    post = tried(post, answer, now, began)
    if answer.accepted or answer.gone:
        return post
    pause = rules.schedule[min(post.attempts, len(rules.schedule)) - 1] * (1 - spread / 5)
    next_at = now + max(pause, min(answer.after or timedelta(0), max(rules.schedule)))
    first = post.first_at or began
    works = endpoint.last_success_at is not None and endpoint.last_success_at > first
    if works and next_at > first + rules.give_up_after:
        return replace(post, state=PostState.GIVEN_UP, next_at=None, finished_at=now)
    return replace(post, next_at=next_at)


def rest(failures: int, answer: Answer) -> timedelta:
    """Return for how long an endpoint that failed so often in a row is left alone."""
    asked = answer.after if answer.after and answer.status in _BUSY else timedelta(0)
    own = timedelta(seconds=2 ** min(failures - TRIPPED, 20)) if failures >= TRIPPED else timedelta(0)
    return max(min(own, _MOST_REST), min(asked, timedelta(hours=1)))


def pause_reason(endpoint: Endpoint, answer: Answer, now: datetime, rules: RetryRules) -> PauseReason | None:
    """Return why an endpoint must be paused, given what it has counted up to now; None: it need not."""
    if answer.gone:
        return PauseReason.GONE
    since = endpoint.failing_since
    if since is None or endpoint.failures < rules.pause_failures or now - since < rules.pause_after:
        return None
    return PauseReason.FAILING


# --- changes of a subscription ---------------------------------------------------------------------


def rotated(secrets: Sequence[Secret], fresh: str, now: datetime, grace: timedelta) -> tuple[Secret, ...]:
    """Return the secrets with a fresh one; the former stay valid for `grace`, unless they end before."""
    former = [
        replace(secret, until=min(secret.until or now + grace, now + grace))
        for secret in secrets
        if secret.until is None or now < secret.until
    ]
    return (Secret(fresh), *former[: _MOST_SECRETS - 1])


def resumed(endpoint: Endpoint, name: str, since: datetime | None = None) -> Endpoint:
    """Return the endpoint active, its failures forgotten, with what it must get first.

    That is what was passed over while it was paused, and with `since` all from then on, under `name`.
    """
    before = endpoint.reading or Reading(name)
    wanted = [moment for moment in (since, before.since) if moment is not None]
    begun = before.positions is not None and since is None
    reading = Reading(
        name if since else before.id,
        min(wanted, default=None),
        earliest(before.missed, endpoint.missed),
        # what was read of it stays read; what was missed meanwhile comes on top
        earliest(before.positions or {}, endpoint.missed) if begun else None,
    )
    return replace(
        endpoint,
        state=EndpointState.ACTIVE,
        reason=None,
        paused_at=None,
        failures=0,
        failing_since=None,
        rest_until=None,
        missed={},
        reading=reading if reading.missed or reading.since else None,
    )


def paused(endpoint: Endpoint, reason: PauseReason, now: datetime) -> Endpoint:
    """Return the endpoint paused."""
    return replace(endpoint, state=EndpointState.PAUSED, reason=reason, paused_at=now)


def earliest(*places: Mapping[Place, int]) -> dict[Place, int]:
    """Return the lowest offset of each partition that any of `places` has."""
    found: dict[Place, int] = {}
    for each in places:
        for place, offset in each.items():
            found[place] = min(offset, found.get(place, offset))
    return found
