"""Dashboards are well formed. What their queries return is shown in `observed/`."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.generate import DIRECTORY, documents, drift
from deploy.grafana.model import COLUMNS
from tests.deploy.observability import (
    GRAFANA,
    Query,
    dashboards,
    panel_queries,
    panels,
    rule_queries,
    unknown_metrics,
    variables,
)

DASHBOARDS = dashboards()
UNITS = {"bytes", "cps", "percentunit", "reqps", "s", "short"}
"""Those of Grafana's units (https://github.com/grafana/grafana, valueFormats/categories.ts) that are used."""


def test_the_files_are_as_the_tables_say() -> None:
    assert drift() == []


def test_a_file_that_was_changed_or_left_over_is_named(tmp_path: Path) -> None:
    for path in DIRECTORY.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text().replace('"uid"', '"id"', 1))
    (tmp_path / "old.json").write_text("{}")
    assert drift(tmp_path) == sorted([*documents(), "old.json"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    shown = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    for panel in shown:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS, panel["title"]
    for one, other in combinations(shown, 2):
        assert apart(one["gridPos"], other["gridPos"]), f"{one['title']} lies over {other['title']}"


def apart(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] + one["w"] <= other["x"]
        or other["x"] + other["w"] <= one["x"]
        or one["y"] + one["h"] <= other["y"]
        or other["y"] + other["h"] <= one["y"]
    )


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in panels(DASHBOARDS[name]):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends), panel["title"]


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())
    [source] = provisioned["datasources"]
    wanted = {"type": source["type"], "uid": source["uid"]}
    for dashboard in DASHBOARDS.values():
        asked: list[dict[str, Any]] = [*dashboard["templating"]["list"], *panels(dashboard)]
        asked += [target for panel in panels(dashboard) for target in panel["targets"]]
        assert [item for item in asked if item["datasource"] != wanted] == []


def test_dashboards_lead_to_each_other() -> None:
    addresses = {f"/d/{dashboard['uid']}" for dashboard in DASHBOARDS.values()}
    linked = {link["url"] for dashboard in DASHBOARDS.values() for link in dashboard["links"]}
    assert linked == addresses


def test_panels_and_variables_read_only_metrics_that_exist() -> None:
    asked = [Query(place, metric) for place, metric, _ in variables()]
    assert unknown_metrics([*panel_queries(), *asked]) == []


def test_recorded_series_that_panels_read_are_recorded() -> None:
    recorded = {query.place.removeprefix("rule ") for query in rule_queries() if ":" in query.place}
    read = {name for query in panel_queries() for name in recorded if name in query.expression}
    for query in panel_queries():
        rest = query.expression
        for name in sorted(read, key=len, reverse=True):
            rest = rest.replace(name, "")
        assert ":parley_" not in rest, f"{query.place} reads what no rule records"
