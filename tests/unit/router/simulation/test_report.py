"""Figures, tables and the page of a report."""

import re
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from schemas.common import ChannelClass
from services.router.simulation.day import Day
from services.router.simulation.measures import Measures
from services.router.simulation.report.figures import PolicyFigures, figures, gini, percentile
from services.router.simulation.report.page import page
from services.router.simulation.report.tables import seconds, show
from services.router.simulation.synthetic import script
from tests.unit.router.commands import START
from tests.unit.router.simulation.days import POLICY, scenario


@pytest.fixture(scope="module")
def days() -> list[PolicyFigures]:
    made = script(scenario(), 1)
    return [figures(name, Day(made, POLICY).play(), {}) for name in ("one", "<two> & more")]


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(each) for each in range(1, 101)]
    assert [percentile(values, each) for each in (50, 90, 95, 99)] == [50, 90, 95, 99]
    assert percentile([7.0], 99) == 7.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([], 50) is None


def test_gini_is_0_where_all_are_equal_and_near_1_where_one_has_all() -> None:
    assert gini([3, 3, 3]) == 0
    assert gini([0] * 99 + [5]) == pytest.approx(0.99)
    assert gini([1, 3]) == pytest.approx(0.25)
    assert gini([]) is None
    assert gini([0, 0]) is None


def test_the_share_within_target_counts_whom_it_is_known_of() -> None:
    measured = Measures(START, START)
    queue = measured.queues["support", ChannelClass.MESSAGING]
    queue.asked = 7
    queue.waits, queue.left, queue.waiting = [10, 60, 61, 100], [5, 90], [30]
    found = figures("p", measured, {}).queues[0]
    assert found.within_target == pytest.approx(2 / 5)
    assert figures("p", measured, {ChannelClass.MESSAGING: 20}).queues[0].within_target == pytest.approx(
        1 / 6, abs=1e-4
    )


def test_errors_are_real_minus_expected() -> None:
    measured = Measures(START, START)
    measured.queues["support", ChannelClass.VOICE].predictions = [(10, 30), (50, 40), (20, 21)]
    found = figures("p", measured, {}).all.expected
    assert (found.measured, found.median_real, found.median_absolute_error) == (3, 30, 10)
    assert found.bias == pytest.approx(11 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.0 s"), (9.96, "10.0 s"), (45, "45 s"), (150, "2.5 min"), (9000, "2.5 h")],
)
def test_seconds_are_told_as_people_read_them(value: float | None, text: str) -> None:
    assert seconds(value) == text
    assert seconds(-45, signed=True) == "-45 s"
    assert seconds(45, signed=True) == "+45 s"


def test_the_terminal_shows_each_queue_under_each_policy(days: list[PolicyFigures]) -> None:
    shown = StringIO()
    show(Console(width=160, file=shown), days)
    text = shown.getvalue()
    for part in ("support messaging", "support voice", "one", "<two> & more", "Gini", "offers timed out"):
        assert part in text


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.references: list[str | None] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag == "svg" and "role" in given:
            self.images.append(given)
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "br", "link"):
            self.open.pop()


def test_the_page_needs_nothing_else_and_names_its_charts(days: list[PolicyFigures]) -> None:
    text = page("A day", "about <it>", days)
    found = Page(text)
    assert found.open == []
    assert found.references == []
    assert not found.tags & {"script", "link", "img", "iframe", "object", "image"}
    assert not re.search(r"url\(|@import|//(?!www\.w3\.org)", text)
    assert len(found.images) == 6
    assert all(each.get("aria-label") for each in found.images)
    assert "&lt;two&gt; &amp; more" in text
    assert "<two>" not in text


def test_the_page_has_colours_for_light_and_dark(days: list[PolicyFigures]) -> None:
    text = page("A day", "", days)
    assert "prefers-color-scheme: dark" in text
    svg = "".join(re.findall(r"<svg role.*?</svg>", text, flags=re.DOTALL))
    assert "var(--series-1)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#(?:0b62c4|1c1d1e)", svg, flags=re.IGNORECASE)


def test_an_empty_day_has_a_page_too() -> None:
    empty = Measures(START, START)
    empty.sample(START)
    assert Page(page("A day", "", [figures("p", empty, {})])).open == []
