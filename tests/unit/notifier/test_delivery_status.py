"""What becomes of a message: the same from the same words in any order, and never less than it was."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import DeliveryStatus
from services.notifier.domain import (
    Evidence,
    RetryRules,
    Send,
    State,
    finish,
    merge,
    new_send,
    postpone,
    rank,
    recover,
    status_record,
)
from tests.unit.notifier.builders import at, reply

S = DeliveryStatus
words = st.builds(Evidence, status=st.sampled_from(S), at=st.integers(0, 50).map(at)) | st.builds(
    Evidence,
    status=st.just(S.FAILED),
    at=st.integers(0, 50).map(at),
    error_code=st.sampled_from(["5.1.1", "30003"]),
    failed_part=st.sampled_from([None, "1 of 2"]),
)


def waiting() -> Send:
    return new_send(reply("hello"), at(0), b"{}")


def claimed(attempts: int = 1) -> Send:
    return replace(waiting(), state=State.CLAIMED, claim="mine", claimed_until=at(60), attempts=attempts)


def after(*evidence: Evidence) -> Send:
    send = waiting()
    for word in evidence:
        send = merge(send, word)
    return send


def word(status: DeliveryStatus, seconds: float = 1) -> Evidence:
    return Evidence(status, at(seconds))


@given(st.lists(words, max_size=8).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said))))
def test_the_order_in_which_receipts_come_does_not_matter(
    heard: tuple[list[Evidence], list[Evidence]],
) -> None:
    one, other = (after(*said) for said in heard)
    assert (one.status, one.status_at) == (other.status, other.status_at)


@given(st.lists(words, max_size=8))
def test_a_status_never_regresses_and_each_change_has_the_next_number(said: list[Evidence]) -> None:
    send = waiting()
    for evidence in said:
        then = merge(send, evidence)
        assert rank(then.status, then.error_code, then.failed_part) >= rank(
            send.status, send.error_code, send.failed_part
        )
        assert then.status_seq - send.status_seq == (then.status is not send.status)
        send = then


@given(st.lists(words, max_size=6))
def test_a_repeated_receipt_changes_nothing(said: list[Evidence]) -> None:
    assert after(*said, *said) == after(*said)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ((S.SENT, S.DELIVERED, S.READ), S.READ),
        ((S.READ, S.DELIVERED), S.READ),
        ((S.SENT, S.FAILED), S.FAILED),
        ((S.FAILED, S.SENT), S.FAILED),
        ((S.DELIVERED, S.FAILED), S.DELIVERED),
        ((S.FAILED, S.DELIVERED), S.DELIVERED),
        ((S.UNKNOWN, S.SENT), S.SENT),
        ((S.UNKNOWN, S.FAILED), S.FAILED),
        ((S.UNKNOWN, S.READ), S.READ),
        ((S.SENT, S.UNKNOWN), S.SENT),
        ((S.UNKNOWN, S.QUEUED), S.UNKNOWN),
    ],
)
def test_the_word_that_tells_most_stands(said: tuple[DeliveryStatus, ...], status: DeliveryStatus) -> None:
    assert after(*(word(each, seconds) for seconds, each in enumerate(said))).status is status


def test_an_error_goes_when_a_delivery_corrects_it() -> None:
    failed = after(Evidence(S.FAILED, at(1), error_code="30008", error_detail="?"))
    corrected = merge(failed, word(S.DELIVERED, 2))
    assert (failed.error_code, corrected.error_code, corrected.error_detail) == ("30008", None, None)


def test_what_is_finished_keeps_no_message_and_no_claim() -> None:
    send = finish(claimed(), Evidence(S.SENT, at(1), provider_message_id="SM1"))
    assert (send.state, send.record, send.claim, send.next_at) == (State.FINISHED, None, None, None)
    assert send.provider_key == "twilio-sms/demo/SM1"


RULES = RetryRules(timedelta(seconds=1), timedelta(seconds=60), timedelta(hours=24))


def put_back(
    send: Send, seconds: float = 1, *, after_seconds: float | None = None, otherwise: S = S.FAILED
) -> Send:
    return postpone(
        send,
        at(seconds),
        RULES,
        claim="mine",
        code="503",
        after_seconds=after_seconds,
        spread=0.0,
        otherwise=otherwise,
    )


def test_the_pause_doubles_up_to_the_most() -> None:
    pauses = [put_back(claimed(attempts), 0).next_at for attempts in range(1, 9)]
    assert pauses == [at(seconds) for seconds in (1, 2, 4, 8, 16, 32, 60, 60)]


def test_the_pause_is_never_shorter_than_the_provider_asks() -> None:
    assert put_back(claimed(), 0, after_seconds=90).next_at == at(90)


def test_what_no_provider_takes_in_time_has_failed_with_the_last_code() -> None:
    send = put_back(claimed(), 24 * 3600)
    assert (send.state, send.status, send.error_code) == (State.FINISHED, S.FAILED, "503")


def test_what_was_never_answered_in_time_is_unknown() -> None:
    assert put_back(claimed(), otherwise=S.UNKNOWN).state is State.WAITING
    send = put_back(claimed(), 24 * 3600, otherwise=S.UNKNOWN)
    assert (send.state, send.status) == (State.FINISHED, S.UNKNOWN)


def test_a_retry_is_taken_in_once_even_when_its_saving_is_repeated() -> None:
    once = put_back(claimed())
    assert put_back(once, 2) == once
    reclaimed = replace(once, state=State.CLAIMED, claim="another")
    assert put_back(reclaimed, 2) == reclaimed


def test_a_retry_of_what_was_taken_for_lost_is_a_failure_and_never_sent_again() -> None:
    send = put_back(recover(claimed(), at(61), deduplicates=False), 62)
    assert (send.state, send.status) == (State.FINISHED, S.FAILED)


def test_a_receipt_that_came_before_a_retry_shows_that_the_provider_has_it() -> None:
    send = put_back(merge(claimed(), word(S.SENT)), 2)
    assert (send.state, send.status) == (State.FINISHED, S.SENT)


def test_an_interrupted_request_is_unknown_unless_the_provider_takes_it_once_only() -> None:
    assert recover(claimed(), at(61), deduplicates=False).status is S.UNKNOWN
    again = recover(claimed(), at(61), deduplicates=True)
    assert (again.state, again.status, again.next_at) == (State.WAITING, S.QUEUED, at(61))


def test_the_record_of_a_status_has_the_same_id_each_time() -> None:
    send = after(word(S.SENT), word(S.DELIVERED, 2))
    one, other = status_record(send, at(3)), status_record(send, at(9))
    assert one.id == other.id != status_record(after(word(S.SENT)), at(3)).id
    assert (one.seq, one.data.status, one.data.at) == (2, S.DELIVERED, at(2))


@pytest.mark.parametrize("first", [S.SENT, S.DELIVERED])
def test_a_mail_that_comes_back_was_not_delivered_whatever_was_said_before(first: DeliveryStatus) -> None:
    bounce = Evidence(S.FAILED, at(2), error_code="5.1.1")
    assert after(word(first), bounce).error_code == "5.1.1"
    assert after(bounce, word(first)).status is S.FAILED
    assert after(bounce, word(S.READ)).status is S.READ


def test_another_failure_does_not_undo_a_delivery() -> None:
    assert after(word(S.DELIVERED), Evidence(S.FAILED, at(2), error_code="30003")).status is S.DELIVERED
