"""What a watermark says of one message, and of which it says nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ids
from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryEcho
from services.notifier.domain import (
    RANK,
    Evidence,
    Send,
    State,
    Watermark,
    cover,
    finish,
    merge,
    new_send,
    recipient_key,
)
from services.notifier.receipts import as_message, as_report
from tests.unit.notifier.builders import at, echo, receipt, reply

S = DeliveryStatus
CAUSE = ids.derive("test")


def send(status: DeliveryStatus = S.SENT, taken: float = 10) -> Send:
    first = new_send(reply("hello", provider="messenger", to="PSID1"), at(0), b"{}", watermarks=True)
    return finish(replace(first, taken_at=at(taken)), Evidence(status, at(taken)))


def mark(status: DeliveryStatus, up_to: float) -> Watermark:
    return Watermark(status, at(up_to), at(up_to + 1), CAUSE)


@pytest.mark.parametrize(
    ("taken", "up_to", "expected"), [(10, 10, S.READ), (10, 11, S.READ), (10, 9.999, S.SENT)]
)
def test_it_covers_what_was_taken_at_its_moment_or_before(
    taken: float, up_to: float, expected: DeliveryStatus
) -> None:
    assert cover(send(taken=taken), [mark(S.READ, up_to)]).status is expected


@pytest.mark.parametrize("status", [S.QUEUED, S.UNKNOWN, S.FAILED, S.READ])
def test_only_what_the_provider_took_is_raised(status: DeliveryStatus) -> None:
    before = send(status)
    assert cover(before, [mark(S.READ, 100)]) == before


def test_a_request_that_is_out_is_not_judged() -> None:
    out = replace(send(), state=State.CLAIMED)
    assert cover(out, [mark(S.READ, 100)]) == out


def test_the_highest_of_several_is_one_change() -> None:
    covered = cover(send(), [mark(S.DELIVERED, 100), mark(S.READ, 50)])
    assert (covered.status, covered.status_at, covered.status_seq, covered.cause) == (
        S.READ,
        at(51),
        2,
        CAUSE,
    )


marks = st.builds(mark, st.sampled_from([S.DELIVERED, S.READ]), st.integers(0, 20))


@given(st.lists(marks, max_size=6), st.integers(0, 20))
def test_one_by_one_or_at_once_the_status_is_the_same_and_never_falls(
    told: list[Watermark], taken: int
) -> None:
    single = send(taken=taken)
    for each in told:
        after = cover(single, [each])
        assert RANK[after.status] >= RANK[single.status]
        single = after
    assert single.status is cover(send(taken=taken), told).status


def test_the_providers_own_time_takes_the_place_of_ours() -> None:
    echoed = merge(send(taken=10), Evidence(S.SENT, at(12), taken_at=at(12)))
    assert echoed.taken_at == at(12)
    assert cover(echoed, [mark(S.READ, 11)]).status is S.SENT


def test_a_provider_without_watermarks_has_no_recipients() -> None:
    plain = new_send(reply("hello"), at(0), b"{}")
    assert plain.recipient is None
    assert merge(plain, Evidence(S.SENT, at(1), taken_at=at(1))).taken_at is None


def test_the_name_of_a_recipient_does_not_tell_the_address_and_is_the_accounts_own() -> None:
    names = {recipient_key("messenger", account, who) for account in ("a", "b") for who in ("PSID1", "PSID2")}
    assert len(names) == 4
    assert not any("PSID" in name for name in names)


def test_an_echo_is_a_receipt_if_it_is_ours_and_a_message_if_not() -> None:
    heard: DeliveryEcho = echo("aWdf1")
    report, message = as_report(heard), as_message(heard)
    assert (report.id, report.data.status, report.data.at) == (heard.id, S.SENT, heard.data.sent_at)
    assert (message.id, message.data, message.personal) == (heard.id, heard.data, heard.personal)
    other = receipt("x", S.READ)
    assert as_report(other) is other
