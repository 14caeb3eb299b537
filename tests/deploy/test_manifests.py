"""Manifests that follow from other files follow them still."""

import shutil
from pathlib import Path

import pytest

from deploy.k8s.generate import HERE, documents, drift, kafka_topic, main, prometheus_rule
from schemas.topics import TOPICS


def test_what_is_committed_is_what_its_sources_say() -> None:
    assert drift() == []


@pytest.mark.parametrize("path", documents())
def test_a_file_that_is_changed_by_hand_or_lost_is_found(tmp_path: Path, path: Path) -> None:
    shutil.copytree(HERE / "components", tmp_path / "components")
    changed = tmp_path / path
    changed.write_text(changed.read_text().replace("name: ", "name: x-", 1))
    assert drift(tmp_path) == [path]
    changed.unlink()
    assert drift(tmp_path) == [path]


def test_every_topic_and_every_group_of_rules_is_in_them(tmp_path: Path) -> None:
    assert [kafka_topic(topic)["metadata"]["name"] for topic in TOPICS] == [topic.name for topic in TOPICS]
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(f"groups: [{{name: {name}, rules: []}}]")
    made = prometheus_rule(list(tmp_path.glob("*.yaml")))
    assert [group["name"] for group in made["spec"]["groups"]] == ["a", "b"]


def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chek"]) == 2
    assert "usage" in capsys.readouterr().err
