"""What a dashboard is made of, and Grafana's JSON of it.

The fields are those of Grafana's dashboard JSON model, schema version 39 (Grafana 11,
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "parley-prometheus"}
"""The uid is given in provisioning/datasources."""
COLUMNS = 24
"""Width of Grafana's grid."""
SCHEMA_VERSION = 39

Json = dict[str, Any]
Kind = Literal["stat", "table", "timeseries"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `queries` are PromQL by legend; a legend names labels as `{{label}}`."""

    title: str
    description: str
    unit: str
    """An id of Grafana's units: `short`, `s`, `reqps`, `percentunit`, `bytes`, …"""
    queries: Mapping[str, str]
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    bad_from: float | None = None
    """From this value on it is shown in red."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, from left to right; what does not fit goes below."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the panels: the values that `label` has on `metric`, any number of them."""

    name: str
    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. `uid` is its address, and its file's name."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Titles of other dashboards by uid."""


def to_json(dashboard: Dashboard) -> Json:
    """Return what Grafana's provisioning reads."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["parley"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "link", "title": title, "url": f"/d/{uid}", "keepTime": True}
            for uid, title in dashboard.links.items()
        ],
        "templating": {"list": [_variable(variable) for variable in dashboard.variables]},
        "panels": list(_placed(dashboard.rows)),
    }


def _variable(variable: Variable) -> Json:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({variable.metric}, {variable.label})", "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(rows: Sequence[Row]) -> Iterator[Json]:
    """Give each row and panel an id and a place."""
    number = y = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }
        y += 1
        x = line = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, line = 0, y + line, 0
            number += 1
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            x, line = x + panel.width, max(line, panel.height)
        y += line


def _panel(panel: Panel) -> Json:
    instant = panel.kind != "timeseries"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _field(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    fields: Json = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "stat" and panel.unit == "short":
        fields["decimals"] = 0
    if panel.kind == "timeseries":
        fields["custom"] = {"fillOpacity": 10, "showPoints": "never", "spanNulls": False}
        if panel.bad_from is not None:
            fields["custom"]["thresholdsStyle"] = {"mode": "line"}
    return fields


_OPTIONS: Mapping[Kind, Json] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    },
    "table": {"showHeader": True},
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
}
