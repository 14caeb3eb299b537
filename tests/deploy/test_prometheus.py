"""Alerts fire on their case and are silent otherwise, and each says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.up import SERVICES
from tests.deploy.observability import (
    PROMETHEUS,
    ROOT,
    RULE_FILES,
    RULE_TESTS,
    TARGET_LABELS,
    Query,
    alerts,
    declared,
    firing,
    metrics_in,
    rule_cases,
    rule_queries,
    series_labels,
    series_name,
    unknown_metrics,
)
from tests.servers.prometheus import promtool

ALERTS = alerts()
SEVERITIES = {"critical", "warning", "info"}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def test_rules_and_configuration_are_as_prometheus_wants_them() -> None:
    for check in (
        promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES)),
        promtool("check", "config", "--lint=all", str(PROMETHEUS / "prometheus.yml")),
    ):
        assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_unit_tests_say(path: Path) -> None:
    tested = promtool("test", "rules", str(path))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_rule_that_is_wrong_fails_its_unit_test(tmp_path: Path) -> None:
    for name in ("rules", "tests"):
        (tmp_path / name).mkdir()
    for path in (*RULE_FILES, *RULE_TESTS):
        wrong = path.read_text().replace("parley_consumer_halted == 1", "parley_consumer_halted == 2")
        (tmp_path / path.parent.name / path.name).write_text(wrong)
    tested = promtool("test", "rules", str(tmp_path / "tests" / "delivery.yaml"))
    assert tested.returncode != 0
    assert "ParleyConsumerHalted" in tested.stdout + tested.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_case_where_it_fires_and_one_where_it_is_silent(name: str) -> None:
    fires = [labels for case in rule_cases() for labels in firing(case) if labels["alertname"] == name]
    silent = [
        test
        for case in rule_cases()
        for test in case.get("alert_rule_test", ())
        if test["alertname"] == name and not test.get("exp_alerts")
    ]
    assert fires, f"no unit test lets {name} fire"
    assert silent, f"no unit test has {name} silent"
    quoted = set(re.findall(r"\$labels\.(\w+)", str(ALERTS[name]["annotations"])))
    for labels in fires:
        assert quoted - TARGET_LABELS <= labels.keys(), f"the text of {name} quotes labels it does not have"


def test_a_healthy_system_shows_whatever_alerts_look_at() -> None:
    healthy = yaml.safe_load((PROMETHEUS / "tests" / "healthy.yaml").read_text())["tests"][0]
    shown = {series_name(series["series"]) for series in healthy["input_series"]}
    read = {name for query in rule_queries() for name in metrics_in(query.expression)}
    assert read - shown == set()


def test_unit_tests_use_series_as_our_code_shows_them() -> None:
    known = declared()
    for series in (series["series"] for case in rule_cases() for series in case["input_series"]):
        name, labels = series_name(series), series_labels(series).keys()
        if name.startswith("parley_"):
            assert name in known, series
            assert labels - TARGET_LABELS <= known[name], series


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_how_bad_it_is_what_happens_and_what_to_do(name: str) -> None:
    alert: dict[str, Any] = ALERTS[name]
    assert alert["labels"]["severity"] in SEVERITIES
    notes = alert["annotations"]
    assert notes["summary"]
    assert len(notes["description"]) > len(notes["summary"])
    page, _, anchor = notes["runbook_url"].partition("#")
    assert (ROOT / page).is_file()
    assert anchor == name.lower()
    assert f"\n## {name}\n" in RUNBOOK


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"(?m)^## (Parley\w+)$", RUNBOOK)) == set(ALERTS)


def test_rules_read_only_metrics_that_exist() -> None:
    assert unknown_metrics(rule_queries()) == []


def test_a_wrong_metric_name_is_caught() -> None:
    planted = Query("planted", "rate(parley_consumed_record_total[5m]) / group_topic:parley_recorded:sum")
    assert unknown_metrics([planted]) == ["planted: parley_consumed_record_total"]


def test_every_service_is_scraped_as_a_job_of_its_name() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {service: [f"{service}:8080"] for service in SERVICES}
    assert config["rule_files"] == ["/etc/prometheus/rules/*.yaml"]
