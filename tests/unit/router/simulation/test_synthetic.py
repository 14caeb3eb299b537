"""Made-up days: arrivals, times and people, and that a seed makes them."""

from collections import Counter
from itertools import islice, pairwise
from math import exp
from random import Random
from statistics import fmean, median, stdev

import pytest

from schemas.routing import AgentAvailability, AgentProfile
from services.router.simulation.scenario import Spread
from services.router.simulation.synthetic import arrival_seconds, drawn, script
from tests.unit.router.simulation.days import scenario


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311  (a fixed course of events)


def test_arrivals_follow_the_rate_of_each_hour() -> None:
    rates = [0.0] * 24
    rates[9], rates[10], rates[17] = 3000.0, 1000.0, 6000.0
    times = list(arrival_seconds(rates, seeded(4)))
    assert times == sorted(times)
    by_hour = Counter(int(each // 3600) for each in times)
    assert set(by_hour) == {9, 10, 17}
    for hour, expected in ((9, 3000), (10, 1000), (17, 6000)):
        assert abs(by_hour[hour] - expected) < 5 * expected**0.5


def test_gaps_between_arrivals_are_those_of_a_poisson_process() -> None:
    times = list(arrival_seconds([2000.0] * 24, seeded(5)))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert fmean(gaps) == pytest.approx(1.8, rel=0.03)
    assert stdev(gaps) == pytest.approx(fmean(gaps), rel=0.03)


def test_nobody_comes_where_the_rate_is_zero() -> None:
    assert list(islice(arrival_seconds([0.0] * 24, seeded(1)), 1)) == []


def test_times_are_lognormal() -> None:
    random = seeded(6)
    times = [drawn(Spread(median_seconds=120, sigma=0.5), random) for _ in range(20_000)]
    assert median(times) == pytest.approx(120, rel=0.02)
    assert fmean(times) == pytest.approx(120 * exp(0.125), rel=0.02)


def test_the_same_seed_makes_the_same_day_and_another_another() -> None:
    def seen(seed: int) -> list[object]:
        day = script(scenario(), seed)
        stays = [(each.at, each.need, each.handling_seconds, each.patience_seconds) for each in day.stays]
        answers = [day.answering(each, n, "voice-1") for each in day.stays[:20] for n in range(3)]
        return [stays, [(each.at, each.command) for each in day.deeds], answers]

    assert seen(1) == seen(1)
    assert seen(1) != seen(2)


def test_a_changed_class_leaves_the_others_as_they_were() -> None:
    few = scenario().model_dump(mode="json")
    few["arrivals"][0]["a_day"] = 10
    changed = script(scenario(arrivals=few["arrivals"]), 1)
    calls = [each for each in script(scenario(), 1).stays if each.need.channel == "voice"]
    assert [each for each in changed.stays if each.need.channel == "voice"] != []
    assert [(each.at, each.handling_seconds) for each in calls] == [
        (each.at, each.handling_seconds) for each in changed.stays if each.need.channel == "voice"
    ]


def test_shares_of_needs_preferences_and_skills_are_met() -> None:
    day = script(scenario(hours=24), 3)
    chats = [each.need for each in day.stays if each.need.channel == "chat"]
    assert fmean(bool(each.skills) for each in chats) == pytest.approx(0.3, abs=0.06)
    assert fmean(each.preferred_agent is not None for each in chats) == pytest.approx(0.2, abs=0.06)
    profiles = [each.command for each in day.deeds if isinstance(each.command, AgentProfile)]
    assert Counter(bool(each.data.skills) for each in profiles if "chat" in each.data.agent) == {
        True: 1,
        False: 1,
    }


def test_a_shift_over_midnight_is_there_on_both_sides_of_it() -> None:
    day = script(scenario(hours=24), 1)
    own = [
        (each.at.hour, any(each.command.data.channels.values()))
        for each in day.deeds
        if isinstance(each.command, AgentAvailability) and each.command.data.agent == "voice-2"
    ]
    assert own == [(0, True), (0, False), (22, True)]
