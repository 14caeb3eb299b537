"""Waits until every service is ready, then tells the router who its Agents are."""

import asyncio
import json
from collections.abc import Sequence
from http import HTTPStatus

import httpx

from deploy.local.stack import Agent

READY_SECONDS = 60.0


class NotReadyError(Exception):
    """A service is not ready in time, or refuses a seed. The text says which and why."""


async def wait_ready(
    client: httpx.AsyncClient, services: Sequence[str], seconds: float = READY_SECONDS
) -> None:
    """Wait until `readyz` of all services answers 200; raises NotReadyError."""
    deadline = asyncio.get_running_loop().time() + seconds
    for service in services:
        while (answer := await client.get(f"/{service}/readyz")).status_code != HTTPStatus.OK:
            if asyncio.get_running_loop().time() > deadline:
                message = f"{service} is not ready after {seconds:.0f} s: {answer.text[:1000]}"
                raise NotReadyError(message)
            await asyncio.sleep(0.1)


async def seed_agents(client: httpx.AsyncClient, agents: Sequence[Agent], token: str) -> None:
    """Put the profiles; an Agent that is known keeps availability and load. Raises NotReadyError."""
    for agent in agents:
        answer = await client.put(
            f"/router/v1/agents/{agent.id}",
            content=json.dumps({"name": agent.name, **(agent.profile or {})}),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        if not answer.is_success:
            reason = f"{answer.status_code} {answer.text[:500]}"
            message = f"the router refuses the profile of agent {agent.id}: {reason}"
            raise NotReadyError(message)
