"""A day played: nothing lost, nobody above capacity, the same every time."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.router.domain.engine import Input, Step, Tick
from services.router.domain.policy import InboxPolicy, Policy
from services.router.domain.pool import Pool
from services.router.simulation import day as days
from services.router.simulation.day import Day
from services.router.simulation.measures import Measures
from services.router.simulation.report.figures import figures
from services.router.simulation.synthetic import script
from tests.unit.router.simulation.days import POLICY, scenario


@pytest.mark.parametrize("seed", range(4))
def test_every_arrival_is_served_waiting_or_gone_at_the_end(seed: int) -> None:
    made = script(scenario(), seed)
    measured = Day(made, POLICY).play()
    asked = sum(each.asked for each in measured.queues.values())
    served = sum(len(each.waits) for each in measured.queues.values())
    left = sum(len(each.left) for each in measured.queues.values())
    waiting = sum(len(each.waiting) for each in measured.queues.values())
    assert asked == len(made.stays) > 80
    assert served + left + waiting == asked
    assert measured.finished + measured.held + waiting + left == asked
    assert left > 0
    assert {"rejected", "timed_out", "lost"} <= {name for name, count in measured.handovers.items() if count}


def test_nobody_ever_has_more_than_the_profile_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    step = days.step

    def watched(pool: Pool, given: Input, now: datetime) -> Step:
        nonlocal looked
        done = step(pool, given, now)
        for agent_id in done.touched.agents:
            agent, hand = pool.state.agents[agent_id], pool.hands[agent_id]
            looked += 1
            assert hand.total <= agent.capacity.total
            for name, count in hand.counts.items():
                assert count <= getattr(agent.capacity, name)
        return done

    monkeypatch.setattr(days, "step", watched)
    Day(script(scenario(), 1), POLICY).play()
    assert looked > 200


def test_the_same_day_under_the_same_policy_comes_out_the_same() -> None:
    made = script(scenario(), 7)
    first, again = (figures("p", Day(made, POLICY).play(), {}) for _ in range(2))
    assert first == again
    assert first == figures("p", Day(script(scenario(), 7), POLICY).play(), {})
    other = Policy(defaults=InboxPolicy(choice="longest_idle"), ask_again_seconds=5)
    assert figures("p", Day(made, other).play(), {}).waiting != []


def test_a_policy_makes_a_difference_and_leaves_the_arrivals_as_they_are() -> None:
    made = script(scenario(), 2)
    slow = replace(POLICY, defaults=InboxPolicy(offer_seconds={"voice": 300.0}))
    quick = replace(POLICY, defaults=InboxPolicy(offer_seconds={"voice": 6.0}))
    first, second = (figures("p", Day(made, each).play(), {}) for each in (slow, quick))
    assert [each.asked for each in first.queues] == [each.asked for each in second.queues]
    assert first.handovers["timed_out"] != second.handovers["timed_out"]


def test_an_agent_away_for_unanswered_offers_comes_back() -> None:
    teams = scenario().model_dump(mode="json")["teams"]
    teams[1] |= {"ignores": 1.0, "rejects": 0.0}
    measured = Day(script(scenario(teams=teams, back_after_seconds=60), 1), POLICY).play()
    assert measured.handovers["timed_out"] > 10


def test_time_spent_with_a_lost_agent_is_not_spent_again() -> None:
    """What one Agent began another ends; in all it takes as long as it was drawn."""
    made = script(scenario(), 3)
    day = Day(made, POLICY)
    measured = day.play()
    lost = measured.handovers["lost"] + measured.handovers["signed_off"]
    assert lost > 0
    drawn = sum(each.handling_seconds for each in made.stays)
    assert (
        sum(each.held for each in measured.agents.values())
        <= drawn + 60 * measured.decisions["routing.offered"]
    )


def test_ticks_come_on_the_routers_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = []
    step = days.step

    def watched(pool: Pool, given: Input, now: datetime) -> Step:
        if isinstance(given, Tick):
            moments.append(now)
        return step(pool, given, now)

    monkeypatch.setattr(days, "step", watched)
    made = script(scenario(), 1)
    Day(made, POLICY).play()
    assert moments
    assert all((each - made.start) % timedelta(seconds=0.5) == timedelta() for each in moments)


def test_expected_waits_are_measured_for_those_who_had_to_wait() -> None:
    measured: Measures = Day(script(scenario(), 1), POLICY).play()
    pairs = [pair for each in measured.queues.values() for pair in each.predictions]
    waited = sum(wait > 0 for each in measured.queues.values() for wait in each.waits)
    assert 10 < len(pairs) <= waited
    assert all(expected > 0 and real >= 0 for expected, real in pairs)
