"""The two commands as an operator runs them."""

import json
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from rich.console import Console

from schemas.routing import RoutingRequest
from services.router import replay, simulate
from services.router.journal import Entry
from services.router.simulation import journals
from tests.unit.router.commands import Desk, request
from tests.unit.router.simulation.days import scenario
from tests.unit.router.simulation.test_recording import of_desk

POLICY = "defaults:\n  choice: longest_idle\n"


def run(command: ModuleType, *arguments: object) -> tuple[int, str]:
    shown = StringIO()
    code = command.main([str(each) for each in arguments], Console(file=shown, width=160))
    return code, shown.getvalue()


@pytest.fixture
def day(tmp_path: Path) -> Path:
    file = tmp_path / "day.yaml"
    file.write_text(yaml.safe_dump(scenario().model_dump(mode="json")))
    return file


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "idle.yaml"
    file.write_text(POLICY)
    return file


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    desk = Desk("ana", capacity={"messaging": 1})
    for number in range(5):
        desk.send(request(f"c{number}", requested_at=desk.now))
        desk.wait(20)
    file = tmp_path / "journal.jsonl"
    journals.write(file, of_desk(desk))
    return file


def test_a_day_is_simulated_under_each_policy(tmp_path: Path, day: Path, policy: Path) -> None:
    figures, page = tmp_path / "f.json", tmp_path / "p.html"
    code, shown = run(
        simulate, "--scenario", day, "--policy", policy, "--policy", policy, "--json", figures, "--html", page
    )
    assert code == 0
    assert "idle (1)" in shown
    document = json.loads(figures.read_text())
    assert [each["name"] for each in document["policies"]] == ["idle (1)", "idle (2)"]
    first, second = document["policies"]
    assert {**first, "name": ""} == {**second, "name": ""}
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_seed_decides_the_day(tmp_path: Path, day: Path, policy: Path) -> None:
    told = []
    for seed in (1, 1, 2):
        file = tmp_path / "f.json"
        run(simulate, "--scenario", day, "--policy", policy, "--seed", seed, "--json", file)
        told.append(json.loads(file.read_text())["policies"])
    assert told[0] == told[1] != told[2]


def test_wrong_files_and_options_are_told(
    tmp_path: Path, day: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("defaults:\n  choice: fastest\n")
    assert run(simulate, "--scenario", day, "--policy", wrong)[0] == 2
    assert "wrong.yaml, line 2: defaults.choice" in capsys.readouterr().err
    assert run(simulate, "--scenario", day, "--policy", tmp_path / "none.yaml")[0] == 2
    assert "none.yaml" in capsys.readouterr().err
    assert run(simulate, "--scenario", wrong)[0] == 2
    assert "wrong.yaml: " in capsys.readouterr().err
    for target in ("fax=3", "voice=x", "voice=-1"):
        with pytest.raises(SystemExit) as error:
            run(simulate, "--target", target)
        assert error.value.code == 2


def test_a_recorded_day_is_replayed_beside_itself(tmp_path: Path, journal: Path, policy: Path) -> None:
    file = tmp_path / "f.json"
    code, shown = run(
        replay, "--input", journal, "--policy", policy, "--json", file, "--target", "messaging=30"
    )
    assert code == 0
    assert "as recorded" in shown
    assert "idle" in shown
    recorded, _ = json.loads(file.read_text())["policies"]
    assert recorded["all"]["asked"] == 5
    assert recorded["queues"][0]["target"] == 30


def test_a_journal_is_verified_and_exported(tmp_path: Path, journal: Path) -> None:
    code, shown = run(replay, "--input", journal, "--verify")
    assert (code, "0 decide otherwise" in shown) == (0, True)
    copy = tmp_path / "copy.jsonl"
    assert run(replay, "--input", journal, "--export", copy)[0] == 0
    assert copy.read_text() == journal.read_text()


def test_a_request_lost_from_a_journal_is_noticed(tmp_path: Path, journal: Path) -> None:
    entries = list(journals.read(journal))
    for index, entry in enumerate(entries):
        if RoutingRequest.model_fields["type"].default in entry.given[0].value:
            entries[index] = Entry(entry.pool, entry.n, entry.owner, entry.at, (), entry.outgoing)
            break
    file = tmp_path / "less.jsonl"
    journals.write(file, entries)
    code, shown = run(replay, "--input", file, "--verify")
    assert code == 1
    assert "entries " in shown


def test_no_day_is_told(tmp_path: Path, journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(replay, "--input", journal, "--from", "2030-01-01T00:00:00Z")[0] == 2
    assert "nothing happened" in capsys.readouterr().err
    assert run(replay, "--input", tmp_path / "none.jsonl")[0] == 2
    assert run(replay, "--input", journal, "--to", "2020-01-01T00:00:00Z")[0] == 2
    assert "no entries" in capsys.readouterr().err
