"""A scenario's day, made up: the same seed makes the same day, whatever policy it is played under.

Arrivals are a Poisson process whose rate changes by the hour; times are lognormal. Each class and each team
draws from a stream of its own, so that a change of one leaves the others as they were.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from math import log
from random import Random
from typing import Any

from schemas.common import channel_class
from schemas.ids import derive
from schemas.routing import (
    AgentAvailability,
    AgentCommandData,
    AgentHeartbeat,
    AgentProfile,
    AvailabilityData,
    Capacity,
    ProfileData,
    ProfilePersonal,
    RequestData,
)
from services.router.simulation.scenario import HOURS, Arrivals, Scenario, Spread, Team, minutes_of
from services.router.simulation.stays import Answer, Deed, Script, Stay

_HOUR = 3600.0
_DAY = timedelta(days=1)
_HEARTBEAT = timedelta(seconds=10)


def arrival_seconds(rates: Sequence[float], random: Random) -> Iterator[float]:
    """Give the times of a Poisson process, in seconds, whose rate (events an hour) is `rates[h]` in hour h.

    A process of rate 1 is stretched by the inverse of the summed rate: exact, and one draw an event.
    """
    summed = [0.0, *accumulate(rates)]
    passed = 0.0
    while True:
        passed += random.expovariate(1.0)
        if passed >= summed[-1]:
            return
        hour = bisect_left(summed, passed) - 1
        yield (hour + (passed - summed[hour]) / rates[hour]) * _HOUR


def drawn(spread: Spread, random: Random) -> float:
    """Draw a lognormal time, in seconds to the millisecond."""
    return round(random.lognormvariate(log(spread.median_seconds), spread.sigma), 3)


def _random(seed: int, *stream: object) -> Random:
    return Random("/".join(map(str, (seed, *stream))))  # noqa: S311  (nothing is to be kept secret)


def script(scenario: Scenario, seed: int) -> Script:
    """Return the scenario's day for this seed."""
    start = scenario.start
    crew = [
        _Member(scenario, team, n, start, _random(seed, "team", team.name, n))
        for team in scenario.teams
        for n in range(team.agents)
    ]
    end = start + timedelta(hours=scenario.hours)
    stays = [stay for each in scenario.arrivals for stay in _stays(scenario, each, crew, seed)]
    deeds = [deed for member in crew for deed in member.deeds()]
    teams = {member.id: member.team for member in crew}
    return Script(
        pool=scenario.pool,
        start=start,
        end=end,
        stays=sorted((stay for stay in stays if stay.at < end), key=lambda stay: stay.at),
        deeds=sorted((deed for deed in deeds if deed.at < end), key=lambda deed: deed.at),
        answering=_Answering(teams, seed),
        back_after_seconds=scenario.back_after_seconds,
    )


@dataclass(frozen=True, slots=True)
class _Answering:
    teams: dict[str, Team]
    seed: int

    def __call__(self, stay: Stay, n: int, agent: str) -> Answer:
        """The same for the same offer under any policy that makes it."""
        team = self.teams[agent]
        random = _random(self.seed, "answer", stay.need.conversation_id, n)
        chance, seconds = random.random(), drawn(team.answer, random)
        if chance < team.rejects:
            return Answer("reject", seconds)
        return Answer("none" if chance < team.rejects + team.ignores else "accept", seconds)


def _stays(scenario: Scenario, arrivals: Arrivals, crew: Sequence["_Member"], seed: int) -> Iterator[Stay]:
    random = _random(seed, "arrivals", arrivals.name)
    total = sum(arrivals.by_hour)
    rates = [arrivals.a_day * rate / total if total else 0.0 for rate in arrivals.by_hour]
    known = [
        member.id
        for member in crew
        if arrivals.inbox in member.team.inboxes and arrivals.channel in member.team.channels
    ]
    for number, seconds in enumerate(arrival_seconds(rates, random)):
        own = f"{arrivals.name}-{number}"
        at = scenario.start + timedelta(milliseconds=round(seconds * 1000))
        need = RequestData(
            pool=scenario.pool,
            conversation_id=own,
            customer_id=f"customer-{own}",
            epoch=0,
            inbox=arrivals.inbox,
            channel=arrivals.channel,
            channel_class=channel_class(arrivals.channel),
            requested_at=at,
            preferred_agent=random.choice(known) if random.random() < arrivals.prefers else None,
            **_needed(arrivals, random.random()),
        )
        handling = drawn(arrivals.handling, random)
        patience = drawn(arrivals.patience, random) if arrivals.patience else None
        yield Stay(need, at, handling, patience)


def _needed(arrivals: Arrivals, chance: float) -> dict[str, Any]:
    for need in arrivals.needs:
        if chance < need.share:
            return {"skills": dict(need.skills), "priority": need.priority}
        chance -= need.share
    return {}


class _Member:
    """One Agent of a team, on their shift of the day before and of this one."""

    def __init__(self, scenario: Scenario, team: Team, n: int, start: datetime, random: Random) -> None:
        self.id, self.team = f"{team.name}-{n + 1}", team
        self._scenario, self._start, self._random = scenario, start, random
        self._skilled = n < round(team.skilled * team.agents)
        shares = [*accumulate(shift.share for shift in team.shifts)]
        place = min(bisect_left(shares, (n + 0.5) / team.agents), len(shares) - 1)
        shift = team.shifts[place]
        first, last = minutes_of(shift.start), minutes_of(shift.end)
        self._first = timedelta(minutes=first)
        self._last = timedelta(minutes=last if last > first else last + HOURS * 60)

    def deeds(self) -> Iterator[Deed]:
        """Give all that the Agent does by themselves: profile, sign-on and sign-off, heartbeats that stop."""
        yield Deed(self._start, self._profile())
        for midnight in (self._start - _DAY, self._start):
            late = timedelta(milliseconds=self._random.randrange(300_000))
            on, off = max(midnight + self._first + late, self._start), midnight + self._last + late
            if off <= self._start:
                continue
            yield Deed(on, self._available(on, there=True))
            yield Deed(off, self._available(off, there=False))
            if self._random.random() < self.team.lost:
                passed = (off - on).total_seconds() * self._random.random()
                yield from self._silence(on + timedelta(milliseconds=round(passed * 1000)), off)

    def _silence(self, at: datetime, off: datetime) -> Iterator[Deed]:
        """One heartbeat, then none until they are back; from then on they are heard by their sign-on only."""
        back = at + timedelta(seconds=self._scenario.back_after_seconds)
        if back < off:
            data = AgentCommandData(pool=self._scenario.pool, agent=self.id, actor=self.id)
            yield Deed(at, AgentHeartbeat(**self._envelope("heartbeat", at), data=data))
            yield Deed(back, self._available(back, there=True))

    def _profile(self) -> AgentProfile:
        team = self.team
        data = ProfileData(
            pool=self._scenario.pool,
            agent=self.id,
            actor="lead",
            inboxes=team.inboxes,
            skills=dict(team.skills) if self._skilled else {},
            capacity=Capacity(**team.capacity.model_dump()),
            auto_accept=dict(team.auto_accept),
            voice_alone=team.voice_alone,
        )
        envelope = self._envelope("profile", self._start)
        return AgentProfile(**envelope, data=data, personal=ProfilePersonal(name=self.id))

    def _available(self, at: datetime, *, there: bool) -> AgentAvailability:
        channels = dict.fromkeys(self.team.channels, there)
        data = AvailabilityData(pool=self._scenario.pool, agent=self.id, actor=self.id, channels=channels)
        return AgentAvailability(**self._envelope("on" if there else "off", at), data=data)

    def _envelope(self, what: str, at: datetime) -> dict[str, Any]:
        own = derive("simulation", self.id, what, at.isoformat())
        return {"id": own, "occurred_at": at, "correlation": own}
