"""The committed JSON Schema and AsyncAPI documents are those of the models."""

import json
from pathlib import Path

import pytest

from schemas import generate
from schemas.generate import HERE, documents, drift, services, write
from schemas.topics import TOPICS


def test_committed_files_are_current() -> None:
    assert drift() == []


def test_drift_names_what_is_missing_changed_or_left_over(tmp_path: Path) -> None:
    assert set(drift(tmp_path)) == set(documents())
    write(tmp_path)
    assert drift(tmp_path) == []
    (tmp_path / "json" / "messages.inbound.json").write_text("{}\n")
    (tmp_path / "asyncapi" / "router.json").unlink()
    (tmp_path / "json" / "messages.gone.json").write_text("{}\n")
    assert [str(path) for path in drift(tmp_path)] == [
        "asyncapi/router.json",
        "json/messages.gone.json",
        "json/messages.inbound.json",
    ]
    write(tmp_path)
    assert drift(tmp_path) == []


def test_check_fails_naming_the_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "drift", lambda: [Path("json/messages.inbound.json")])
    assert generate.main(["--check"]) == 1
    assert "json/messages.inbound.json" in capsys.readouterr().err


@pytest.mark.parametrize("service", services())
def test_a_services_document_has_its_topics_with_key_retention_and_records(service: str) -> None:
    document = json.loads((HERE / "asyncapi" / f"{service}.json").read_text())
    own = {topic.name: topic for topic in TOPICS if service in (*topic.producers, *topic.consumers)}
    assert document["channels"].keys() == own.keys()
    for name, channel in document["channels"].items():
        topic, kafka = own[name], channel["bindings"]["kafka"]
        assert topic.key in channel["description"]
        assert kafka["partitions"] == topic.partitions
        days = kafka["topicConfiguration"]["retention.ms"] / 86_400_000
        assert days == (topic.retention.days if topic.retention else pytest.approx(0, abs=1e-6))
    actions = {(one["action"], one["channel"]["$ref"]) for one in document["operations"].values()}
    assert actions == {
        *(("send", f"#/channels/{name}") for name, topic in own.items() if service in topic.producers),
        *(("receive", f"#/channels/{name}") for name, topic in own.items() if service in topic.consumers),
    }


@pytest.mark.parametrize("service", services())
def test_every_reference_of_a_document_leads_somewhere(service: str) -> None:
    path = HERE / "asyncapi" / f"{service}.json"
    references = list(_references(json.loads(path.read_text())))
    assert references
    for reference in references:
        file, _, pointer = reference.partition("#")
        target = json.loads((path.parent / file).read_text() if file else path.read_text())
        for part in pointer.strip("/").split("/") if pointer else ():
            target = target[part]


def _references(node: object) -> list[str]:
    if isinstance(node, list):
        return [reference for item in node for reference in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [reference for item in node.values() for reference in _references(item)]
