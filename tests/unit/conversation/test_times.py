"""Moments in a query string."""

import pytest

from schemas.envelope import rfc3339
from services.chassis.problems import Problem
from services.conversation.times import moment_of


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31t12:00:00.5z", "2026-01-31T12:00:00.500Z"),
        ("2026-01-31T12:00:00.123456789+01:00", "2026-01-31T11:00:00.123Z"),
        ("2026-01-31T12:00:00 01:00", "2026-01-31T11:00:00.000Z"),
        ("2026-01-31 12:00:00-05:00", "2026-01-31T17:00:00.000Z"),
    ],
)
def test_an_rfc_3339_time_is_read(text: str, moment: str) -> None:
    assert rfc3339(moment_of("at", text)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1767225600",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-01-31T12:00:60Z",
        "0001-01-01T00:00:00+05:00",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
    ],
)
def test_anything_else_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(Problem) as refusal:
        moment_of("at", text)
    assert refusal.value.status == 422
    assert "at: " in str(refusal.value.body["detail"])
