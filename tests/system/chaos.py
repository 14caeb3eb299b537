"""Kills and freezes replicas while a system runs."""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from random import Random
from time import monotonic

import httpx

from tests.system.launch import Process, System

READY_SECONDS = 120.0


@dataclass
class Chaos:
    """Torments replicas at random moments; what it did stands in `done`."""

    system: System
    http: httpx.AsyncClient
    random: Random
    session_seconds: float
    done: list[str] = field(default_factory=list)
    _began: float = field(default_factory=monotonic)

    async def kill(self, process: Process) -> None:
        """End it with SIGKILL, start it again a moment later and wait until it is ready."""
        process.kill()
        self._note(f"killed {process.name}")
        await asyncio.sleep(self.random.uniform(0, 1.5))
        process.start()
        await process.ready(self.http, READY_SECONDS)
        self._note(f"{process.name} is ready again")

    async def freeze(self, process: Process) -> None:
        """Stop it with SIGSTOP until its session is over and others have its work; then let it wake up."""
        os.kill(process.pid, signal.SIGSTOP)
        self._note(f"froze {process.name}")
        await asyncio.sleep(self.session_seconds * self.random.uniform(1.3, 1.7))
        os.kill(process.pid, signal.SIGCONT)
        self._note(f"thawed {process.name}")
        await process.ready(self.http, READY_SECONDS)

    async def torment(self, service: str, kills: int) -> None:
        """Kill replicas of the service `kills` times and freeze one once, in random order."""
        deeds = [self.kill] * kills
        deeds.insert(self.random.randrange(kills + 1), self.freeze)
        for deed in deeds:
            await asyncio.sleep(self.random.uniform(0.2, 2))
            await deed(self.random.choice(self.system.replicas[service]))

    def _note(self, what: str) -> None:
        self.done.append(f"{monotonic() - self._began:.1f} s: {what}")
