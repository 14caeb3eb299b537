"""Every query of every dashboard and rule, asked of a real Prometheus that watched the demo.

The five services of the local stack share a process, so each /metrics shows them all: one is scraped.
"""

import math
import time
from collections.abc import Callable, Iterator

import pytest

from tests.deploy.observability import Query, panel_queries, rule_queries, rules, variables
from tests.servers.prometheus import Prometheus, installed, running_prometheus
from tests.servers.stack import running_stack

WAIT_SECONDS = 30.0
MAY_BE_EMPTY: dict[str, str] = {}
"""Queries that return nothing in a healthy run, with the reason."""
FIRES_IN_THE_DEMO = {
    "ParleyWebhooksQuarantined",  # the day has a webhook that breaks off
    "ParleyRepliesUnknown",  # and providers whose answers are lost
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Give a Prometheus that has watched the recorded day."""
    installed("prometheus")
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        address = stack.url.removeprefix("http://")
        directory = tmp_path_factory.mktemp("prometheus")
        with running_prometheus(directory, address, "/router/metrics") as running:
            eventually(lambda: bool(running.query("up == 1")))
            day = stack.run("deploy.local.demo", DAY_SECONDS="10")
            assert day.returncode == 0, day.stdout + day.stderr
            yield running


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether it came true within the deadline."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return met


def has_data(prometheus: Prometheus, query: Query) -> bool:
    return any(not math.isnan(float(sample["value"][1])) for sample in prometheus.query(query.expression))


def without_data(prometheus: Prometheus, queries: list[Query]) -> list[str]:
    """Return the queries that have nothing to show, each after a while."""
    left = list(queries)

    def done() -> bool:
        left[:] = [query for query in left if not has_data(prometheus, query)]
        return not left

    eventually(done)
    return [f"{query.place}: {query.expression}" for query in left]


@pytest.mark.timeout(240)
def test_every_panel_has_something_to_show(prometheus: Prometheus) -> None:
    asked = [query for query in panel_queries() if query.place not in MAY_BE_EMPTY]
    assert without_data(prometheus, asked) == []


def test_every_variable_has_values(prometheus: Prometheus) -> None:
    for place, metric, label in variables():
        assert prometheus.label_values(metric, label), place


def test_every_recorded_series_has_data(prometheus: Prometheus) -> None:
    recorded = [Query(rule["record"], rule["record"]) for rule in rules() if "record" in rule]
    assert without_data(prometheus, recorded) == []


def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    for query in rule_queries():
        prometheus.query(query.expression)
    evaluated = prometheus.rules()
    assert len(evaluated) == len(rules())
    assert [rule["name"] for rule in evaluated if rule["health"] != "ok"] == []


def test_a_day_that_ends_well_fires_only_what_it_should(prometheus: Prometheus) -> None:
    active = [alert for rule in prometheus.rules() for alert in rule.get("alerts", ())]
    assert {
        alert["labels"]["alertname"] for alert in active if alert["state"] == "firing"
    } == FIRES_IN_THE_DEMO
    for alert in active:
        assert "error expanding" not in str(alert["annotations"])


def test_a_query_that_is_wrong_is_caught(prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "WAIT_SECONDS", 0.5)
    planted = Query("planted", "sum(rate(parley_consumed_record_total[2m]))")
    assert without_data(prometheus, [planted]) == [f"planted: {planted.expression}"]
    with pytest.raises(ValueError, match="parse error"):
        without_data(prometheus, [Query("planted", "sum by (group) (parley_consumer_halted")])
