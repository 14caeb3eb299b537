"""Charts of a report as static SVG, drawn by pygal; colours are CSS variables of the page around them."""

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

import pygal
from pygal.style import Style

from services.router.simulation.report.figures import PolicyFigures, QueueFigures
from services.router.simulation.report.tables import seconds

# pygal looks for plug-ins by a finder of the old kind, which later imports then stumble over
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

SERIES = ("#0b62c4", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490")
"""Told apart by people who see few colours too; lines have dashes besides."""
_INK, _FAINT = "#1c1d1e", "#c4c5c6"
_LEVEL = 7
"""So many names fit below an axis without being turned."""
_DASHES = ("", "9,4", "2,4", "12,4,2,4", "5,5", "1,3")
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    foreground=_INK,
    foreground_strong=_INK,
    foreground_subtle=_FAINT,
    guide_stroke_color=_FAINT,
    major_guide_stroke_color=_FAINT,
    colors=SERIES,
    opacity=".85",
    font_family="system-ui, sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=14,
    value_font_size=12,
    stroke_width=2,
)
_VARIABLES = {
    _INK: "--ink",
    _FAINT: "--faint",
    **{colour: f"--series-{n}" for n, colour in enumerate(SERIES)},
}


def over_the_day(policies: Sequence[PolicyFigures], what: str, title: str) -> str:
    """Return lines of a sampled figure (`waiting`, `held`, `there`) from the day's start to its end."""
    times = [datetime.fromisoformat(each) for each in policies[0].at]
    hours = [index for index, at in enumerate(times) if at.minute == 0 and at.hour % 3 == 0]
    chart = pygal.Line(**_options(), show_dots=False, x_labels_major_count=9, show_minor_x_labels=False)
    chart.x_labels = [f"{at:%H:%M}" for at in times]
    chart.x_labels_major = [f"{times[index]:%H:%M}" for index in hours] or None
    for index, policy in enumerate(policies):
        chart.add(policy.name, getattr(policy, what), stroke_style=_dashed(index))
    return _svg(chart, title)


def by_queue(policies: Sequence[PolicyFigures], what: str, title: str) -> str:
    """Return bars by queue: `within_target` in per cent, or a percentile of the waits in targets."""
    names = list(
        dict.fromkeys((each.inbox, each.channel_class) for policy in policies for each in policy.queues)
    )
    chart = pygal.Bar(**_options(), print_values=True, print_values_position="top", x_label_rotation=0)
    if what == "within_target":
        chart.value_formatter = lambda value: f"{value:.0f} %"
        chart.range = (0, 100)
    else:
        chart.value_formatter = lambda value: f"{value:.1f}"
    chart.x_labels = [" ".join(name) for name in names]
    if len(names) > _LEVEL:
        chart.x_label_rotation = 30
    for policy in policies:
        found = {(each.inbox, each.channel_class): each for each in policy.queues}
        chart.add(policy.name, [_value(found.get(name), what) for name in names])
    return _svg(chart, title)


def occupancies(policies: Sequence[PolicyFigures], title: str) -> str:
    """Return how many Agents were occupied how much, in steps of 10 %."""
    chart = pygal.Bar(**_options())
    chart.x_labels = [f"{10 * step} to {10 * step + 10} %" for step in range(10)]
    for policy in policies:
        counts = [0] * 10
        for each in policy.agents.occupancies:
            counts[min(int(each * 10), 9)] += 1
        chart.add(policy.name, counts)
    return _svg(chart, title)


def expectations(policies: Sequence[PolicyFigures], title: str) -> str:
    """Return real against expected waits; on the thin diagonal they are equal."""
    points = [pair for policy in policies for pair in policy.all.expected.by_expected]
    most = max((max(pair) for pair in points), default=1.0)
    chart = pygal.XY(**_options(), dots_size=4)
    chart.value_formatter = chart.x_value_formatter = seconds
    for index, policy in enumerate(policies):
        chart.add(policy.name, policy.all.expected.by_expected, stroke_style=_dashed(index))
    chart.add(None, [(0, 0), (most, most)], show_dots=False, stroke_style={"width": 1, "dasharray": "3,6"})
    return _svg(chart, title)


def legend(names: Sequence[str]) -> str:
    """Return what the colours and dashes of the series stand for."""
    items = "".join(
        f'<li><svg viewBox="0 0 36 10" aria-hidden="true"><line x1="1" y1="5" x2="35" y2="5" '
        f'stroke="var(--series-{index % len(SERIES)})" stroke-width="4" '
        f'stroke-dasharray="{_DASHES[index % len(_DASHES)]}"/></svg>{escape(name)}</li>'
        for index, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def _value(each: QueueFigures | None, what: str) -> float | None:
    if each is None:
        return None
    if what == "within_target":
        return None if each.within_target is None else round(100 * each.within_target, 1)
    wait = each.waits[what]
    return None if wait is None or each.target is None else round(wait / each.target, 2)


def _options() -> dict[str, Any]:
    return {
        "style": _STYLE,
        "width": 900,
        "height": 300,
        "js": [],
        "explicit_size": False,
        "disable_xml_declaration": True,
        "show_legend": False,
        "show_x_guides": False,
        "truncate_label": -1,
        "margin": 10,
    }


def _dashed(index: int) -> dict[str, Any]:
    dash = _DASHES[index % len(_DASHES)]
    return {"width": 2.5, **({"dasharray": dash} if dash else {})}


def _svg(chart: Any, title: str) -> str:  # noqa: ANN401  (pygal has no types)
    """Return the chart as an element for a page, without script, and with a name for who cannot see it."""
    svg: str = chart.render(is_unicode=True)
    svg = re.sub(
        r"<!--.*?-->|<script.*?</script>|<desc.*?</desc>|<title>.*?</title>", "", svg, flags=re.DOTALL
    )
    for colour, variable in _VARIABLES.items():
        svg = re.sub(f"{colour}(?![0-9a-f])", f"var({variable})", svg, flags=re.IGNORECASE)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title, quote=True)}" ', 1)
