"""Builders of commands and a pool to send them to, for the tests of the router."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from schemas.common import Channel, ChannelClass
from schemas.envelope import Envelope
from schemas.ids import derive
from schemas.routing import (
    AgentAvailability,
    AgentChanged,
    AgentCommandData,
    AgentHeartbeat,
    AgentNext,
    AgentProfile,
    AssignData,
    AvailabilityData,
    Capacity,
    OfferAccept,
    OfferAnswerData,
    OfferReject,
    ProfileData,
    ProfilePersonal,
    ReleaseData,
    RequestData,
    RoutingAssign,
    RoutingRelease,
    RoutingRequest,
    RoutingWiden,
    WidenData,
)
from services.router.domain import snapshot
from services.router.domain.engine import Input, Step, Tick, step
from services.router.domain.pool import Pool
from services.router.domain.state import PoolState

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
POOL = "main"
_numbers = count()
MESSAGING = ChannelClass.MESSAGING


def _envelope(name: str | None = None) -> dict[str, Any]:
    given = derive("test", name if name is not None else next(_numbers))
    return {"id": given, "occurred_at": START, "correlation": given}


def request(
    conversation: str, epoch: int = 1, *, channel: Channel = Channel.SMS, **fields: object
) -> RoutingRequest:
    classes = {Channel.VOICE: ChannelClass.VOICE, Channel.EMAIL: ChannelClass.EMAIL}
    data = {
        "pool": POOL,
        "conversation_id": conversation,
        "customer_id": f"customer-{conversation}",
        "epoch": epoch,
        "inbox": "support",
        "channel": channel,
        "channel_class": classes.get(channel, MESSAGING),
        "requested_at": START,
        **fields,
    }
    return RoutingRequest(**_envelope(), data=RequestData.model_validate(data))


def assign(
    conversation: str, epoch: int, agent: str, *, name: str | None = None, **fields: object
) -> RoutingAssign:
    data = {
        "pool": POOL,
        "conversation_id": conversation,
        "customer_id": f"customer-{conversation}",
        "epoch": epoch,
        "inbox": "support",
        "channel": Channel.SMS,
        "channel_class": MESSAGING,
        "agent": agent,
        "reason": "transfer",
        **fields,
    }
    return RoutingAssign(**_envelope(name), data=AssignData.model_validate(data))


def widen(conversation: str, epoch: int, to: ChannelClass) -> RoutingWiden:
    data = WidenData(
        pool=POOL,
        conversation_id=conversation,
        customer_id=f"customer-{conversation}",
        epoch=epoch,
        channel_class=to,
    )
    return RoutingWiden(**_envelope(), data=data)


def release(conversation: str, epoch: int) -> RoutingRelease:
    data = ReleaseData(
        pool=POOL,
        conversation_id=conversation,
        customer_id=f"customer-{conversation}",
        epoch=epoch,
        reason="closed",
    )
    return RoutingRelease(**_envelope(), data=data)


def profile(
    agent: str, *, inboxes: tuple[str, ...] = ("support",), pool: str = POOL, **fields: object
) -> AgentProfile:
    capacity = Capacity.model_validate(fields.pop("capacity", {}))
    data = ProfileData.model_validate(
        {"pool": pool, "agent": agent, "actor": "lea", "inboxes": inboxes, "capacity": capacity, **fields}
    )
    return AgentProfile(**_envelope(), data=data, personal=ProfilePersonal(name=agent.title()))


def available(
    agent: str, *channels: Channel, on: bool = True, focus: bool | None = None
) -> AgentAvailability:
    chosen = channels or tuple(Channel)
    data = AvailabilityData(
        pool=POOL, agent=agent, actor=agent, channels=dict.fromkeys(chosen, on), focus=focus
    )
    return AgentAvailability(**_envelope(), data=data)


def _of(agent: str) -> AgentCommandData:
    return AgentCommandData(pool=POOL, agent=agent, actor=agent)


def heartbeat(agent: str, at: datetime = START) -> AgentHeartbeat:
    return AgentHeartbeat(**{**_envelope(), "occurred_at": at}, data=_of(agent))


def pull(agent: str) -> AgentNext:
    return AgentNext(**_envelope(), data=_of(agent))


def accept(agent: str, offer: UUID) -> OfferAccept:
    data = OfferAnswerData(pool=POOL, agent=agent, actor=agent, offer_id=offer)
    return OfferAccept(**_envelope(), data=data)


def reject(agent: str, offer: UUID) -> OfferReject:
    data = OfferAnswerData(pool=POOL, agent=agent, actor=agent, offer_id=offer)
    return OfferReject(**_envelope(), data=data)


class Desk:
    """A pool with a clock that only the test moves."""

    def __init__(self, *agents: str, **fields: object) -> None:
        self.pool = Pool(PoolState(POOL))
        self.now = START
        self.taken: list[tuple[Input, datetime]] = []
        for agent in agents:
            self.send(profile(agent, **fields), available(agent))
            self.now += timedelta(seconds=1)

    def send(self, *inputs: Input) -> list[Envelope]:
        """Step with each and return the routing decisions."""
        return [
            decision
            for given in inputs
            for decision in self.step(given).decisions
            if not isinstance(decision, AgentChanged)
        ]

    def step(self, given: Input) -> Step:
        self.taken.append((given, self.now))
        return step(self.pool, given, self.now)

    def wait(self, seconds: float) -> list[Envelope]:
        self.now += timedelta(seconds=seconds)
        return self.send(Tick())

    def restart(self) -> None:
        """Go on with what was kept of the pool."""
        self.pool = snapshot.load(json.loads(json.dumps(snapshot.dump(self.pool))))

    def holder(self, conversation: str) -> str | None:
        standing = self.pool.state.standings.get(conversation)
        return standing.slot.agent if standing and standing.slot else None

    def load(self, agent: str) -> int:
        return self.pool.hands[agent].total


def kinds(decisions: list[Envelope]) -> list[str]:
    return [decision.type.removeprefix("routing.") for decision in decisions]
