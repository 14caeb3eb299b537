"""What a report says of a figure: ratios by rounds, targets, and the same in JSON and Markdown."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.figures import Figure, Pair, at_least, at_most, compared
from tests.bench.profiles import summary
from tests.bench.rounds import by_turns
from tests.bench.setup import Scale

ROUNDS = [Pair(50, 100), Pair(90, 100), Pair(60, 200)]


def test_the_ratio_is_the_median_of_the_rounds_with_its_range() -> None:
    found = compared("speed", "records/s", ROUNDS, control="bare")
    assert (found.value, found.control and found.control.value) == (60, 100)
    assert found.control
    assert (found.control.ratio, found.control.lowest, found.control.highest) == (0.5, 0.3, 0.9)
    assert found.met is None


@pytest.mark.parametrize(
    ("target", "met"), [(at_least(0.5), True), (at_least(0.51), False), (at_most(0.5), True)]
)
def test_a_target_bounds_the_ratio(target: object, met: object) -> None:
    assert compared("speed", "records/s", ROUNDS, control="bare", target=target).met is met  # type: ignore[arg-type]


def test_without_a_control_a_target_bounds_the_value() -> None:
    assert Figure("growth", 1.2, "times", target=at_most(1.1)).met is False


async def test_subject_and_control_take_turns_and_neither_is_always_first() -> None:
    calls: list[str] = []

    async def subject() -> str:
        calls.append("s")
        return "s"

    async def control() -> str:
        calls.append("c")
        return "c"

    assert await by_turns(3, subject=subject, control=control) == [("s", "c")] * 3
    assert "".join(calls) == "cssccs"


def test_a_report_is_written_as_json_and_as_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missed = compared("speed", "records/s", ROUNDS, control="bare", target=at_least(0.6))
    report.write(tmp_path, [missed], Scale.SMALL, datetime(2026, 3, 1, tzinfo=UTC))
    document = json.loads((tmp_path / "report.json").read_text())
    (figure,) = document["figures"]
    assert (figure["name"], figure["met"], figure["target"]) == ("speed", False, ">= 0.6")
    assert figure["control"]["ratio"] == 0.5
    assert "| 0.50 (0.30 to 0.90) | >= 0.6 | NO |" in (tmp_path / "report.md").read_text()
    assert "speed" in capsys.readouterr().out


def test_a_profile_counts_the_main_threads_samples_alone() -> None:
    stacks = "thread (7);run (a/b/x.py);work (/site-packages/pkg/mod.py) 3\nthread (8);idle (t.py) 9\n"
    lines = summary(stacks, 7).splitlines()
    assert lines[0] == "3 samples"
    assert "100.0%  pkg/mod.py" in lines
    assert not any("idle" in line for line in lines)
