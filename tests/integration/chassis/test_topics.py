"""The topics command, on a Kafka protocol server without topics."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.ports import LOCALHOST, free_port
from deploy.local.servers import kafka_server
from schemas.topics import TOPICS
from services.chassis.settings import Settings
from services.chassis.topics import create_topics, main
from tests.suites.topics import TopicsSuite


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka_server(tmp_path_factory.mktemp("kafka") / "data") as address:
        yield address


@pytest.fixture
def copies() -> int:
    return 1


class TestTopics(TopicsSuite):
    """See tests/suites/topics.py."""


def test_the_command_makes_what_is_missing_and_may_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with kafka_server(tmp_path / "data") as fresh:
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", fresh)
        _check_make_and_check_again(capsys)


def _check_make_and_check_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 1
    assert f"{TOPICS[0].name}: is missing\n" in capsys.readouterr().out

    assert main([]) == 0
    assert capsys.readouterr().out.endswith(f"{len(TOPICS)} topics, {len(TOPICS)} created, 0 differences\n")

    assert (main([]), main(["--check"])) == (0, 0)
    assert capsys.readouterr().out == f"{len(TOPICS)} topics, 0 created, 0 differences\n" * 2


def test_a_difference_is_told_but_fails_only_a_check(
    bootstrap: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    asyncio.run(create_topics(Settings()))
    monkeypatch.setenv("TOPIC_REPLICATION", "3")
    assert (main([]), main(["--check"])) == (0, 1)
    assert capsys.readouterr().out.count("deadletters: replication is 1, not 3\n") == 2


def test_without_kafka_the_command_gives_up_at_its_deadline_and_says_where_it_looked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    monkeypatch.setenv("TOPIC_WAIT_SECONDS", "0.2")
    assert main([]) == 1
    assert capsys.readouterr().err == (
        f"error: Kafka at {address} could not be used within 0.2 s: no broker answers\n"
    )


def test_settings_that_contradict_each_other_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPIC_MIN_INSYNC_REPLICAS", "2")
    assert main([]) == 2
    assert "TOPIC_MIN_INSYNC_REPLICAS must not be above TOPIC_REPLICATION" in capsys.readouterr().err
    assert main(["--chek"]) == 2
