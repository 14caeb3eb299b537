"""What becomes of events and endpoints, whatever endpoints answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import EVENTS
from schemas.hooks import PauseReason
from services.notifier.settings import NotifierSettings
from services.notifier.webhooks import rules
from services.notifier.webhooks.compose import retry_rules
from services.notifier.webhooks.rules import (
    Answer,
    Endpoint,
    EndpointState,
    Post,
    PostState,
    Reading,
    Secret,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
RULES = retry_rules(NotifierSettings())
POST = Post("wh_1", "e1", "message.added", NOW, ("conversations.events", 3), 7, "c1", b"{}", next_at=NOW)
ENDPOINT = Endpoint("wh_1", "https://hooks.example", ("*",), (Secret("whsec_AAAA"),), NOW, NOW)
PLACE = ("conversations.events", 3)
answers = st.builds(
    Answer,
    st.none() | st.integers(100, 599),
    st.none() | st.just("refused"),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=40)),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  (hypothesis's form)
offsets = st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)), st.integers(0, 50))


def attempt(post: Post, endpoint: Endpoint, answer: Answer, now: datetime, spread: float = 0.0) -> Post:
    return rules.after_attempt(post, endpoint, answer, RULES, began=now, now=now, spread=spread)


# --- attempts ------------------------------------------------------------------------------------


def test_an_event_is_tried_by_the_schedule_for_three_days() -> None:
    post, now, gaps = POST, NOW, []
    for _ in RULES.schedule:
        post = attempt(post, ENDPOINT, Answer(500), now)
        assert post.next_at is not None
        gaps.append((post.next_at - now).total_seconds())
        now = post.next_at
    assert gaps == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert now - NOW == sum(RULES.schedule, timedelta())


@given(
    answers,
    st.integers(0, 50),
    st.none() | moments,
    st.none() | moments,
    moments,
    st.floats(0, 1),
)
def test_an_attempt_has_one_of_three_ends(
    answer: Answer,
    attempts: int,
    first: datetime | None,
    success: datetime | None,
    now: datetime,
    spread: float,
) -> None:
    before = replace(POST, attempts=attempts, first_at=first, state=PostState.CLAIMED, claim="c")
    after = attempt(before, replace(ENDPOINT, last_success_at=success), answer, now, spread)
    assert after.attempts == attempts + 1
    assert after.claim is None
    match after.state:
        case PostState.DELIVERED:
            assert answer.accepted
        case PostState.GIVEN_UP:
            assert not answer.accepted
            assert success is not None
            assert success > (first or now)
        case state:
            assert state is PostState.WAITING
            assert after.next_at is not None
            assert now <= after.next_at <= now + max(RULES.schedule)
            assert answer.gone or after.next_at >= now + min(
                answer.after or timedelta(0), max(RULES.schedule)
            )
    assert (after.finished_at is None) == (after.state is PostState.WAITING)


def test_an_event_is_given_up_only_while_the_endpoint_takes_others() -> None:
    late = NOW + RULES.give_up_after
    old = replace(POST, attempts=9, first_at=NOW)
    assert attempt(old, ENDPOINT, Answer(500), late).state is PostState.WAITING
    before = replace(ENDPOINT, last_success_at=NOW - timedelta(days=1))
    assert attempt(old, before, Answer(500), late).state is PostState.WAITING
    works = replace(ENDPOINT, last_success_at=NOW + timedelta(hours=1))
    assert attempt(old, works, Answer(500), late).state is PostState.GIVEN_UP


@given(st.floats(0, 1))
def test_jitter_shortens_a_pause_by_at_most_a_fifth(spread: float) -> None:
    after = attempt(replace(POST, attempts=3), ENDPOINT, Answer(500), NOW, spread)
    assert after.next_at is not None
    assert timedelta(seconds=5760) <= after.next_at - NOW <= timedelta(seconds=7200)


# --- endpoints -----------------------------------------------------------------------------------


def test_an_endpoint_is_paused_after_three_days_of_nothing_but_failures() -> None:
    failing = replace(ENDPOINT, failures=9, failing_since=NOW)
    almost, then = NOW + timedelta(days=2.99), NOW + timedelta(days=3)
    assert rules.pause_reason(failing, Answer(500), almost, RULES) is None
    assert rules.pause_reason(failing, Answer(500), then, RULES) is PauseReason.FAILING
    assert rules.pause_reason(replace(failing, failures=7), Answer(500), then, RULES) is None
    assert rules.pause_reason(ENDPOINT, Answer(410), NOW, RULES) is PauseReason.GONE


def test_a_dead_endpoint_is_paused_before_the_schedule_ends() -> None:
    endpoint, post, now = ENDPOINT, POST, NOW
    for _ in range(20):
        post = attempt(post, endpoint, Answer(error="timeout"), now)
        endpoint = replace(
            endpoint, failures=endpoint.failures + 1, failing_since=endpoint.failing_since or now
        )
        if rules.pause_reason(endpoint, Answer(error="timeout"), now, RULES):
            break
        assert post.next_at is not None
        now = post.next_at
    assert post.state is PostState.WAITING
    assert endpoint.failures == 10
    assert now - NOW < timedelta(days=3.5)


@given(st.integers(1, 10_000), answers)
def test_a_rest_is_bounded(failures: int, answer: Answer) -> None:
    pause = rules.rest(failures, answer)
    assert timedelta(0) <= pause <= timedelta(hours=1)
    if failures < rules.TRIPPED and answer.status not in {429, 503}:
        assert pause == timedelta(0)


def test_a_busy_endpoint_rests_as_long_as_it_asks() -> None:
    assert rules.rest(1, Answer(429, after=timedelta(seconds=90))) == timedelta(seconds=90)
    assert rules.rest(1, Answer(500, after=timedelta(seconds=90))) == timedelta(0)
    resting = replace(ENDPOINT, rest_until=NOW)
    assert not resting.may_post(NOW - timedelta(seconds=1))
    assert resting.may_post(NOW)
    assert (ENDPOINT.at_once(4), replace(ENDPOINT, failures=1).at_once(4)) == (4, 1)


# --- rotation ------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12))
def test_both_secrets_sign_for_the_grace_period_and_no_longer(hours: list[int]) -> None:
    grace, secrets, now = timedelta(hours=24), ENDPOINT.secrets, NOW
    for number, pause in enumerate(hours):
        now += timedelta(hours=pause)
        former = replace(ENDPOINT, secrets=secrets).valid_secrets(now)
        secrets = rules.rotated(secrets, f"s{number}", now, grace)
        endpoint = replace(ENDPOINT, secrets=secrets)
        assert endpoint.valid_secrets(now)[:2] == [f"s{number}", former[0]]
        assert len(secrets) <= 5
        assert endpoint.valid_secrets(now + grace) == [f"s{number}"]


# --- pausing and resuming --------------------------------------------------------------------------


@given(offsets, offsets, st.none() | offsets, st.none() | moments, st.none() | moments)
def test_a_resumed_endpoint_reads_all_it_missed(
    missed: dict[tuple[str, int], int],
    before: dict[tuple[str, int], int],
    positions: dict[tuple[str, int], int] | None,
    first: datetime | None,
    since: datetime | None,
) -> None:
    unread = Reading("r1", first, before, positions) if before or first else None
    stopped = replace(
        rules.paused(ENDPOINT, PauseReason.FAILING, NOW), missed=missed, reading=unread, failures=9
    )
    endpoint = rules.resumed(stopped, "r2", since)
    assert (endpoint.state, endpoint.failures, endpoint.missed) == (EndpointState.ACTIVE, 0, {})
    reading = endpoint.reading
    if not (missed or unread or since):
        assert reading is None
        return
    assert reading is not None
    for place, offset in missed.items():
        assert reading.wants(place, offset, NOW)
        assert reading.positions is None or reading.positions[place] <= offset
    for moment in filter(None, (first, since)):
        assert reading.again(moment)


def test_what_was_not_missed_is_not_read_again() -> None:
    reading = Reading("r", missed={PLACE: 5})
    assert [reading.wants(PLACE, offset, NOW) for offset in (4, 5, 6)] == [False, True, True]
    assert not reading.wants(("conversations.events", 4), 9, NOW)
    assert not reading.again(NOW)


# --- events --------------------------------------------------------------------------------------


def test_patterns_cover_what_they_say() -> None:
    assert rules.matches("*", "message.added")
    assert rules.matches("message.*", "message.added")
    assert rules.matches("message.added", "message.added")
    assert not rules.matches("message.*", "messages.added")
    assert not rules.matches("message", "message.added")


@pytest.mark.parametrize("pattern", ["*", "conversation.*", "customer.*", *EVENTS])
def test_patterns_of_the_catalogue_are_known(pattern: str) -> None:
    assert not rules.unknown_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["", "message", "message.", "messag*", "*.added", "tickets.*", "Message.added", "**", ".*", "a.b"],
)
def test_other_patterns_are_not(pattern: str) -> None:
    assert rules.unknown_pattern(pattern)


@given(st.text(max_size=30))
def test_any_text_is_judged(pattern: str) -> None:
    if not rules.unknown_pattern(pattern):
        assert any(rules.matches(pattern, event) for event in EVENTS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook_pause_seconds": 300_000.0},
        {"webhook_lease_seconds": 15.0},
        {"webhook_schedule_seconds": (5, -1)},
        {"webhook_schedule_seconds": ()},
    ],
)
def test_settings_by_which_something_would_be_lost_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"WEBHOOK|webhook_schedule"):
        NotifierSettings(**wrong)  # type: ignore[arg-type]
