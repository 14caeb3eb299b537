"""What processes look like from outside while something is wrong: memory, sockets, liveness, rebalances.

Memory and sockets are read from Linux's /proc.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.system.launch import Process, System
from tests.system.waiting import until

MEGABYTE = 1_000_000
_PAUSE = 0.25


def memory(process: Process) -> int:
    """Return the bytes that the process holds in memory (RSS)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def sockets(process: Process) -> int:
    """Return how many sockets the process has open."""
    found = 0
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found += str(entry.readlink()).startswith("socket:")
    return found


def connections(process: Process, port: int) -> int:
    """Return how many established connections to `port` (TCP, IPv4) the process has."""
    own = {str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir() if entry.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        int(row[2].rpartition(":")[2], 16) == port and row[3] == "01" and f"socket:[{row[9]}]" in own
        for row in rows
    )


@dataclass
class Watch:
    """The most memory and sockets of each process, and the moments at which one did not say it lives."""

    processes: Sequence[Process]
    idle: dict[str, int] = field(default_factory=dict)
    """Bytes before anything went wrong."""
    most_memory: dict[str, int] = field(default_factory=dict)
    most_sockets: dict[str, int] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    looks: int = 0

    def begin(self) -> None:
        """Take the present memory for the idle one."""
        self.idle = {process.name: memory(process) for process in self.processes}

    async def look(self, http: httpx.AsyncClient) -> None:
        """Look at every process once."""
        answers = await asyncio.gather(
            *(http.get(f"{process.url}/livez") for process in self.processes), return_exceptions=True
        )
        for process, answer in zip(self.processes, answers, strict=True):
            if isinstance(answer, BaseException):
                self.dead.append(f"{process.name}: {type(answer).__name__}")
            elif answer.status_code != httpx.codes.OK:
                self.dead.append(f"{process.name}: {answer.text}")
            name = process.name
            self.most_memory[name] = max(self.most_memory.get(name, 0), memory(process))
            self.most_sockets[name] = max(self.most_sockets.get(name, 0), sockets(process))
        self.looks += 1

    def swollen(self, factor: float, more: int) -> list[str]:
        """Return the processes that ever held above `factor` times their idle memory and `more` bytes."""
        return [
            f"{name}: {most / MEGABYTE:.0f} MB, idle {self.idle[name] / MEGABYTE:.0f} MB"
            for name, most in self.most_memory.items()
            if most > factor * self.idle[name] + more
        ]

    def growth(self) -> str:
        """Return the largest growth over the idle memory, in words."""
        name = max(self.idle, key=lambda each: self.most_memory.get(each, 0) - self.idle[each])
        return f"{name} {self.idle[name] / MEGABYTE:.0f} -> {self.most_memory.get(name, 0) / MEGABYTE:.0f} MB"


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[Watch]:
    """Look again and again while the block runs."""

    async def looking() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            while True:
                await watch.look(http)
                await asyncio.sleep(_PAUSE)

    running = asyncio.create_task(looking())
    try:
        yield watch
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def rebalances(system: System) -> dict[str, float]:
    """Return how often the consumers of each replica were given partitions, from its own metrics.

    All members of a group are given theirs anew when any joins or leaves: unchanged, nobody did.
    """
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        seen = await asyncio.gather(*(Metrics.of(http, process) for process in system.processes))
    return {
        process.name: sum(each.taken.values()) for process, each in zip(system.processes, seen, strict=True)
    }


@dataclass
class Metrics:
    """What a replica says of its consumers, by group and topic."""

    taken: dict[str, float]
    in_work: float

    @classmethod
    async def of(cls, http: httpx.AsyncClient, process: Process) -> "Metrics":
        totals: dict[str, dict[str, float]] = {}
        for line in (await http.get(f"{process.url}/metrics")).text.splitlines():
            name, _, rest = line.partition("{")
            labels, _, value = rest.rpartition("} ")
            if name.startswith("parley_") and rest:
                totals.setdefault(name, {})[labels] = float(value)
        consumed = sum(totals.get("parley_consumed_records_total", {}).values())
        handled = sum(totals.get("parley_handled_records_total", {}).values())
        return cls(totals.get("parley_rebalances_total", {}), consumed - handled)


async def in_a_batch(http: httpx.AsyncClient, processes: Sequence[Process]) -> Process:
    """Return a replica as soon as it has taken records that it has not handled."""

    async def look() -> list[Process]:
        return [process for process in processes if (await Metrics.of(http, process)).in_work > 0]

    return (await until(look, pause=0.005))[0]
