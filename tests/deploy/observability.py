"""What the dashboards, rules and their tests say, read for the tests here."""

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from deploy.local.up import SERVICES

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
TARGET_LABELS = frozenset({"job", "instance"})
"""Prometheus adds them to whatever it scrapes."""

_METRIC = re.compile(r"(?<![\w:])parley_\w+(?![\w:])")
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and where it stands."""

    place: str
    expression: str


@cache
def declared() -> Mapping[str, frozenset[str]]:
    """Return the names of all samples that our code declares, each with its labels."""
    for name in ("chassis", *SERVICES):
        importlib.import_module(f"services.{name}.metrics")
    found = {}
    collectors = set(REGISTRY._names_to_collectors.values())  # noqa: SLF001 - nothing public tells labels
    for collector in collectors:
        if isinstance(collector, MetricWrapperBase):
            [family] = collector.describe()
            for suffix in _SUFFIXES[family.type]:
                bounds = {"le"} if suffix == "_bucket" else set()
                found[family.name + suffix] = frozenset(collector._labelnames) | bounds  # noqa: SLF001 - the same
    return found


def metrics_in(expression: str) -> set[str]:
    """Return the names of our metrics that an expression reads, recorded ones left out."""
    return set(_METRIC.findall(expression))


def unknown_metrics(queries: Iterable[Query]) -> list[str]:
    """Return what names a metric that no code declares."""
    known = declared()
    return [
        f"{query.place}: {name}"
        for query in queries
        for name in sorted(metrics_in(query.expression) - known.keys())
    ]


# --- rules --------------------------------------------------------------------------------------


@cache
def rules() -> list[dict[str, Any]]:
    """Return all rules of all files."""
    return [rule for path in RULE_FILES for group in _read(path)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def rule_queries() -> list[Query]:
    """Return the expression of each rule."""
    return [Query(f"rule {rule.get('alert') or rule['record']}", rule["expr"]) for rule in rules()]


@cache
def rule_cases() -> list[dict[str, Any]]:
    """Return the unit tests of all files."""
    return [case for path in RULE_TESTS for case in _read(path)["tests"]]


def firing(case: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the labels of the alerts that a unit test expects to fire."""
    for test in case.get("promql_expr_test", ()):
        for sample in test["exp_samples"]:
            yield series_labels(sample["labels"])


def series_labels(series: str) -> dict[str, str]:
    """Return the labels of a series as PromQL writes it."""
    return dict(re.findall(r'(\w+)="([^"]*)"', series))


def series_name(series: str) -> str:
    """Return the metric's name of a series as PromQL writes it."""
    return series.partition("{")[0]


# --- dashboards ---------------------------------------------------------------------------------


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by the name of their file."""
    return {
        path.name: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    }


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return its panels without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries() -> list[Query]:
    """Return the query of each target of each panel, with Grafana's variables filled in."""
    return [
        Query(f"{name}: {panel['title']} {target['refId']}", filled(target["expr"], _names(dashboard)))
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def variables() -> list[tuple[str, str, str]]:
    """Return of each variable where it stands, its metric and its label."""
    found = []
    for name, dashboard in dashboards().items():
        for variable in dashboard["templating"]["list"]:
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            found.append((f"{name}: ${variable['name']}", metric, label))
    return found


def filled(expression: str, names: Sequence[str]) -> str:
    """Return the expression as Grafana sends it, all values of each variable chosen."""
    for name, value in {"__rate_interval": "2m", "__range": "2m", **dict.fromkeys(names, ".*")}.items():
        expression = re.sub(rf"\${name}\b", value, expression)
    return expression


def _names(dashboard: Mapping[str, Any]) -> list[str]:
    return [variable["name"] for variable in dashboard["templating"]["list"]]


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
