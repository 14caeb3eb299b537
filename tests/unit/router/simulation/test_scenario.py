"""Scenario files: the shipped one is good, and wrong ones are told apart by field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.chassis.settings import LOCAL
from services.router.simulation.scenario import BadScenario, load_scenario
from tests.unit.router.simulation.days import scenario


def test_the_shipped_scenario_is_of_some_50_000_conversations_and_500_agents() -> None:
    shipped = load_scenario(LOCAL / "simulation.yaml")
    assert sum(each.a_day for each in shipped.arrivals) == 50_000
    assert sum(each.agents for each in shipped.teams) == 500


def changed(path: str, value: object) -> dict[str, Any]:
    document: dict[str, Any] = scenario().model_dump(mode="json")
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    part: Any = document
    for parent in parents:
        part = part[parent]
    part[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("arrivals.0.a_day", -1, "arrivals.0.a_day"),
        ("arrivals.0.by_hour", [1, 2], "arrivals.0: by_hour: 24 numbers are needed, there are 2"),
        ("arrivals.0.channel", "fax", "arrivals.0.channel"),
        ("arrivals.0.handling.sigma", 9, "arrivals.0.handling.sigma"),
        ("arrivals.0.needs.0.share", 1.5, "arrivals.0.needs.0.share"),
        ("arrivals.0.inbox", "moon", "arrivals: chat: no team serves chat in Inbox moon"),
        ("arrivals.1.name", "chat", "arrivals: chat is there twice"),
        ("teams.0.agents", 0, "teams.0.agents"),
        ("teams.0.capacity.messaging", -3, "teams.0.capacity.messaging"),
        ("teams.0.shifts.0.start", "25:00", "teams.0.shifts.0.start: is no time of day"),
        ("teams.0.shifts.0.share", 0.5, "teams.0: shifts: the shares are not 1 together"),
        ("teams.1.rejects", 0.9, "teams.1: rejects and ignores are more than 1 together"),
        ("teams.1.wages", 1, "teams.1.wages"),
        ("start", "2026-03-02T00:00:00", "start: has no time zone"),
        ("hours", 30, "hours"),
    ],
)
def test_an_error_names_file_and_field(tmp_path: Path, path: str, value: object, told: str) -> None:
    file = tmp_path / "day.yaml"
    file.write_text(yaml.safe_dump(changed(path, value)))
    with pytest.raises(BadScenario) as error:
        load_scenario(file)
    assert str(error.value).startswith(f"day.yaml: {told}")


@pytest.mark.parametrize("text", ["", "- 1", "arrivals: [", "\xff"])
def test_what_is_no_scenario_at_all_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "day.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadScenario, match=r"day\.yaml"):
        load_scenario(file)
