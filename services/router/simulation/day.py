"""Playing a day: events in the order of simulated time, and what follows from the engine's decisions.

The engine is stepped as the router steps it: one command at a time at its moment, and a tick on the same
grid of half seconds whenever something is due.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any
from uuid import UUID

from schemas.envelope import Envelope
from schemas.routing import (
    AgentAvailability,
    AgentChanged,
    AvailabilityData,
    OfferAccept,
    OfferAnswerData,
    OfferReject,
    ReleaseData,
    RequestData,
    RoutingGranted,
    RoutingOffered,
    RoutingOfferEnded,
    RoutingRelease,
    RoutingRequest,
    RoutingUnassigned,
    RoutingWiden,
    WidenData,
)
from services.router.domain import snapshot
from services.router.domain.engine import Input, TakeOver, Tick, step
from services.router.domain.policy import Policy
from services.router.domain.pool import Pool
from services.router.domain.state import PoolState
from services.router.domain.waits import Foresight
from services.router.simulation.measures import Measures
from services.router.simulation.stays import Deed, Live, Opening, Script, Stay

TICK = timedelta(seconds=0.5)
_SAMPLE = timedelta(minutes=5)


class Day:
    """One script under one policy. Played once."""

    def __init__(self, script: Script, policy: Policy) -> None:
        initial = script.initial
        self.pool = snapshot.load(dict(initial)) if initial else Pool(PoolState(script.pool))
        self.measures = Measures(script.start, script.end)
        self._script, self._foresight = script, Foresight(self.pool)
        self._now = script.start
        self._next_tick = script.start + TICK
        self._events: list[tuple[datetime, int, Callable[[Any], None], Any]] = []
        self._order, self._numbers = count(), count(1)
        self._live: dict[str, Live] = {}
        self._epochs: dict[str, int] = {}
        self._after: dict[str, list[Stay]] = {}
        self._reactions: dict[type[Envelope], Callable[[Any], None]] = {
            RoutingGranted: self._granted,
            RoutingOffered: self._offered,
            RoutingOfferEnded: self._offer_ended,
            RoutingUnassigned: self._unassigned,
            AgentChanged: self._agent_changed,
        }
        for stay in reversed(script.stays):
            self._after.setdefault(stay.need.conversation_id, []).append(stay)
        self._begin(policy)

    def _begin(self, policy: Policy) -> None:
        script = self._script
        self.measures.loads(self.pool, self.pool.state.agents, script.start)
        for opening in script.opening:
            self._open(opening)
        for conversation_id in dict.fromkeys(stay.need.conversation_id for stay in script.stays):
            if conversation_id not in self._live:
                self._begin_next(conversation_id)
        for deed in script.deeds:
            self._at(deed.at, self._do, deed)
        for at, agent in script.seen:
            self._at(at, self._come_back, agent)
        self._at(script.start, self._sample, None)
        self._step(TakeOver(policy))

    def play(self) -> Measures:
        """Play until the script's end, and return what was measured."""
        while self._events and self._events[0][0] <= self._script.end:
            at, _, action, given = heappop(self._events)
            self._pass_until(at)
            action(given)
        self._pass_until(self._script.end)
        self.measures.close(self._script.end, self._live.values())
        return self.measures

    # --- time -----------------------------------------------------------------------------------

    def _at(self, at: datetime, action: Callable[[Any], None], given: object) -> None:
        heappush(self._events, (at, next(self._order), action, given))

    def _pass_until(self, at: datetime) -> None:
        while self._next_tick <= at:
            self._now = self._next_tick
            self._next_tick += TICK
            if self.pool.has_due(self._now):
                self._step(Tick())
        self._now = max(self._now, at)

    def _later(self, seconds: float) -> datetime:
        return self._now + timedelta(milliseconds=round(seconds * 1000))

    # --- the pool -------------------------------------------------------------------------------

    def _step(self, given: Input) -> None:
        done = step(self.pool, given, self._now)
        self.measures.loads(self.pool, done.touched.agents, self._now)
        for decision in done.decisions:
            self.measures.decided(decision)
            react = self._reactions.get(type(decision))
            if react:
                react(decision)

    def _command(self) -> dict[str, Any]:
        own = UUID(int=next(self._numbers))
        return {"id": own, "occurred_at": self._now, "correlation": own}

    def _do(self, deed: Deed) -> None:
        self._step(deed.command)

    def _sample(self, _: None) -> None:
        self.measures.sample(self._now)
        self._at(self._now + _SAMPLE, self._sample, None)

    # --- a Conversation -------------------------------------------------------------------------

    def _open(self, opening: Opening) -> None:
        """Go on with what the pool held at the start."""
        stay = opening.stay
        conversation_id = stay.need.conversation_id
        standing = self.pool.state.standings[conversation_id]
        held = opening.agent is not None
        live = Live(stay, standing.epoch, opening.asked_at, stay.handling_seconds, opening.agent, served=held)
        self._live[conversation_id] = live
        self._epochs[conversation_id] = standing.epoch
        self._change_later(live)
        if held:
            live.since = self._now
            self._at(self._later(live.remaining), self._finish, (live, live.grants))
            return
        self.measures.asked(stay)
        self._lose_patience_later(live)
        if standing.request and standing.request.offer:
            self._be_answered(live, standing.request.offer.agent, standing.request.offer.id)

    def _begin_next(self, conversation_id: str, *, ended: bool = False) -> None:
        waiting = self._after.get(conversation_id)
        if waiting:
            stay = waiting.pop()
            at = self._now if ended and stay.follows else max(stay.at, self._now)
            self._at(at, self._ask, stay)

    def _ask(self, stay: Stay) -> None:
        conversation_id = stay.need.conversation_id
        live = Live(stay, 0, self._now, stay.handling_seconds)
        self._live[conversation_id] = live
        self.measures.asked(stay)
        self._request(live, stay.need)
        self._lose_patience_later(live)
        self._change_later(live)

    def _request(self, live: Live, need: RequestData) -> None:
        conversation_id = need.conversation_id
        live.epoch = self._epochs.get(conversation_id, 0) + 1
        self._epochs[conversation_id] = live.epoch
        late = live.asked_at - live.stay.at
        data = need.model_copy(update={"epoch": live.epoch, "requested_at": need.requested_at + late})
        self._step(RoutingRequest(**self._command(), data=data))
        standing = self.pool.state.standings[conversation_id]
        if standing.request and not standing.request.offer and live.offers == 0:
            self.measures.expected(live, self._now, self._foresight.of(standing))

    def _change_later(self, live: Live) -> None:
        for seconds, change in live.stay.changes:
            self._at(self._later(seconds), self._change, (live, change))

    def _change(self, given: tuple[Live, Any]) -> None:
        live, change = given
        need = live.stay.need
        if self._live.get(need.conversation_id) is not live:
            return
        if isinstance(change, RequestData):
            if not live.served:
                self._request(live, change)
            return
        data = WidenData(**_subject(self._script.pool, live), channel_class=change)
        self._step(RoutingWiden(**self._command(), data=data))

    def _lose_patience_later(self, live: Live) -> None:
        patience = live.stay.patience_seconds
        if patience is not None:
            at = live.asked_at + timedelta(milliseconds=round(patience * 1000))
            self._at(max(at, self._now), self._give_up, live)

    def _give_up(self, live: Live) -> None:
        if self._live.get(live.stay.need.conversation_id) is live and not live.served:
            self.measures.left(live, self._now)
            self._end(live)

    def _finish(self, given: tuple[Live, int]) -> None:
        live, grants = given
        if live.agent is not None and live.grants == grants:
            self.measures.finished += 1
            self._end(live)

    def _end(self, live: Live) -> None:
        """Let the next stay take its place, or give the Conversation back."""
        conversation_id = live.stay.need.conversation_id
        del self._live[conversation_id]
        waiting = self._after.get(conversation_id)
        if not (waiting and waiting[-1].follows):
            data = ReleaseData(**_subject(self._script.pool, live), reason="closed")
            self._step(RoutingRelease(**self._command(), data=data))
        self._begin_next(conversation_id, ended=True)

    # --- what the pool decided ------------------------------------------------------------------

    def _granted(self, decision: RoutingGranted) -> None:
        live = self._live[decision.data.conversation_id]
        live.agent, live.since = decision.data.agent, self._now
        live.grants += 1
        self.measures.granted(live, decision.data.inbox, self._now)
        live.served = True
        self._at(self._later(live.remaining), self._finish, (live, live.grants))

    def _unassigned(self, decision: RoutingUnassigned) -> None:
        live = self._live[decision.data.conversation_id]
        if live.since is not None:
            live.remaining = max(live.remaining - (self._now - live.since).total_seconds(), 0.0)
        live.agent = live.since = None

    def _offered(self, decision: RoutingOffered) -> None:
        data = decision.data
        self._be_answered(self._live[data.conversation_id], data.agent, data.offer_id)

    def _be_answered(self, live: Live, agent: str, offer_id: UUID) -> None:
        answer = self._script.answering(live.stay, live.offers, agent)
        live.offers += 1
        if answer.kind != "none":
            command = OfferAccept if answer.kind == "accept" else OfferReject
            self._at(self._later(answer.after_seconds), self._answer, (command, agent, offer_id))

    def _answer(self, given: tuple[type[OfferAccept] | type[OfferReject], str, UUID]) -> None:
        command, agent, offer_id = given
        if offer_id in self.pool.offers:
            data = OfferAnswerData(pool=self._script.pool, agent=agent, actor=agent, offer_id=offer_id)
            self._step(command(**self._command(), data=data))

    def _offer_ended(self, decision: RoutingOfferEnded) -> None:
        """Leave the answer to an offer that was taken back for the next one."""
        live = self._live.get(decision.data.conversation_id)
        if live is not None and decision.data.outcome == "withdrawn":
            live.offers -= 1

    def _agent_changed(self, decision: AgentChanged) -> None:
        agent = self.pool.state.agents.get(decision.data.agent)
        seconds = self._script.back_after_seconds
        if agent and agent.tired and seconds is not None:
            self._at(self._later(seconds), self._come_back, agent.id)

    def _come_back(self, agent_id: str) -> None:
        agent = self.pool.state.agents.get(agent_id)
        if agent and agent.tired and agent.signed_on:
            data = AvailabilityData(
                pool=self._script.pool, agent=agent_id, actor=agent_id, channels=dict(agent.channels)
            )
            self._step(AgentAvailability(**self._command(), data=data))


def _subject(pool: str, live: Live) -> dict[str, Any]:
    need = live.stay.need
    return {
        "pool": pool,
        "conversation_id": need.conversation_id,
        "customer_id": need.customer_id,
        "epoch": live.epoch,
        "kind": need.kind,
    }
