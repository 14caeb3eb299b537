"""HTTP commands: publish a command to its pool, and wait for what the pool's owner answers.

Works on any replica: the answer comes by way of the `outcomes` collection, under the command's id.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas.ids import derive
from schemas.routing import (
    AgentAvailability,
    AgentCommandData,
    AgentHeartbeat,
    AgentNext,
    AgentProfile,
    AvailabilityData,
    Capacity,
    OfferAccept,
    OfferAnswerData,
    OfferReject,
    ProfileData,
    ProfilePersonal,
)
from schemas.topics import ROUTING_COMMANDS
from services.chassis.broker import Outgoing, Publisher
from services.chassis.clock import Clock
from services.chassis.mongo import Document
from services.chassis.problems import conflict, not_found, unavailable
from services.router import metrics
from services.router.inputs import AvailabilityInput, ProfileInput
from services.router.readmodels import ReadModels

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.005, 0.1, 1.5
Command = AgentProfile | AgentAvailability | AgentHeartbeat | AgentNext | OfferAccept | OfferReject


@dataclass(frozen=True, slots=True)
class Asked:
    """What the pool's owner answered."""

    status: int
    body: dict[str, Any]


class Asking:
    """Gives commands to pools."""

    def __init__(self, reads: ReadModels, publisher: Publisher, clock: Clock, wait_seconds: float) -> None:
        self._reads, self._publisher, self._clock = reads, publisher, clock
        self._wait_seconds = wait_seconds

    async def profile(self, command: UUID, agent: str, actor: str, pool: str, wanted: ProfileInput) -> Asked:
        """Set a profile; first leave the former pool, which only an Agent without load can."""
        above = 0
        known = await self._reads.agent(agent)
        if known is not None and known["pool"] != pool:
            leave = derive("agent.leave", command)
            data = ProfileData(pool=known["pool"], agent=agent, actor=actor, inboxes=(), moved_to=pool)
            personal = ProfilePersonal(name=wanted.name)
            left = await self._ask(AgentProfile(**self._envelope(leave), data=data, personal=personal))
            above = int(left.body.get("above", 0))
        data = ProfileData(
            pool=pool,
            agent=agent,
            actor=actor,
            inboxes=tuple(wanted.inboxes),
            skills=wanted.skills,
            capacity=Capacity(**wanted.capacity.model_dump()),
            auto_accept=wanted.auto_accept,
            voice_alone=wanted.voice_alone,
            excludes={held: tuple(barred) for held, barred in wanted.excludes.items()},
            pull_limit=wanted.pull_limit,
            above=above,
        )
        return await self._ask(
            AgentProfile(**self._envelope(command), data=data, personal=ProfilePersonal(name=wanted.name))
        )

    async def availability(
        self, command: UUID, agent: Document, actor: str, wanted: AvailabilityInput
    ) -> Asked:
        """Sign on or off."""
        data = AvailabilityData(
            pool=agent["pool"], agent=agent["_id"], actor=actor, channels=wanted.channels, focus=wanted.focus
        )
        return await self._ask(AgentAvailability(**self._envelope(command), data=data))

    async def heartbeat(self, command: UUID, agent: Document, actor: str) -> Asked:
        """Say that a device is there."""
        return await self._ask(AgentHeartbeat(**self._envelope(command), data=_of(agent, actor)))

    async def next(self, command: UUID, agent: Document, actor: str) -> Asked:
        """Pull."""
        return await self._ask(AgentNext(**self._envelope(command), data=_of(agent, actor)))

    async def answer(self, command: UUID, offer: Document, actor: str, *, accept: bool) -> Asked:
        """Accept or reject an offer."""
        data = OfferAnswerData(
            pool=offer["pool"], agent=offer["agent"], actor=actor, offer_id=UUID(offer["id"])
        )
        kind = OfferAccept if accept else OfferReject
        return await self._ask(kind(**self._envelope(command), data=data))

    def _envelope(self, command: UUID) -> dict[str, Any]:
        return {"id": command, "occurred_at": self._clock(), "correlation": command}

    async def _ask(self, command: Command) -> Asked:
        """Publish, wait, and raise the Problem the answer stands for. A known answer is given again."""
        outcome = await self._reads.outcome(command.id)
        if outcome is None:
            record = Outgoing(ROUTING_COMMANDS.name, command.data.pool, command.json_bytes())
            await self._publisher.publish([record])
            outcome = await self._outcome(command)
        if outcome["status"] == 404:  # noqa: PLR2004  (HTTP's not found)
            raise not_found(outcome["detail"])
        if outcome["status"] == 409:  # noqa: PLR2004  (HTTP's conflict)
            raise conflict(outcome["detail"])
        return Asked(outcome["status"], outcome["body"])

    async def _outcome(self, command: Command) -> Document:
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(self._wait_seconds):
                while (outcome := await self._reads.outcome(command.id)) is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        except TimeoutError as error:
            metrics.COMMAND_TIMEOUTS.labels(command.type).inc()
            raise unavailable(f"the router's pool {command.data.pool}") from error
        return outcome


def _of(agent: Document, actor: str) -> AgentCommandData:
    return AgentCommandData(pool=agent["pool"], agent=agent["_id"], actor=actor)
