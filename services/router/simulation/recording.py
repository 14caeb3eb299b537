"""A recorded day: what a pool's journal determines whatever the policy, made into a Script.

Taken over as they were: when Conversations asked and what for, how long Agents had each in all, when those
left whom nobody had served, what Agents were and when they were there, pulled, and how offers were answered.
Where the recording does not tell how long Agents would have had it, the usual time of its queue is taken.
Not taken over: who got what. A take or transfer by hand names an Agent whom another policy would not have
given it to, so it is part of the stay it belongs to, or a request that prefers that Agent where it began one.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from statistics import median
from typing import Any
from zlib import crc32

from schemas.common import ChannelClass
from schemas.envelope import Envelope
from schemas.routing import (
    AgentAvailability,
    AgentHeartbeat,
    AgentNext,
    AgentProfile,
    OfferAccept,
    OfferReject,
    RequestData,
    RoutingAssign,
    RoutingRequest,
    RoutingWiden,
)
from services.router.domain import snapshot
from services.router.domain.engine import Input, step
from services.router.domain.policy import Policy
from services.router.domain.pool import Pool
from services.router.domain.state import Need, PoolState, Standing
from services.router.journal import Entry, decode
from services.router.owned import outgoing
from services.router.simulation.stays import Answer, Deed, Opening, Script, Stay

_HANDLING_SECONDS = 300.0
_ANSWER = Answer("accept", 5.0)
_OF_AGENTS = (AgentAvailability, AgentHeartbeat, AgentNext, AgentProfile)


class BadRecording(ValueError):  # noqa: N818  (says what the recording is)
    """The entries are no whole journal of one pool; the text says which is missing."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A day as it can be played again."""

    script: Script
    policy: Policy
    """Under which the pool was when the day began, or came to be first."""
    by_hand: int
    """Takes and transfers by hand, which are not repeated."""


def verify(entries: Iterable[Entry]) -> tuple[int, list[int]]:
    """Step a whole journal again; return how many entries it has, and which decide otherwise now."""
    pool: Pool | None = None
    diverged, entered = [], 0
    for entry in _in_order(entries):
        pool = pool or Pool(PoolState(entry.pool))
        entered += 1
        if outgoing([step(pool, decode(each.value), entry.at) for each in entry.given]) != entry.outgoing:
            diverged.append(entry.n)
    return entered, diverged


def read(entries: Iterable[Entry], start: datetime | None = None, end: datetime | None = None) -> Recording:
    """Return the day from `start` to `end`, or from the first entry to the last. Raises BadRecording."""
    before: Pool | None = None
    reader: _Reader | None = None
    last = start
    for entry in _in_order(entries):
        if end is not None and entry.at > end:
            break
        before = before or Pool(PoolState(entry.pool))
        inputs = [decode(each.value) for each in entry.given]
        if reader is None and (start is None or entry.at >= start):
            reader = _Reader(before, start or entry.at)
        if reader is None:
            for each in inputs:
                step(before, each, entry.at)
        else:
            reader.take(entry, inputs)
        last = entry.at
    if before is None:
        raise BadRecording("there are no entries")
    if reader is None or last is None:
        raise BadRecording(f"nothing happened from {start} on; the last entry is of {last}")
    return reader.recording(end or last)


def _in_order(entries: Iterable[Entry]) -> Iterable[Entry]:
    pool, expected = None, 1
    for entry in entries:
        if entry.n != expected:
            raise BadRecording(f"entry {expected} of the journal is missing: {entry.n} comes instead")
        if pool not in (None, entry.pool):
            raise BadRecording(f"entry {entry.n} is of pool {entry.pool}, those before it of {pool}")
        pool, expected = entry.pool, expected + 1
        yield entry


@dataclass(slots=True)
class _Open:
    """A stay that is not over."""

    need: RequestData
    at: datetime
    asked_at: datetime
    epoch: int
    follows: bool = False
    opening: bool = False
    order: int = 0
    """In which stays began."""
    agent: str | None = None
    """Who had it when the day began."""
    served: bool = False
    since: datetime | None = None
    held: float = 0.0
    offered_at: datetime | None = None
    answers: list[Answer] = field(default_factory=list)
    changes: list[tuple[float, RequestData | ChannelClass]] = field(default_factory=list)

    def seconds(self, now: datetime) -> float:
        """Return how long Agents have had it."""
        return self.held + ((now - self.since).total_seconds() if self.since else 0.0)


@dataclass(slots=True)
class _Closed:
    """A stay that is over, or goes on when the day ends."""

    of: _Open
    handling: float | None
    patience: float | None = None
    goes_on: bool = False


class _Reader:
    """Follows each Conversation through the entries."""

    def __init__(self, pool: Pool, start: datetime) -> None:
        self._pool, self._start = pool.state.pool, start
        self._initial = snapshot.dump(pool)
        self._policy: Policy | None = pool.state.policy if pool.state.at else None
        self._open: dict[str, _Open] = {}
        self._closed: dict[str, list[_Closed]] = defaultdict(list)
        self._epochs: dict[str, int] = {}
        self._assigns: dict[str, RoutingAssign] = {}
        self._deeds: list[Deed] = []
        self._seen: list[tuple[datetime, str]] = []
        self._number = pool.state.decided
        self._by_hand = 0
        self._order = count()
        self._answers: list[Answer] = []
        for standing in pool.state.standings.values():
            self._epochs[standing.conversation_id] = standing.epoch
            if standing.need is not None:
                self._begin(_standing(self._pool, standing, standing.need, start))
        self._of_input: dict[type[Any], Callable[[datetime, Any], None]] = {
            RoutingRequest: self._request,
            RoutingAssign: self._assign,
            RoutingWiden: self._widen,
            OfferAccept: self._answered,
            OfferReject: self._answered,
        }
        self._of_decision: dict[str, Callable[[datetime, str, Mapping[str, Any]], None]] = {
            "routing.granted": self._granted,
            "routing.offered": self._offered,
            "routing.offer_ended": self._offer_ended,
            "routing.unassigned": self._unassigned,
            "routing.released": self._released,
        }

    def take(self, entry: Entry, inputs: Sequence[Input]) -> None:
        """Follow one entry: what came in, then what was decided."""
        for given in inputs:
            policy = getattr(given, "policy", None)
            if isinstance(policy, Policy):
                self._policy = self._policy or policy
            elif isinstance(given, _OF_AGENTS):
                self._deeds.append(Deed(entry.at, given))
                if isinstance(given, AgentNext):
                    self._seen.append((entry.at, given.data.agent))
            elif isinstance(given, Envelope):
                follow = self._of_input.get(type(given))
                if follow:
                    follow(entry.at, given)
        for record in entry.outgoing:
            decision = json.loads(record.value)
            learn = self._of_decision.get(decision["type"])
            if learn and decision["data"]["n"] > self._number:
                self._number = decision["data"]["n"]
                learn(entry.at, decision["data"]["conversation_id"], decision["data"])

    def recording(self, end: datetime) -> Recording:
        """Return the whole day."""
        for conversation_id, current in self._open.items():
            handling = current.seconds(end) if current.served else None
            self._closed[conversation_id].append(_Closed(current, handling, goes_on=True))
        usual = self._usual_handling()
        stays, opening = [], []
        for each in sorted(
            (each for closed in self._closed.values() for each in closed), key=lambda each: each.of.order
        ):
            stay = _stay(each, usual)
            if each.of.opening:
                opening.append(Opening(stay, each.of.asked_at, each.of.agent))
            else:
                stays.append(stay)
        script = Script(
            pool=self._pool,
            start=self._start,
            end=end,
            stays=stays,
            deeds=self._deeds,
            answering=_Recorded(tuple(self._answers)),
            opening=tuple(opening),
            initial=self._initial,
            seen=tuple(self._seen),
        )
        return Recording(script, self._policy or Policy(), self._by_hand)

    def _usual_handling(self) -> Mapping[tuple[str, ChannelClass], float]:
        times: dict[tuple[str, ChannelClass], list[float]] = defaultdict(list)
        for closed in self._closed.values():
            for each in closed:
                if each.handling is not None and not (each.of.opening or each.goes_on):
                    times[each.of.need.inbox, each.of.need.channel_class].append(each.handling)
        return {queue: median(seconds) for queue, seconds in times.items()}

    # --- what came in ---------------------------------------------------------------------------

    def _request(self, at: datetime, command: RoutingRequest) -> None:
        data = command.data
        if data.epoch <= self._epochs.get(data.conversation_id, -1):
            return
        self._epochs[data.conversation_id] = data.epoch
        current = self._open.get(data.conversation_id)
        if current is not None and not current.served:
            current.changes.append(((at - current.at).total_seconds(), data))
            current.epoch = data.epoch
            return
        if current is not None:
            self._close(data.conversation_id, _Closed(current, current.seconds(at)))
        self._begin(_Open(data, at, at, data.epoch, follows=current is not None))

    def _assign(self, _at: datetime, command: RoutingAssign) -> None:
        self._assigns[command.data.conversation_id] = command

    def _widen(self, at: datetime, command: RoutingWiden) -> None:
        current = self._open.get(command.data.conversation_id)
        if current is not None:
            current.changes.append(((at - current.at).total_seconds(), command.data.channel_class))

    def _answered(self, at: datetime, command: OfferAccept | OfferReject) -> None:
        self._seen.append((at, command.data.agent))

    # --- what was decided -----------------------------------------------------------------------

    def _granted(self, at: datetime, conversation_id: str, data: Mapping[str, Any]) -> None:
        current = self._open.get(conversation_id)
        by_hand = data["reason"] in ("take", "transfer")
        self._by_hand += by_hand
        if current is None:
            need = _assigned(self._assigns[conversation_id], at)
            current = self._begin(_Open(need, at, at, data["epoch"]))
        if current.offered_at is not None and not by_hand:
            self._answer(current, Answer("accept", (at - current.offered_at).total_seconds()))
        current.epoch = max(current.epoch, data["epoch"])
        self._epochs[conversation_id] = max(self._epochs.get(conversation_id, -1), data["epoch"])
        current.served, current.offered_at = True, None
        current.since = current.since or at

    def _offered(self, at: datetime, conversation_id: str, _data: Mapping[str, Any]) -> None:
        if conversation_id in self._open:
            self._open[conversation_id].offered_at = at

    def _offer_ended(self, at: datetime, conversation_id: str, data: Mapping[str, Any]) -> None:
        current = self._open.get(conversation_id)
        if current is None or current.offered_at is None:
            return
        seconds = (at - current.offered_at).total_seconds()
        if data["outcome"] == "rejected":
            self._answer(current, Answer("reject", seconds))
        elif data["outcome"] == "timed_out":
            self._answer(current, Answer("none"))
        current.offered_at = None

    def _answer(self, current: _Open, answer: Answer) -> None:
        current.answers.append(answer)
        self._answers.append(answer)

    def _unassigned(self, at: datetime, conversation_id: str, _data: Mapping[str, Any]) -> None:
        current = self._open.get(conversation_id)
        if current is not None:
            current.held, current.since = current.seconds(at), None

    def _released(self, at: datetime, conversation_id: str, data: Mapping[str, Any]) -> None:
        current = self._open.get(conversation_id)
        if current is None or data["epoch"] < current.epoch:
            return
        if current.served:
            closed = _Closed(current, current.seconds(at))
        else:
            closed = _Closed(current, None, (at - current.asked_at).total_seconds())
        self._close(conversation_id, closed)

    def _begin(self, begun: _Open) -> _Open:
        begun.order = next(self._order)
        self._open[begun.need.conversation_id] = begun
        return begun

    def _close(self, conversation_id: str, closed: _Closed) -> None:
        del self._open[conversation_id]
        self._closed[conversation_id].append(closed)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """Offers are answered as they were; where others are made, as some other one was."""

    answers: tuple[Answer, ...]

    def __call__(self, stay: Stay, n: int, _agent: str) -> Answer:
        if n < len(stay.answers):
            return stay.answers[n]
        if not self.answers:
            return _ANSWER
        return self.answers[crc32(f"{stay.need.conversation_id}/{n}".encode()) % len(self.answers)]


def _stay(closed: _Closed, usual: Mapping[tuple[str, ChannelClass], float]) -> Stay:
    """Return the stay; how long one is held that was never served, or goes on after the day, is the usual."""
    of = closed.of
    handling = closed.handling or 0.0
    if closed.handling is None or closed.goes_on:
        handling += usual.get((of.need.inbox, of.need.channel_class), _HANDLING_SECONDS)
    return Stay(
        of.need,
        of.at,
        handling,
        closed.patience,
        tuple(of.answers),
        tuple(of.changes),
        follows=of.follows,
    )


def _standing(pool: str, standing: Standing, need: Need, start: datetime) -> _Open:
    data = RequestData(
        pool=pool,
        conversation_id=standing.conversation_id,
        customer_id=standing.customer_id,
        epoch=standing.epoch,
        kind=standing.kind,
        inbox=need.inbox,
        channel=need.channel,
        channel_class=need.classes[0],
        also=need.classes[1:],
        priority=need.priority,
        skills=dict(need.skills),
        due_at=need.due_at,
        preferred_agent=need.preferred,
        requested_at=need.requested_at,
    )
    slot, offer = standing.slot, standing.request.offer if standing.request else None
    return _Open(
        data,
        start,
        need.requested_at,
        standing.epoch,
        opening=True,
        agent=slot.agent if slot else None,
        served=slot is not None,
        since=start if slot else None,
        offered_at=start if offer else None,
    )


def _assigned(command: RoutingAssign, at: datetime) -> RequestData:
    data = command.data
    return RequestData(
        pool=data.pool,
        conversation_id=data.conversation_id,
        customer_id=data.customer_id,
        epoch=data.epoch,
        kind=data.kind,
        inbox=data.inbox,
        channel=data.channel,
        channel_class=data.channel_class,
        also=data.also,
        preferred_agent=data.agent,
        requested_at=at,
    )
