"""The report as one HTML file that needs nothing else: no script, no font, no address."""

from collections.abc import Iterable, Sequence
from html import escape

from services.router.simulation.report import charts, tables
from services.router.simulation.report.figures import PolicyFigures

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1d1e; --quiet: #5b6068; --faint: #d5d8dc;
  --series-0: #0b62c4; --series-1: #c2410c; --series-2: #15803d; --series-3: #7e22ce; --series-4: #a16207;
  --series-5: #0e7490; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171a; --ink: #e8eaed; --quiet: #a3a9b2; --faint: #3a3f46;
    --series-0: #6cb1ff; --series-1: #ff9d66; --series-2: #6fd391; --series-3: #c9a0ff; --series-4: #e5c04b;
    --series-5: #58cfe6; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 1080px; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .25rem; }
p { color: var(--quiet); margin: 0 0 .75rem; max-width: 75ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; }
thead th { border-bottom: 2px solid var(--faint); color: var(--quiet); font-weight: 600; }
tbody th, td.text, th.text { text-align: left; font-weight: 400; }
tbody tr.first > * { border-top: 1px solid var(--faint); }
tbody th[rowspan] { font-weight: 600; vertical-align: top; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none;
  margin: 0 0 .5rem; padding: 0; }
.legend svg { display: inline-block; height: 10px; margin-right: .4rem; width: 36px; }
figure { margin: 0; } svg { display: block; height: auto; width: 100%; }
svg .axis text, svg .text-overlay text { fill: var(--ink) !important; }
"""


def page(title: str, about: str, policies: Sequence[PolicyFigures]) -> str:
    """Return the whole file; `about` says in a sentence what was played."""
    names = [each.name for each in policies]
    parts = [
        _section(
            "Waits for the first Agent",
            "From the request to the first Agent by percentile, of those who were served. The share within "
            "the target is of all of whom it is known.",
            _table(tables.WAIT_COLUMNS, tables.waits(policies)),
        ),
        _chart("Served within the target", charts.by_queue(policies, "within_target", "by queue"), names),
        _chart(
            "How many targets nine of ten waited at most",
            charts.by_queue(policies, "p90", "90th percentile of the wait in targets, by queue"),
            names,
        ),
        _chart(
            "Conversations without an Agent over the day",
            charts.over_the_day(policies, "waiting", "Conversations without an Agent over the day"),
            names,
        ),
        _chart(
            "Conversations with an Agent over the day",
            charts.over_the_day(policies, "held", "Conversations with an Agent over the day"),
            names,
        ),
        _section(
            "Agents and handovers",
            "Occupancy is the share of the time signed on with at least one Conversation. The Gini "
            "coefficient is 0 where all had equally many for each hour signed on.",
            _table(("", *names), tables.agents(policies)),
        ),
        _chart("Agents by occupancy", charts.occupancies(policies, "Number of Agents by occupancy"), names),
        _section(
            "Expected wait",
            "What those were told who had to wait, against how long they waited from then on.",
            _table(tables.EXPECTED_COLUMNS, tables.expected(policies)),
        ),
        _chart(
            "Real (upwards) against expected wait; equal on the thin line",
            charts.expectations(policies, "Real by expected wait, medians of equal parts"),
            names,
        ),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )


def _section(heading: str, text: str, content: str) -> str:
    return f"<section>\n<h2>{escape(heading)}</h2>\n<p>{escape(text)}</p>\n{content}\n</section>\n"


def _chart(heading: str, svg: str, names: Sequence[str]) -> str:
    title = f"<section>\n<h2>{escape(heading)}</h2>\n"
    return f"{title}{charts.legend(names)}\n<figure>{svg}</figure>\n</section>\n"


def _table(columns: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; rows whose first field is the same share it."""
    lines = list(rows)
    head = "".join(
        f'<th scope="col"{_left(index, column)}>{escape(column)}</th>' for index, column in enumerate(columns)
    )
    body = []
    for index, row in enumerate(lines):
        first = index == 0 or lines[index - 1][0] != row[0]
        span = sum(each[0] == row[0] for each in lines)
        start = f'<th scope="rowgroup" rowspan="{span}">{escape(row[0])}</th>' if first else ""
        cells = "".join(
            f"<td{_left(place, columns[place])}>{escape(cell)}</td>"
            for place, cell in enumerate(row)
            if place
        )
        body.append(f"<tr{' class=first' if first else ''}>{start}{cells}</tr>")
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _left(index: int, column: str) -> str:
    return ' class="text"' if index == 0 or column == "policy" else ""
